//! A worker ends unasked: what follows, and what the user is told.

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::process;
use crate::wait::until_true;

/// An app that writes down each of its lives and ends.
fn brief(daemon: &Daemon, name: &str, code: u8) -> Value {
    shell(name, &format!("echo life >> {}; exit {code}", daemon.file(name).display()))
}

fn lives(daemon: &Daemon, name: &str) -> usize {
    daemon.read(name).lines().count()
}

fn text<'a>(worker: &'a Value, field: &str) -> &'a str {
    worker[field].as_str().unwrap_or_else(|| panic!("no {field} in {worker:#}"))
}

#[test]
fn a_killed_worker_is_replaced() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app"), sleeper("other")]));
    let (app, other) = (daemon.pid(0), daemon.pid(1));
    process::kill(app);
    let replaced =
        daemon.until(0, "is replaced", |worker| worker["restarts"] == 1 && worker["status"] == "online");
    assert_ne!(replaced["pid"], app);
    assert_eq!(replaced["last_exit"]["exit"], json!({ "signal": 9 }));
    assert!(text(&replaced["last_exit"], "text").starts_with("killed by SIGKILL after "));
    assert_eq!(daemon.pid(1), other, "nobody else is touched");
    let shown = daemon.ok(&["describe", "app"]).out;
    assert!(shown.contains("SIGKILL"), "{shown}");
}

#[test]
fn a_crash_loop_waits_longer_and_says_why() {
    let daemon = Daemon::start();
    daemon.ctl(&["start", &daemon.declare(&json!([brief(&daemon, "app", 3)]))]);
    let waiting = daemon.until_status(0, "waiting restart");
    assert!(text(&waiting, "reason").contains("exited with code 3"), "{waiting:#}");
    assert!(waiting["remaining"].as_u64().is_some_and(|left| left <= 1200), "{waiting:#}");
    assert_eq!(lives(&daemon, "app"), 2, "the first restart comes at once");
    assert!(daemon.ok(&["list"]).out.contains("waiting"));

    let later = daemon
        .until(0, "waits longer", |worker| worker["remaining"].as_u64().is_some_and(|left| left > 1400));
    assert!(later["restarts"].as_u64() >= Some(2));
}

#[test]
fn a_worker_that_waits_for_its_restart_can_be_stopped() {
    let daemon = Daemon::start();
    let delay = json!({ "restart_delay": 300, "max_restarts": 1000 });
    let app = with(brief(&daemon, "app", 1), delay.clone());
    let clock = with(brief(&daemon, "clock", 1), delay);
    daemon.ctl(&["start", &daemon.declare(&json!([app, clock]))]);
    daemon.until_status(0, "waiting restart");
    daemon.ok(&["stop", "app"]);
    let stopped = lives(&daemon, "app");
    assert_eq!(daemon.worker(0)["status"], "stopped");

    let now = lives(&daemon, "clock");
    until_true("two restarts of its twin", || lives(&daemon, "clock") >= now + 2);
    assert_eq!((lives(&daemon, "app"), &daemon.worker(0)["status"]), (stopped, &json!("stopped")));
}

#[test]
fn an_app_that_never_stays_up_is_given_up_when_it_asks_for_that() {
    let daemon = Daemon::start();
    let app = with(brief(&daemon, "app", 9), json!({ "max_restarts": 3, "min_uptime": 5000 }));
    daemon.ctl(&["start", &daemon.declare(&json!([app]))]);
    let errored = daemon.until_status(0, "errored");
    assert!(text(&errored, "reason").contains("given up after 3 short lives"), "{errored:#}");
    assert_eq!(lives(&daemon, "app"), 3);
    assert_eq!(errored["pid"], Value::Null);

    daemon.ctl(&["restart", "app"]);
    daemon.until_status(0, "errored");
    assert_eq!(lives(&daemon, "app"), 6, "a command gives it another three");
}

#[test]
fn some_exits_are_final() {
    let daemon = Daemon::start();
    let by_code = with(brief(&daemon, "by-code", 7), json!({ "stop_exit_codes": [7] }));
    let other_code = with(brief(&daemon, "other-code", 8), json!({ "stop_exit_codes": [7] }));
    let once = with(brief(&daemon, "once", 0), json!({ "autorestart": false }));
    daemon.ctl(&["start", &daemon.declare(&json!([by_code, other_code, once]))]);
    let (stopped, finished) = (daemon.until_status(0, "stopped"), daemon.until_status(2, "stopped"));
    assert!(text(&stopped, "reason").contains("exited with code 7"), "{stopped:#}");
    assert!(text(&finished, "reason").contains("exited with code 0"), "{finished:#}");
    daemon.until_status(1, "waiting restart");
    assert_eq!((lives(&daemon, "by-code"), lives(&daemon, "once")), (1, 1));
    let done = daemon.happenings().into_iter().find(|it| it["app"] == "once" && it["kind"] == "completed");
    assert!(done.is_some(), "it has done its work");
    assert!(daemon.ok(&["why", "once"]).out.contains("No crash is on record."));
}

#[test]
fn a_crash_takes_what_it_started_along() {
    let daemon = Daemon::start();
    let parent = format!("sleep 1000 & echo $! > {}; wait", daemon.file("child").display());
    daemon.run(&json!([shell("app", &parent)]));
    let child = |daemon: &Daemon| daemon.read("child").trim().parse::<i32>().ok();
    until_true("the child", || child(&daemon).is_some());
    let first = child(&daemon).expect("a child");
    process::kill(daemon.pid(0));
    until_true("the next child", || child(&daemon).is_some_and(|child| child != first));
    assert!(!process::is_alive(first), "it would fight with its successor");
}

#[test]
fn a_storm_of_exits_holds_no_command_up() {
    let daemon = Daemon::start();
    let at_once = json!({ "instances": 8, "restart_delay": 0, "max_restarts": 1_000_000, "min_uptime": 1 });
    daemon.ok(&["start", &daemon.declare(&json!([with(shell("flap", "true"), at_once)]))]);
    daemon.run(&json!([sleeper("calm")]));
    daemon.ok(&["stop", "calm"]);
    daemon.ok(&["set", "supd:keep", "7"]);
    daemon.ok(&["stop", "flap"]);
}
