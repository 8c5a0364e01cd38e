//! A daemon in the foreground for somebody who works on the apps: a change brings new processes, and nothing else ends it but Ctrl-C.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::daemon::{Daemon, finish, run};
use crate::pm2::Pm2;
use crate::process;
use crate::sinks::lines;
use crate::wait::{LIMIT, until_true};

fn next(lines: &Receiver<String>) -> String {
    lines.recv_timeout(LIMIT).expect("a line")
}

/// Replaces the script at once, so that it is one change.
fn write(site: &TempDir, text: &str) {
    let unfinished = site.path().join(".app.sh");
    fs::write(&unfinished, text).expect("written");
    fs::rename(unfinished, site.path().join("app.sh")).expect("renamed");
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
    let apps = json!([{ "name": "web", "script": "app.sh", "interpreter": "sh", "cwd": site.path(), "watch": false,
        "autorestart": false }]);
    write(&site, "echo one; exec sleep 1000");
    let file = daemon.declare(&apps);
    let mut child = daemon.spawn(&["dev", &file, "--ignore", "dist"]);
    let out = output(&mut child);
    assert_eq!(next(&out), "0|web | one");
    write(&site, "echo two; exit 3");
    assert_eq!(next(&out), "0|web | two");
    daemon.until_status(0, "stopped");
    // All apps have ended, one of them badly, and it stays, also when the supervisor was killed.
    daemon.kill_supervisor();
    write(&site, "echo three; exec sleep 1000");
    assert_eq!(next(&out), "0|web | three");
    fs::create_dir(site.path().join("dist")).expect("a directory");
    fs::write(site.path().join("dist/app.js"), "").expect("written");
    write(&site, "echo four; exec sleep 1000");
    assert_eq!(next(&out), "0|web | four");
    let reasons: Vec<String> = daemon.happenings().iter().map(|it| it["text"].to_string()).collect();
    assert!(!reasons.iter().any(|reason| reason.contains("dist")), "{reasons:?}");
    assert_eq!(interrupt(child), 0);
    assert!(!daemon.file("ledger.json").exists() && !daemon.file("logs").exists());
}

#[test]
fn a_command_runs_at_the_start_and_after_each_change() {
    let pm2 = Pm2::new();
    let site = tempfile::tempdir().expect("a directory");
    write(&site, "exec sleep 1000");
    let path = site.path().join("app.sh").display().to_string();
    let cwd = site.path().display().to_string();
    let arguments = [&path, "--cwd", &cwd, "--post-exec", "echo checked; exit 1", "--raw", "--test-mode"];
    let mut command = pm2.named("pm2-dev", &arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("pm2-dev");
    let out = output(&mut child);
    assert_eq!(next(&out), "checked");
    until_true("its end", || pm2.daemon.worker(1)["status"] == "stopped");
    write(&site, "echo changed; exec sleep 1000");
    let mut both = [next(&out), next(&out)];
    both.sort();
    assert_eq!(both, ["changed", "checked"]);
    assert_eq!(interrupt(child), 0);
    run(&mut pm2.named("pm2-dev", &["absent.js"]), b"").expect(4).says(&["Script not found"]);
    let ended = ["dev", "exit 4", "--no-autorestart", "--auto-exit"];
    finish(pm2.daemon.spawn(&ended)).expect(4);
}
