//! How many workers are on the move at a time in a reload, and who gives way to whom.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, finish, shell, with};
use crate::process;
use crate::wait::until_true;

/// Six workers that take their time to get ready and to go.
fn slow(daemon: &Daemon, fields: Value) -> Value {
    let script = "trap 'sleep 0.4; exit 0' TERM; sleep 0.2; printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; \
        while :; do sleep 0.05; done";
    let own =
        json!({ "listen": [apps::address(daemon)], "instances": 6, "wait_ready": true, "treekill": false });
    with(with(shell("web", script), own), fields)
}

/// The largest number of workers that were starting, and that were on the move, at any time of the last reload.
fn peaks(daemon: &Daemon) -> (usize, usize) {
    let told = daemon.happenings();
    let begin = told.iter().rposition(|it| it["kind"] == "reload_began").expect("a reload");
    // By worker: processes that are starting, processes that are going.
    let mut moving: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let mut peaks = (0, 0);
    for it in &told[begin..] {
        let Some(worker) = it["worker"].as_u64() else { continue };
        let (starting, going) = moving.entry(worker).or_default();
        match it["kind"].as_str().expect("a kind") {
            "started" => *starting += 1,
            "ready" => *starting -= 1,
            "draining" | "stopping" => *going = 1,
            "stopped" => *going = 0,
            _ => {}
        }
        let starting = moving.values().map(|(starting, _)| starting).sum();
        let on_the_move = moving.values().filter(|&&both| both != (0, 0)).count();
        peaks = (peaks.0.max(starting), peaks.1.max(on_the_move));
    }
    peaks
}

#[test]
fn no_more_move_at_a_time_than_declared() {
    let daemon = Daemon::start();
    daemon.run(&json!([slow(&daemon, json!({}))]));
    daemon.ok(&["reload", "web"]);
    assert_eq!(peaks(&daemon), (1, 2), "one starts, and one may still be going");
    for (surge, parallel) in [(2, 3), (3, 3)] {
        daemon.declare(&json!([slow(&daemon, json!({ "max_surge": surge, "max_parallel": parallel }))]));
        daemon.ok(&["reload", "web"]);
        assert_eq!(peaks(&daemon), (surge, parallel));
    }
}

#[test]
fn where_two_cannot_run_together_one_goes_before_one_comes() {
    let daemon = Daemon::start();
    let own = json!({ "listen": [], "instances": 3 });
    daemon.run(&json!([slow(&daemon, own.clone())]));
    daemon.ok(&["reload", "web"]).says(&["the reload of web is a restart"]);
    assert_eq!(peaks(&daemon), (1, 1));
    daemon.declare(&json!([slow(&daemon, with(own, json!({ "max_parallel": 2 })))]));
    daemon.ok(&["reload", "web"]);
    assert_eq!(peaks(&daemon), (2, 2));
}

#[test]
fn a_later_reload_moves_the_target_and_they_never_overlap() {
    let daemon = Daemon::start();
    let version =
        |version: &str, fault: &str| apps::node(&daemon, &json!({ "VERSION": version, "FAULT": fault }));
    let Some(first) = version("1", "") else { return };
    daemon.run(&json!([first]));
    let crowd = Crowd::small(&apps::address(&daemon));
    daemon.declare(&json!([version("2", "silent in the second")]));
    let stuck = daemon.spawn(&["reload", "web"]);
    until_true("one of two has moved", || {
        daemon.happenings().iter().any(|it| it["progress"] == json!({ "done": 1, "of": 2 }))
    });
    daemon.declare(&json!([version("3", "silent in the second")]));
    daemon.ok(&["reload", "web", "--no-wait"]);
    finish(stuck).expect(1).says(&["another command took its place"]);
    daemon.declare(&json!([version("4", "")]));
    daemon.ok(&["reload", "web"]);
    assert!(apps::serves(&daemon, "4"));
    assert!(peaks(&daemon).0 <= 1);
    until_true("the others are gone", || process::of_home(daemon.home()).len() == 4);
    crowd.disperse().complete();
    // Neither 2 nor 3 has ever been in place.
    daemon.ok(&["rollback", "web"]);
    assert!(apps::serves(&daemon, "1"));
}

#[test]
fn a_reload_that_takes_too_long_goes_back() {
    let daemon = Daemon::start();
    let Some(first) = apps::node(&daemon, &json!({ "VERSION": "1" })) else { return };
    daemon.run(&json!([first]));
    let crowd = Crowd::small(&apps::address(&daemon));
    let fault = json!({ "VERSION": "2", "FAULT": "silent in the second" });
    daemon.declare(&json!([apps::node(&daemon, &fault)]));
    daemon
        .ctl(&["reload", "web", "--timeout", "1500ms"])
        .expect(1)
        .says(&["was not in place in time", "the old workers stay"]);
    until_true("both are back", || daemon.list().iter().all(|worker| worker["reason"] == "ready"));
    assert!(apps::serves(&daemon, "1"));
    crowd.disperse().complete();
}
