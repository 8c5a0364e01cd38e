//! A daemon in the foreground that lives no longer than its apps, as the main process of a container.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Daemon, Output, finish, run, shell, sleeper, with};
use crate::process;
use crate::sinks::lines;
use crate::wait::{LIMIT, until, until_true};

/// Says that it is up, and goodbye when it is asked to go.
const POLITE: &str = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 1000 & wait $!; done";

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(LIMIT).expect("a line")
}

/// `supctl runtime` of these apps, with its own log on.
fn runtime(daemon: &Daemon, apps: &serde_json::Value, flags: &[&str]) -> Child {
    let file = daemon.declare(apps);
    daemon.spawn(&[&["runtime", &file], flags].concat())
}

fn ended(mut child: Child) -> i32 {
    child.wait().expect("its end").code().unwrap_or(-1)
}

#[test]
fn it_ends_with_the_code_of_the_app_that_failed_first_and_leaves_no_file_behind() {
    let daemon = Daemon::empty();
    let once = |name: &str, script: &str| with(shell(name, script), json!({ "autorestart": false }));
    let apps = json!([
        once("first", "echo one; echo two >&2; exit 7"),
        once("later", "while [ -d /proc/$PPID ] && [ ! -e go ]; do sleep 0.02; done; echo three; kill -9 $$"),
    ]);
    let mut child = runtime(&daemon, &apps, &[]);
    let (out, err) =
        (lines(child.stdout.take().expect("a pipe")), lines(child.stderr.take().expect("a pipe")));
    assert_eq!(next(&out), "one");
    until_true("the end of the first", || daemon.worker(0)["status"] == "stopped");
    fs::write(daemon.file("go"), "").expect("a file");
    assert_eq!(next(&out), "three");
    assert_eq!(ended(child), 7);
    let err: Vec<String> = err.iter().collect();
    assert!(err.contains(&"two".to_owned()), "{err:#?}");
    assert!(err.iter().any(|line| line.ends_with("all apps have ended: ending with code 7")), "{err:#?}");
    for name in ["ledger.json", "logs", "supd.log", "supd.sock"] {
        assert!(!daemon.file(name).exists(), "{name}");
    }
}

#[test]
fn sigterm_stops_all_apps_and_their_last_words_are_shown_also_when_the_supervisor_was_killed() {
    let daemon = Daemon::empty();
    let apps =
        json!([shell("polite", POLITE), with(shell("filed", POLITE), json!({ "out_file": "own.log" }))]);
    let mut child = runtime(&daemon, &apps, &["--logs", "prefixed"]);
    let out = lines(child.stdout.take().expect("a pipe"));
    let mut up = [next(&out), next(&out)];
    up.sort();
    assert_eq!(up, ["0|polite | up", "1|filed | up"]);
    let pids = daemon.pids();
    daemon.kill_supervisor();
    assert_eq!(daemon.pids(), pids);

    // What is started now is shown too, and what is read from the file again stays as it was.
    let file = daemon.declare(&json!([shell("polite", POLITE)]));
    daemon.ok(&["restart", &file]);
    assert_eq!([next(&out), next(&out)], ["0|polite | bye", "0|polite | up"]);

    process::signal(child.id().cast_signed(), Signal::SIGTERM);
    let mut bye = [next(&out), next(&out)];
    bye.sort();
    assert_eq!(bye, ["0|polite | bye", "1|filed | bye"]);
    assert_eq!(ended(child), 0);
    assert_eq!(daemon.read("own.log"), "up\nbye\n");
    assert!(!daemon.file("logs").exists() && !daemon.file("ledger.json").exists());
}

#[test]
fn what_was_entrusted_to_the_daemon_of_a_home_is_neither_run_nor_lost() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("kept")]));
    finish(daemon.spawn(&["runtime", "true"])).expect(5).says(&["another supd serves", "--home DIR"]);
    daemon.ok(&["kill"]);
    let before = daemon.read("ledger.json");
    let output = finish(daemon.spawn(&["runtime", "echo only me", "--no-autorestart"])).expect(0);
    assert_eq!(output.out, "only me\n");
    assert_eq!(daemon.read("ledger.json"), before);
    daemon.ok(&["ping"]);
    assert_eq!(daemon.until_status(0, "online")["app"], "kept");
}

