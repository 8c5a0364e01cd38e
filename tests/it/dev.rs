//! A daemon in the foreground for somebody who works on the apps: a change brings new processes, and nothing else ends it but Ctrl-C.

use std::fs;
use std::process::Child;
use std::sync::mpsc::Receiver;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Daemon, finish, run};
use crate::pm2::Pm2;
use crate::process;
use crate::sinks::lines;
use crate::wait::{LIMIT, until_true};

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(LIMIT).expect("a line")
}

/// A busy machine may take so long to write a file that it is two changes.
#[track_caller]
fn until_line(lines: &Receiver<String>, wanted: &str) {
    while next(lines) != wanted {}
}

fn output(child: &mut Child) -> Receiver<String> {
    lines(child.stdout.take().expect("a pipe"))
}

/// Ctrl-C.
fn interrupt(mut child: Child) -> i32 {
    process::signal(child.id().cast_signed(), Signal::SIGINT);
    child.wait().expect("its end").code().unwrap_or(-1)
}

#[test]
fn a_change_brings_new_processes_whatever_became_of_the_old_ones_and_ctrl_c_ends_it() {
    let daemon = Daemon::empty();
    let site = tempfile::tempdir().expect("a directory");
    let script = |text: &str| fs::write(site.path().join("app.sh"), text).expect("written");
    let apps = json!([{ "name": "web", "script": "app.sh", "interpreter": "sh", "cwd": site.path(), "watch": false,
        "autorestart": false }]);
    script("echo one; exec sleep 1000");
    let file = daemon.declare(&apps);
    let mut child = daemon.spawn(&["dev", &file, "--ignore", "dist"]);
    let out = output(&mut child);
    assert_eq!(next(&out), "0|web | one");
    script("echo two; exit 3");
    until_line(&out, "0|web | two");
    daemon.until_status(0, "stopped");
    // All apps have ended, one of them badly, and it stays, also when the supervisor was killed.
    daemon.kill_supervisor();
    script("echo three; exec sleep 1000");
    until_line(&out, "0|web | three");
    let pid = daemon.until_status(0, "online")["pid"].clone();
    fs::create_dir(site.path().join("dist")).expect("a directory");
    fs::write(site.path().join("dist/app.js"), "").expect("written");
    // What was stopped stays so.
    daemon.ok(&["stop", "web"]);
    script("echo four; exec sleep 1000");
    daemon.ok(&["start", "web"]);
    until_line(&out, "0|web | four");
    assert_ne!(daemon.worker(0)["pid"], pid);
    let reasons: Vec<String> = daemon.happenings().iter().map(|it| it["text"].to_string()).collect();
    assert!(!reasons.iter().any(|reason| reason.contains("dist")), "{reasons:?}");
    assert_eq!(interrupt(child), 0);
    assert!(!daemon.file("ledger.json").exists() && !daemon.file("logs").exists());
}

#[test]
fn a_command_runs_at_the_start_and_after_each_change() {
    let pm2 = Pm2::new();
    let site = tempfile::tempdir().expect("a directory");
    let script = |text: &str| fs::write(site.path().join("app.sh"), text).expect("written");
    script("exec sleep 1000");
    let path = site.path().join("app.sh").display().to_string();
    let cwd = site.path().display().to_string();
    let arguments = [&path, "--cwd", &cwd, "--post-exec", "echo checked; exit 1", "--raw", "--test-mode"];
    let mut command = pm2.named("pm2-dev", &arguments);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("pm2-dev");
    let out = output(&mut child);
    assert_eq!(next(&out), "checked");
    until_true("its end", || pm2.daemon.worker(1)["status"] == "stopped");
    script("echo changed; exec sleep 1000");
    let mut both = [next(&out), next(&out)];
    both.sort();
    assert_eq!(both, ["changed", "checked"]);
    assert_eq!(interrupt(child), 0);
    run(&mut pm2.named("pm2-dev", &["absent.js"]), b"").expect(4).says(&["Script not found"]);
    let ended = ["dev", "exit 4", "--no-autorestart", "--auto-exit"];
    finish(pm2.daemon.spawn(&ended)).expect(4);
}
