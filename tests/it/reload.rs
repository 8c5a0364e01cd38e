//! Moving to another declaration without anybody noticing, and not moving when it would not work.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, shell, with};
use crate::http::{self, Traffic};
use crate::process;
use crate::wait::until_true;

const READY: &str = "printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000";

/// An app that shares an address and says when it is ready, running with two workers.
fn serving(daemon: &Daemon) -> Value {
    let fields = json!({ "listen": [daemon.address(8175)], "instances": 2, "wait_ready": true, "ready_timeout": "60s" });
    with(shell("app", READY), fields)
}

fn variables(daemon: &Daemon) -> String {
    daemon.ok(&["env", "0"]).out
}

#[test]
fn a_reload_under_load_loses_no_request() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let hello = |env: Value| json!([{ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2, "env": env }]);
    daemon.run(&hello(json!({ "OLD": "1" })));
    let traffic = Traffic::start(&address);
    let mut all: BTreeSet<i32> = daemon.pids().into_iter().collect();
    for round in 0..3 {
        daemon.declare(&hello(json!({ "ROUND": round })));
        daemon.ok(&["reload", "hello"]);
        let now = daemon.pids();
        assert_eq!(now.len(), 2);
        assert!(now.iter().all(|&pid| all.insert(pid)), "every worker is replaced");
        until_true("an answer of a new one", || now.contains(&http::pid(&address).expect("an answer")));
    }
    let answers = traffic.finish();
    assert!(answers.keys().all(|pid| all.contains(pid)));
    let variables = variables(&daemon);
    assert!(
        variables.contains("ROUND=2\n") && !variables.contains("OLD="),
        "what vanished is gone:\n{variables}"
    );
    assert!(daemon.list().iter().all(|worker| worker["status"] == "online"));
}

#[test]
fn a_reload_to_what_does_not_come_up_leaves_the_old_workers() {
    let daemon = Daemon::start();
    daemon.run(&json!([serving(&daemon)]));
    let before = daemon.pids();
    daemon.declare(&json!([with(
        serving(&daemon),
        json!({ "args": ["-c", "exit 1"], "env": { "NEW": "1" } })
    )]));
    daemon.ctl(&["reload", "app"]).expect(1).says(&["exited with code 1", "the old workers stay"]);
    assert_eq!(daemon.pids(), before);
    assert!(daemon.list().iter().all(|worker| worker["status"] == "online"), "{:#?}", daemon.list());
    assert!(!variables(&daemon).contains("NEW="));

    daemon.ok(&["restart", "app"]);
    assert_eq!(daemon.list().len(), 2, "a restart uses what has proven itself");
    assert!(!variables(&daemon).contains("NEW="));
}

#[test]
fn a_reload_to_what_cannot_be_read_leaves_the_old_workers() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([serving(&daemon)]));
    daemon.ok(&["start", &file]);
    let before = daemon.pids();
    std::fs::write(&file, "{ \"apps\": [").expect("a file");
    daemon.ctl(&["reload", "app"]).expect(4).says(&["ecosystem.json"]);
    std::fs::remove_file(&file).expect("removed");
    daemon.ctl(&["reload", "app"]).expect(4).says(&["ecosystem.json"]);
    assert_eq!(daemon.pids(), before);
}

#[test]
fn a_later_reload_takes_the_place_of_one_that_gets_nowhere() {
    let daemon = Daemon::start();
    daemon.run(&json!([serving(&daemon)]));
    let before = daemon.pids();
    daemon.declare(&json!([with(serving(&daemon), json!({ "args": ["-c", "exec sleep 1000"] }))]));
    let stuck = daemon.spawn(&["reload", "app"]);
    let runs = || process::of_home(daemon.home()).len();
    until_true("a third process", || runs() >= 5);
    assert!(before.iter().all(|&pid| process::is_alive(pid)));

    daemon.declare(&json!([with(serving(&daemon), json!({ "env": { "GOOD": "1" } }))]));
    daemon.ok(&["reload", "app"]);
    finish(stuck).expect(1).says(&["another command took its place"]);
    assert!(variables(&daemon).contains("GOOD=1\n"));
    until_true("the old ones are gone", || !before.iter().any(|&pid| process::is_alive(pid)));
    assert_eq!(daemon.pids().len(), 2);
}

#[test]
fn a_stop_during_a_reload_stops_everything() {
    let daemon = Daemon::start();
    daemon.run(&json!([serving(&daemon)]));
    daemon.declare(&json!([with(serving(&daemon), json!({ "args": ["-c", "exec sleep 1000"] }))]));
    let stuck = daemon.spawn(&["reload", "app"]);
    until_true("a third process", || process::of_home(daemon.home()).len() >= 5);
    daemon.ok(&["stop", "app"]);
    assert_eq!(process::of_home(daemon.home()).len(), 2, "only the daemon is left");
    assert_ne!(finish(stuck).code, 0);
}

#[test]
fn an_app_with_its_own_port_is_restarted_and_the_user_is_told() {
    let daemon = Daemon::start();
    daemon.run(&json!([crate::daemon::sleeper("app")]));
    let before = daemon.pid(0);
    daemon.ok(&["reload", "app"]).says(&["warning: the reload of app is a restart"]);
    assert_ne!(daemon.pid(0), before);
    let two = daemon.declare(&json!([crate::daemon::sleeper("app"), crate::daemon::sleeper("new")]));
    let told = daemon.ok(&["reload", &two]).says(&["warning: the reload of app is a restart"]);
    assert!(!told.err.contains("reload of new"), "it was started: {}", told.err);
}