#[test]
fn it_stays_when_told_so_and_starts_nothing_while_it_waits() {
    let daemon = Daemon::empty();
    let mut child = daemon.spawn(&["runtime", "echo done", "--no-autorestart", "--no-auto-exit"]);
    let out = lines(child.stdout.take().expect("a pipe"));
    assert_eq!(next(&out), "done");
    daemon.until_status(0, "stopped");
    daemon.ok(&["start", "0"]);
    assert_eq!(next(&out), "done");
    daemon.ok(&["kill"]);
    assert_eq!(ended(child), 0);

    let waiting = daemon.spawn(&["runtime", "echo never", "--delay", "1h"]);
    let pid = waiting.id().cast_signed();
    let blocked = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    // SIGINT and SIGTERM, signals 2 and 15 (proc_pid_status(5)).
    until_true("that it listens", || blocked().contains("SigBlk:\t0000000000004002"));
    process::signal(pid, Signal::SIGTERM);
    assert_eq!(finish(waiting).expect(0).out, "");
}

#[test]
fn what_cannot_be_run_is_told_with_a_code_before_anything_starts() {
    let daemon = Daemon::empty();
    let bad = json!([{ "name": "a", "scrpt": "x" }, { "name": "b", "script": "sleep", "instances": "50%" }]);
    finish(runtime(&daemon, &bad, &[])).expect(4).says(&["scrpt: unknown field", "found the text \"50%\""]);
    finish(daemon.spawn(&["runtime", "nosuch.js"])).expect(3).says(&["`nosuch.js` is no file"]);
    finish(daemon.spawn(&["runtime", "echo a", "echo a"])).expect(4).says(&["two apps are called `echo"]);
    // Only the daemon sees that an address is taken.
    let taken = std::net::TcpListener::bind(daemon.address(8175)).expect("an address");
    let app = with(sleeper("web"), json!({ "listen": [daemon.address(8175)] }));
    finish(runtime(&daemon, &json!([app]), &[])).expect(5).says(&["ERROR", "8175"]);
    drop(taken);
}

#[test]
fn without_a_home_to_write_to_it_has_a_private_one_that_clients_find() {
    let daemon = Daemon::empty();
    let command = |args: &[&str]| {
        let mut command = daemon.command(args);
        // In /proc nobody can make a directory.
        command.env_remove("SUPD_HOME").env("HOME", "/proc/nobody").env("TMPDIR", daemon.home());
        command
    };
    let mut child = command(&["runtime", "sh", "--", "-c", POLITE]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("supctl");
    let out = lines(child.stdout.take().expect("a pipe"));
    assert_eq!(next(&out), "up");
    let list = run(&mut command(&["list", "--json"]), b"").expect(0).json();
    if nix::unistd::geteuid().is_root() && std::path::Path::new("/var/lib/supd").is_dir() {
        eprintln!("this machine has a home for root: nothing to see here");
    } else {
        let home = daemon.home().join(format!("supd-{}", nix::unistd::geteuid()));
        assert!(home.join("supd.sock").exists(), "{home:?}");
    }
    assert_eq!(list[0]["status"], "online");
    process::signal(child.id().cast_signed(), Signal::SIGINT);
    assert_eq!((next(&out).as_str(), ended(child)), ("bye", 0));
}

/// `supctl` by another name.
fn by_name(daemon: &Daemon, name: &str, words: &[&str]) -> Output {
    let link = daemon.file(name);
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_supctl"), &link).expect("a link");
    }
    let mut command = Command::new(link);
    command.env("SUPD_HOME", daemon.home()).current_dir(daemon.home()).args(words);
    for name in ["SUPD_LOG", "SUPD_LOG_FORMAT", "JOURNAL_STREAM", "NOTIFY_SOCKET", "PM2_HOME"] {
        command.env_remove(name);
    }
    run(&mut command, b"")
}

