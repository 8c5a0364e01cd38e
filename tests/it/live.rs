//! Workers that hang are found out and replaced, the new one first.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, pid_of, with};
use crate::http::{Connection, Habit};
use crate::process;
use crate::wait::until_true;

/// Two cluster workers whose health is asked for, under load.
fn watched(daemon: &Daemon) -> Option<Crowd> {
    let live = json!({ "http": "/health", "interval": "200ms", "timeout": "1s", "failure_threshold": 2 });
    let app = with(apps::node(daemon, &json!({}))?, json!({ "live": live, "kill_timeout": "500ms" }));
    daemon.run(&json!([app]));
    Some(Crowd::gather(&apps::address(daemon), &[(Habit::Keep, 4), (Habit::Once, 4)], &["/"]))
}

/// The worker that hangs is replaced, the new one first; only what it had accepted is lost.
fn is_replaced(daemon: &Daemon, crowd: Crowd, hung: i32) {
    let worker = daemon.list().iter().position(|worker| worker["pid"] == hung).expect("a worker") as u64;
    let replaced = |worker: &Value| worker["status"] == "online" && worker["pid"] != hung;
    let new = pid_of(&daemon.until(worker, "is replaced", replaced));
    let other = daemon.pid(1 - worker);
    until_true("its end", || !process::is_alive(hung));
    until_true("an answer of the new one", || {
        crate::http::pid(&apps::address(daemon)).expect("an answer") == new
    });
    let tally = crowd.disperse();
    assert!(tally.lost.keys().all(|kind| kind.contains("not answered")), "{tally:#?}");
    assert!(tally.lost.values().sum::<u64>() <= 8, "at most one of each client: {tally:#?}");
    assert!(tally.answers.contains_key(&other));

    let told: Vec<Value> = daemon.happenings().into_iter().filter(|it| it["worker"] == worker).collect();
    let place = |kind: &str| told.iter().rposition(|it| it["kind"] == kind).expect("it happened");
    let (unfit, ready) = (place("unfit"), place("ready"));
    let gone = told.iter().position(|it| it["kind"] == "draining" || it["kind"] == "stopping");
    assert!(unfit < ready && ready < gone.expect("it went"), "{told:#?}");
}

#[test]
fn a_worker_whose_event_loop_is_blocked_is_replaced() {
    let daemon = Daemon::start();
    let Some(crowd) = watched(&daemon) else { return };
    // Whoever answers this one is asked to block on the same connection.
    let mut connection = Connection::open(&apps::address(&daemon)).expect("a connection");
    let hung = crate::http::answered_by(&connection.get("/").expect("an answer")).expect("a pid");
    let blocking = std::thread::spawn(move || connection.get("/block").map(|_| ()));
    is_replaced(&daemon, crowd, hung);
    assert!(blocking.join().expect("a client").is_err());
}

#[test]
fn a_worker_that_was_stopped_by_a_signal_is_replaced() {
    let daemon = Daemon::start();
    let Some(crowd) = watched(&daemon) else { return };
    let hung = daemon.pid(0);
    process::signal(hung, Signal::SIGSTOP);
    is_replaced(&daemon, crowd, hung);
}

#[test]
fn without_a_probe_list_tells_who_was_stopped_by_a_signal() {
    let daemon = Daemon::start();
    daemon.run(&json!([crate::daemon::sleeper("app")]));
    let pid = daemon.pid(0);
    process::signal(pid, Signal::SIGSTOP);
    let says = |worker: &Value| worker["reason"].as_str().unwrap_or_default().contains("stopped by a signal");
    daemon.until(0, "says that it is stopped", says);
    assert!(daemon.ok(&["list"]).out.contains("\n  app (0) online: stopped by a signal"));
    process::signal(pid, Signal::SIGCONT);
    daemon.until(0, "goes on", |worker| worker["reason"] == "ready");
    assert_eq!(daemon.pid(0), pid);
}

#[test]
fn a_worker_that_falls_silent_is_replaced() {
    let daemon = Daemon::start();
    let mute = daemon.file("mute");
    let Some(app) = apps::python(&daemon, &json!({ "MUTE_FILE": mute })) else { return };
    let fields = json!({ "wait_ready": true, "live": { "watchdog": "1s" }, "instances": 1 });
    daemon.run(&json!([with(app, fields)]));
    let before = daemon.pid(0);
    let crowd = Crowd::gather(&apps::address(&daemon), &[(Habit::Once, 4)], &["/"]);
    fs::write(&mute, "").expect("a file");
    until_true("it is found out", || daemon.happenings().iter().any(|it| it["kind"] == "unfit"));
    fs::remove_file(&mute).expect("removed");
    daemon.until(0, "is replaced", |worker| worker["pid"] != before && worker["reason"] == "ready");
    until_true("its end", || !process::is_alive(before));
    // It was well in truth, and finished what it had.
    crowd.disperse().complete();
    let told = daemon.ok(&["events", "--nostream"]).out;
    assert!(told.contains("to be replaced: no WATCHDOG=1 for 1 s"), "{told}");
}

#[test]
fn what_a_worker_says_about_itself_is_in_list() {
    let daemon = Daemon::start();
    let Some(app) = apps::python(&daemon, &json!({})) else { return };
    daemon.run(&json!([with(app, json!({ "instances": 1 }))]));
    let say = |text: &str| {
        let mut connection = Connection::open(&apps::address(&daemon)).expect("a connection");
        connection.get(&format!("/say?text={text}")).expect("an answer");
    };
    say("STATUS%3D3%20of%205%20jobs");
    daemon.until(0, "tells its jobs", |worker| worker["message"] == "3 of 5 jobs");
    say("RELOADING%3D1");
    daemon.until(0, "reloads", |worker| worker["reason"] == "it reloads its configuration");
    say("READY%3D1");
    daemon.until(0, "is ready", |worker| worker["reason"] == "ready");
    say("STOPPING%3D1");
    daemon.until(0, "stops", |worker| worker["reason"] == "it stops by its own will");
    let pid = daemon.pid(0);
    say("WATCHDOG%3Dtrigger");
    daemon.until(0, "is replaced", |worker| worker["pid"] != pid && worker["reason"] == "ready");
}
