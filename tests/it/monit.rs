//! The dashboard, on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{Termios, tcgetattr};
use serde_json::json;

use crate::daemon::{Daemon, pid_of, shell, sleeper};
use crate::process;
use crate::wait::{LIMIT, until, until_true};

/// A terminal of 80 by 24, and `supctl` on it.
struct Terminal {
    child: Child,
    keys: File,
    /// The other end: how it is set can be seen there.
    line: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was written.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(daemon: &Daemon, args: &[&str]) -> Self {
        Self::run(&daemon.command(args), daemon)
    }

    fn run(program: &Command, daemon: &Daemon) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a terminal");
        let before = tcgetattr(&pair.slave).expect("its settings");
        let end = || pair.slave.try_clone().expect("a descriptor");
        // So that it is the controlling terminal, as it is for a shell's commands.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", "xterm").current_dir(daemon.home());
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("supctl");
        let keys = File::from(pair.master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut source, shown, all) =
            (keys.try_clone().expect("a descriptor"), Arc::clone(&screen), Arc::clone(&written));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = source.read(&mut bytes) {
                shown.lock().expect("a screen").process(&bytes[..count]);
                all.lock().expect("bytes").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, line: pair.slave, before, screen, written }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn text(&self) -> String {
        self.screen.lock().expect("a screen").screen().contents()
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let begin = std::time::Instant::now();
        while !is(&self.text()) {
            assert!(begin.elapsed() < LIMIT, "waited for: {what}\n{}", self.text());
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Waits for the end, and looks whether the terminal is as it was. What it was left with.
    fn end(mut self) -> Vec<u8> {
        let status = until("the end of monit", || self.child.try_wait().expect("its state"));
        assert_eq!(status.code(), Some(0), "{}", self.text());
        assert_eq!(tcgetattr(&self.line).expect("its settings"), self.before);
        until_true("the screen before, with its cursor", || {
            let parser = self.screen.lock().expect("a screen");
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
        self.written.lock().expect("bytes").clone()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_dashboard_acts_and_outlives_the_supervisor() {
    let daemon = Daemon::start();
    let web =
        shell("web", "echo hello $$; until [ -e go ]; do sleep 0.05; done; echo gone on; exec sleep 1000");
    daemon.run(&json!([web, sleeper("other")]));
    let web = daemon.list().iter().find(|worker| worker["app"] == "web").expect("web").clone();
    let (id, pid) = (web["id"].as_u64().expect("an id"), pid_of(&web));

    let mut terminal = Terminal::open(&daemon, &["monit"]);
    terminal.shows("2 apps, 2 workers: 2 online");
    terminal.press("fweb\r");
    terminal.until("only web", |screen| !screen.contains(" other "));
    terminal.shows(&format!("│ hello {pid}"));

    terminal.press("r");
    terminal.shows("restart web?  y yes  n no");
    assert_eq!(daemon.pid(id), pid, "it was only asked");
    terminal.press("y");
    terminal.shows("restarted web");
    let new = daemon.pid(id);
    assert_ne!(new, pid);
    terminal.shows(&format!("│ hello {new}"));

    daemon.kill_supervisor();
    terminal.shows("another supervisor has taken over; nothing was lost");
    std::fs::write(daemon.file("go"), "").expect("a file");
    terminal.shows("│ gone on");
    assert_eq!(terminal.text().matches(&format!("hello {new}")).count(), 1, "each line once");

    terminal.press("d");
    terminal.shows("─ details ─");
    terminal.shows(&format!("{new}, up"));
    terminal.press("q");
    let written = terminal.end();
    assert!(written.windows(7).any(|bytes| bytes == b"\x1b[38;5;"), "it has colours");
}

#[test]
fn a_dashboard_waits_for_a_daemon_that_has_ended() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let terminal = Terminal::open(&daemon, &["monit", "--no-color"]);
    terminal.shows("1 app, 1 worker: 1 online");
    daemon.ok(&["kill"]);
    terminal.shows("trying again");
    assert!(process::of_home(daemon.home()).is_empty(), "it has started one");
    daemon.ok(&["ping"]);
    terminal.shows("the daemon was started again");
    terminal.until("it is up", |screen| !screen.contains("trying again"));
    process::signal(terminal.child.id().cast_signed(), Signal::SIGTERM);
    let written = terminal.end();
    for colour in [&b"\x1b[38;5;"[..], b"\x1b[48;5;"] {
        assert!(!written.windows(colour.len()).any(|bytes| bytes == colour), "it has colours");
    }
}

#[test]
fn a_dashboard_is_suspended_and_goes_on() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let supctl = daemon.command(&["monit"]);
    // A shell with job control, as people have.
    let mut shell = Command::new("sh");
    shell.args(["-c", "set -m; \"$0\" monit; echo it is stopped; read line; fg"]).arg(supctl.get_program());
    let environment = supctl.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.envs(environment);
    let mut terminal = Terminal::run(&shell, &daemon);
    terminal.shows("1 app, 1 worker: 1 online");
    terminal.press("\x1a");
    terminal.shows("it is stopped");
    assert_eq!(tcgetattr(&terminal.line).expect("its settings"), terminal.before);
    daemon.ok(&["stop", "app"]);
    terminal.press("\n");
    terminal.shows("1 app, 1 worker: 1 stopped");
    terminal.press("q");
    terminal.end();
}

#[test]
fn without_a_terminal_there_is_no_dashboard() {
    let daemon = Daemon::empty();
    for args in [&["monit"][..], &["dash"], &["dashboard", "--no-color"], &["imonit"]] {
        daemon.ctl(args).expect(4).says(&["here is none", "`supctl list --json`"]);
    }
    let told = daemon.ctl(&["monit", "--json"]).expect(4).json();
    assert_eq!(told["fault"]["code"], "invalid");
    assert!(process::of_home(daemon.home()).is_empty(), "no daemon is started for that");
}
