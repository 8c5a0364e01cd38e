//! Workers that use more memory than they may.

use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, pid_of, shell, with};
use crate::http::{self, Connection, Habit};
use crate::pm2::Pm2;

/// In its first life a descendant that has left its session and its parent comes to have 50 MB; its own memory stays as it is
/// (trap 21).
const GROWS_ONCE: &str = "mkdir grown && \
    (setsid sh -c '(head -c 50000000 /dev/zero; exec sleep 1000) | tail -c 60000000' &) ; exec sleep 1000";

fn told(daemon: &Daemon, kind: &str) -> Vec<String> {
    let all = daemon.happenings().into_iter().filter(|it| it["kind"] == kind);
    all.map(|it| it["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_worker_of_whom_a_descendant_has_grown_is_restarted() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("grow", &format!("#!/bin/sh\n{GROWS_ONCE}\n"));
    pm2.ok(&["start", "./grow", "--max-memory-restart", "20M"]);
    assert_eq!(pm2.env(0)["max_memory_restart"], 20 << 20);
    let new = |worker: &Value| worker["restarts"] == 1 && worker["status"] == "online";
    let worker = daemon.until(0, "is restarted", new);
    assert!(worker["memory"].as_u64() < Some(20 << 20) && worker["unstable_restarts"] == 0, "{worker:#}");

    let [text] = &told(daemon, "oversize")[..] else { panic!("told once") };
    assert!(
        text.starts_with("to be replaced: uses ") && text.ends_with("mb of memory, its limit is 20.0mb"),
        "{text}"
    );
    let why = daemon.ok(&["why", "grow"]).out;
    assert!(
        why.contains("was too large")
            && why.contains("its limit is 20.0mb")
            && why.contains("started again once"),
        "{why}"
    );
    let picture = daemon.ok(&["describe", "grow"]).out;
    assert!(picture.contains("max memory restart") && picture.contains("was too large"), "{picture}");
    assert!(told(daemon, "failed").is_empty(), "it is no crash");
}

#[test]
fn a_cluster_worker_that_leaks_is_replaced_and_nobody_notices() {
    let daemon = Daemon::start();
    let Some(app) = apps::node(&daemon, &json!({})) else { return };
    daemon.run(&json!([with(app, json!({ "max_memory_restart": "150M" }))]));
    let address = apps::address(&daemon);
    let crowd = Crowd::gather(&address, &[(Habit::Keep, 4), (Habit::Once, 4)], &["/"]);
    let mut connection = Connection::open(&address).expect("a connection");
    let large = http::answered_by(&connection.get("/grow").expect("an answer")).expect("a pid");
    let id = daemon.list().iter().position(|worker| worker["pid"] == large).expect("a worker") as u64;
    let other = daemon.pid(1 - id);
    let replaced = |worker: &Value| worker["status"] == "online" && worker["pid"] != large;
    let worker = daemon.until(id, "is replaced", replaced);
    assert_eq!((&worker["restarts"], daemon.pid(1 - id)), (&json!(1), other));
    let new = pid_of(&worker);
    crate::wait::until_true("an answer of the new one", || http::pid(&address).expect("an answer") == new);
    let tally = crowd.disperse();
    assert!(tally.lost.is_empty(), "{tally:#?}");

    let happenings = daemon.happenings();
    let place = |kind: &str| happenings.iter().rposition(|it| it["kind"] == kind && it["worker"] == id);
    assert!(place("oversize") < place("ready") && place("ready") < place("draining"), "{happenings:#?}");
}

/// Nothing fits into it, so that the worker serves ever longer before the next one takes its place.
#[test]
fn a_limit_that_cannot_be_kept_keeps_nobody_down() {
    let daemon = Daemon::start();
    let app = with(shell("app", "exec sleep 1000"), json!({ "max_memory_restart": "64K" }));
    daemon.run(&json!([app])).says(&["less than any program takes"]);
    let stays = |worker: &Value| {
        worker["status"] == "online"
            && worker["reason"].as_str().is_some_and(|reason| reason.ends_with("its limit is 64.0kb"))
            && worker["remaining"].as_u64() > Some(0)
    };
    let before = daemon.until(0, "stays although it is too large", stays);
    // Its successor knows until when.
    daemon.kill_supervisor();
    let later = |worker: &Value| worker["restarts"].as_u64() > before["restarts"].as_u64() && stays(worker);
    let worker = daemon.until(0, "is replaced and stays again", later);
    assert_ne!(worker["pid"], before["pid"]);
    assert!(worker["unstable_restarts"] == 0 && told(&daemon, "given_up").is_empty());
}
