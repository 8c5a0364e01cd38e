//! Reloading unmodified Node apps under load: not one request is lost.

use std::collections::BTreeSet;

use serde_json::json;

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, with};
use crate::http::{self, Habit};
use crate::interpreter::free_port;
use crate::wait::until_true;

/// Half-second requests among short ones.
const MIXED: [&str; 4] = ["/", "/slow?ms=20", "/", "/slow?ms=500"];

#[test]
fn ten_reloads_of_an_express_app_lose_no_request() {
    let port = free_port();
    let Some(app) = apps::express(port, &json!({})) else { return };
    let daemon = Daemon::start();
    daemon.run(&json!([app]));
    let clients = [(Habit::Keep, 50), (Habit::Once, 10)];
    let crowd = Crowd::gather(&format!("127.0.0.1:{port}"), &clients, &MIXED);
    let mut all: BTreeSet<i32> = daemon.pids().into_iter().collect();
    for _ in 0..10 {
        daemon.ok(&["reload", "web"]);
        let now = daemon.pids();
        assert!(now.len() == 2 && now.iter().all(|&pid| all.insert(pid)), "every worker is replaced");
    }
    let answers = crowd.disperse().complete();
    assert!(answers.keys().all(|pid| all.contains(pid)), "{answers:?} of {all:?}");
    assert!(answers.len() > 10, "one after the other served: {answers:?}");
}

#[test]
fn one_worker_that_boots_slowly_is_replaced_without_a_gap() {
    let daemon = Daemon::start();
    let app = |variables| Some(with(apps::node(&daemon, &variables)?, json!({ "instances": 1 })));
    let Some(first) = app(json!({})) else { return };
    daemon.run(&json!([first]));
    let (before, address) = (daemon.pid(0), apps::address(&daemon));
    let crowd = Crowd::gather(&address, &[(Habit::Keep, 10), (Habit::Once, 5)], &MIXED);
    // Longer than `listen_timeout`, after which PM2 takes it as ready.
    daemon.declare(&json!([app(json!({ "BOOT_MS": "4000" }))]));
    daemon.ok(&["reload", "web"]);
    let after = daemon.pid(0);
    until_true("an answer of the new one", || http::pid(&address).expect("an answer") == after);
    let answers = crowd.disperse().complete();
    assert!(answers.keys().copied().collect::<BTreeSet<_>>().is_subset(&[before, after].into()));
}
