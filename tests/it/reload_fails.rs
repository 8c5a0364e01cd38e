//! Reloads that cannot succeed, under load: the old version serves all the while and afterwards.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, finish, with};
use crate::process;
use crate::wait::{until, until_true};

/// A worker of the old version under load, and what its successors shall be like.
struct Stage {
    daemon: Daemon,
    before: Vec<i32>,
    crowd: Crowd,
}

impl Stage {
    /// `None` where there is no Node.
    fn set() -> Option<Self> {
        let daemon = Daemon::start();
        daemon.run(&json!([old(&daemon)?]));
        let crowd = Crowd::small(&apps::address(&daemon));
        Some(Self { before: daemon.pids(), daemon, crowd })
    }

    fn processes(&self) -> Vec<i32> {
        process::of_home(self.daemon.home())
    }

    /// Declares the new version.
    fn declare(&self, variables: &Value, fields: Value) {
        let new = apps::node(&self.daemon, variables).expect("there is Node");
        self.daemon.declare(&json!([with(new, fields)]));
    }

    /// Reloads, which must fail and say all of this.
    #[track_caller]
    fn fails(&self, says: &[&str]) {
        self.daemon.ctl(&["reload", "web"]).expect(1).says(says).says(&["the old workers stay"]);
    }

    /// The workers there were have served all the while, alone and without a loss.
    #[track_caller]
    fn nothing_was_noticed(self) {
        let list = self.daemon.list();
        let noticed = |worker: &Value| worker["notice"].as_str().is_some_and(|it| it.contains("taken back"));
        assert!(list.iter().all(|worker| worker["status"] == "online" && noticed(worker)), "{list:#?}");
        assert_eq!(self.daemon.pids(), self.before);
        let answers = self.crowd.disperse().complete();
        let old: BTreeSet<i32> = self.before.into_iter().collect();
        assert_eq!(answers.into_keys().collect::<BTreeSet<_>>(), old);
    }
}

fn old(daemon: &Daemon) -> Option<Value> {
    Some(with(apps::node(daemon, &json!({ "VERSION": "old" }))?, json!({ "kill_timeout": "5s" })))
}

#[test]
fn the_new_one_throws_at_boot() {
    let Some(stage) = Stage::set() else { return };
    stage.declare(&json!({ "FAULT": "throws" }), json!({}));
    stage.fails(&["exited with code 1", "'s standard error:", "  Error: no such table"]);
    stage.nothing_was_noticed();
}

#[test]
fn the_new_one_never_gets_ready() {
    let Some(stage) = Stage::set() else { return };
    stage.declare(&json!({ "FAULT": "silent" }), json!({ "ready_timeout": "800ms" }));
    stage.fails(&["was not ready within", "'s standard error:\n  waiting for the moon\n"]);
    stage.nothing_was_noticed();
}

#[test]
fn the_new_one_listens_somewhere_else() {
    let Some(stage) = Stage::set() else { return };
    stage.declare(&json!({ "FAULT": "elsewhere" }), json!({ "listen_timeout": "800ms" }));
    let address = apps::address(&stage.daemon);
    stage.fails(&[&format!("does not listen on {address}")]);
    stage.nothing_was_noticed();
}

#[test]
fn the_new_one_is_killed_while_it_starts() {
    let Some(stage) = Stage::set() else { return };
    let known = stage.processes();
    stage.declare(&json!({ "FAULT": "silent" }), json!({}));
    let reload = stage.daemon.spawn(&["reload", "web"]);
    process::kill(until("a replacement", || stage.processes().into_iter().find(|pid| !known.contains(pid))));
    finish(reload).expect(1).says(&["killed by SIGKILL", "the old workers stay"]);
    stage.nothing_was_noticed();
}

#[test]
fn the_script_is_missing() {
    let daemon = Daemon::start();
    let Some(app) = old(&daemon) else { return };
    let script = daemon.file("server.js");
    fs::copy(app["script"].as_str().expect("a path"), &script).expect("a copy");
    daemon.run(&json!([with(app, json!({ "script": script }))]));
    let stage = Stage { before: daemon.pids(), crowd: Crowd::small(&apps::address(&daemon)), daemon };
    fs::remove_file(&script).expect("removed");
    stage.daemon.ctl(&["reload", "web"]).expect(4).says(&["server.js"]);
    // As a script does it that knows workers by their ids only.
    let ran = stage.daemon.ctl(&["reload", "0"]);
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert_eq!(stage.daemon.pids(), stage.before);
    stage.crowd.disperse().complete();
}

#[test]
fn the_second_one_fails_and_the_first_goes_back() {
    let Some(stage) = Stage::set() else { return };
    let known = stage.processes();
    stage.declare(&json!({ "FAULT": "silent in the second", "VERSION": "new" }), json!({}));
    let reload = stage.daemon.spawn(&["reload", "web"]);
    until_true("one of two has moved", || {
        stage.daemon.happenings().iter().any(|it| it["progress"] == json!({ "done": 1, "of": 2 }))
    });
    let moved = stage.daemon.pid(0);
    process::kill(until("the second replacement", || {
        stage.processes().into_iter().find(|pid| !known.contains(pid) && *pid != moved)
    }));
    finish(reload).expect(1).says(&["killed by SIGKILL", "the old workers stay"]);
    until_true("both are back", || {
        let list = stage.daemon.list();
        list.iter().all(|worker| worker["status"] == "online" && worker["reason"] == "ready")
    });
    assert_eq!(stage.daemon.pid(1), stage.before[1], "this one never left");
    assert!(apps::serves(&stage.daemon, "old"));
    stage.crowd.disperse().complete();
}

#[test]
fn the_new_one_crashes_as_soon_as_it_is_ready() {
    let Some(stage) = Stage::set() else { return };
    // The second holds the reload up until the first has crashed.
    let fault = json!({ "FAULT": "crashes in the first, silent in the second", "VERSION": "new" });
    stage.declare(&fault, json!({}));
    stage.fails(&["exited with code 3", "fatal: out of luck"]);
    until_true("both are back", || {
        let list = stage.daemon.list();
        list.iter().all(|worker| worker["status"] == "online" && worker["reason"] == "ready")
    });
    assert!(apps::serves(&stage.daemon, "old"));
    // What the one that crashed had accepted is lost with it, and nothing else.
    let tally = stage.crowd.disperse();
    assert!(tally.lost.keys().all(|kind| kind.contains("not answered")), "{tally:#?}");
    assert!(tally.lost.values().sum::<u64>() <= 6, "at most one of each client: {tally:#?}");
}