#[test]
fn it_is_pm2_runtime_and_pm2_start_without_a_daemon() {
    let daemon = Daemon::empty();
    let script = daemon.script("app.sh", "#!/bin/sh\necho $0 $1; exit 9\n");
    let words = ["start", "app.sh", "--no-autorestart", "--formatted", "--web", "--bogus", "--", "x"];
    let ran = by_name(&daemon, "pm2-runtime", &words).expect(9);
    assert_eq!(ran.out, format!("0|app | {script} x\n"));
    ran.says(&["[PM2][WARN] --bogus is unknown", "[PM2][WARN] --web has no effect"]);
    let ran = by_name(&daemon, "pm2-docker", &["app.sh", "--no-autorestart", "--json"]).expect(9);
    assert_eq!(ran.json()["message"], format!("{script}\n"));
    by_name(&daemon, "pm2-runtime", &["absent.js"]).expect(4).says(&["[PM2][ERROR] Script not found: "]);
    assert!(!daemon.file("logs").exists());

    let ran = by_name(&daemon, "pm2", &["start", "app.sh", "--no-autorestart", "--no-daemon"]).expect(9);
    assert_eq!(ran.out, format!("0|app | {script}\n"));
    assert_eq!(daemon.read("logs/app-out.log"), format!("{script}\n"));
}

/// As the init of a container: orphans come to it, and nothing of them stays.
#[test]
fn as_process_1_it_reaps_whatever_comes_and_ends_what_has_left_its_session() {
    let unshare = |program: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child", program]);
        unshare
    };
    if !unshare("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return eprintln!("no PID namespace may be made here");
    }
    let daemon = Daemon::empty();
    let inside = |words: &[&str]| {
        let supctl = daemon.command(words);
        let mut command = unshare(env!("CARGO_BIN_EXE_supctl"));
        command.args(words).env("SUPD_HOME", daemon.home()).current_dir(daemon.home());
        for (name, _) in supctl.get_envs().filter(|(_, value)| value.is_none()) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("unshare")
    };
    // A daemon of its own, an orphan that ends at once, and the app itself. Each tells its number.
    let family = "(setsid sh -c 'echo away; exec sleep 1000' &); (sh -c 'exit 0' &); \
        trap 'echo bye; exit 0' TERM; echo \"number $PPID\"; while :; do sleep 1000 & wait $!; done";
    let mut outer = inside(&["runtime", "/bin/sh", "--", "-c", family]);
    let out = lines(outer.stdout.take().expect("a pipe"));
    let mut said = [next(&out), next(&out)];
    said.sort();
    assert_eq!(said, ["away", "number 1"]);
    let keeper = until("process 1", || {
        process::all().into_iter().find(|pid| process::parent(*pid) == Some(outer.id().cast_signed()))
    });
    let children = || process::all().into_iter().filter(|pid| process::parent(*pid) == Some(keeper));
    until_true("that nobody is a zombie", || children().all(|pid| process::state(pid) != Some('Z')));
    assert_eq!(children().count(), 3, "supervisor, app, and the one that has gone away");
    let supervisor = until("the supervisor", || {
        children().find(|pid| process::command_line(*pid).contains(" supervisor "))
    });
    process::kill(supervisor);
    until_true("the next one", || {
        children().any(|pid| pid != supervisor && process::command_line(pid).contains(" supervisor "))
    });
    process::signal(keeper, Signal::SIGTERM);
    // What was just being written when the supervisor died may come twice.
    let mut last = next(&out);
    while said.contains(&last) {
        last = next(&out);
    }
    assert_eq!((last.as_str(), ended(outer)), ("bye", 0));
    assert!(process::of_home(daemon.home()).is_empty());

    finish(inside(&["runtime", "exit 42", "--no-autorestart"])).expect(42);
}
