//! Readiness over the IPC descriptor, from a language that knows nothing of Node: the shell.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, shell, with};
use crate::wait::until;

fn telling(name: &str, before: &str, limit: u32) -> Value {
    let script = format!("{before}; printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000");
    with(shell(name, &script), json!({ "wait_ready": true, "ready_timeout": limit }))
}

#[test]
fn start_returns_when_the_app_has_said_that_it_is_ready() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([telling("app", "until [ -e go ]; do sleep 0.01; done", 60_000)]));
    let mut start = daemon.spawn(&["start", &file]);
    until("the launch", || daemon.list().first().filter(|worker| worker["pid"].is_number()).cloned());
    assert_eq!(daemon.worker(0)["status"], "launching");
    assert!(start.try_wait().expect("its state").is_none(), "it waits");
    fs::write(daemon.file("go"), "").expect("a file");
    finish(start).expect(0);
    assert_eq!(daemon.worker(0)["status"], "online");
}

#[test]
fn not_ready_in_time_is_a_failed_start() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([telling("app", "sleep 1000", 200)]));
    daemon.ctl(&["start", &file]).expect(1).says(&["app 0: was not ready within 200 ms"]);
    let worker = daemon.until_status(0, "waiting restart");
    assert!(
        worker["reason"].as_str().is_some_and(|reason| reason.contains("not ready within")),
        "{worker:#}"
    );
}

#[test]
fn an_exit_before_it_was_ready_is_a_failed_start() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([telling("app", "exit 4", 60_000)]));
    daemon.ctl(&["start", &file]).expect(1).says(&["app 0: exited with code 4"]);
}
