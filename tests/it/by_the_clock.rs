//! `cron_restart`: new processes by the clock, and none for what was stopped.

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper, with};
use crate::wait::until_true;

const EACH_SECOND: &str = "* * * * * *";
/// In some years.
const NEVER: &str = "0 0 29 2 *";

fn renewals(daemon: &Daemon, app: &str) -> Vec<Value> {
    let of = |it: &Value| it["kind"] == "renewed" && it["app"] == app;
    daemon.happenings().into_iter().filter(of).collect()
}

#[test]
fn workers_are_replaced_by_the_clock_and_what_was_stopped_stays_so() {
    let daemon = Daemon::start();
    let apps = json!([
        with(sleeper("often"), json!({ "cron_restart": EACH_SECOND })),
        with(sleeper("seldom"), json!({ "cron_restart": NEVER, "cron_time_zone": "UTC" })),
        with(sleeper("stopped"), json!({ "cron_restart": EACH_SECOND, "autostart": false })),
    ]);
    daemon.run(&apps);
    let (often, seldom) = (daemon.pid(0), daemon.pid(1));
    daemon
        .until(0, "another process", |worker| worker["status"] == "online" && worker["pid"] != json!(often));
    assert_eq!(renewals(&daemon, "often")[0]["text"], format!("cron: {EACH_SECOND}"));
    // Supervisors come and go, times do not.
    daemon.kill_supervisor();
    until_true("another time", || !renewals(&daemon, "often").is_empty());
    assert_eq!(daemon.pid(1), seldom);
    assert_eq!(daemon.worker(2)["status"], "stopped");
    assert!(daemon.ok(&["describe", "seldom"]).out.contains("0 0 29 2 * in UTC, next at 20"));

    daemon.ok(&["stop", "often"]);
    let before = renewals(&daemon, "often").len();
    daemon.run(&json!([with(sleeper("witness"), json!({ "cron_restart": EACH_SECOND }))]));
    until_true("a few times", || renewals(&daemon, "witness").len() > 2);
    assert_eq!(daemon.worker(0)["status"], "stopped");
    assert_eq!(renewals(&daemon, "often").len(), before);
}

#[test]
fn bad_times_are_refused_with_all_other_problems_and_nothing_is_started() {
    let daemon = Daemon::start();
    let apps = json!([
        with(sleeper("a"), json!({ "cron_restart": "61 * * * *", "max_restarts": -1 })),
        with(sleeper("b"), json!({ "cron_restart": "0 0 30 2 *", "cron_time_zone": "Mars/Base" })),
    ]);
    let file = daemon.declare(&apps);
    daemon.ctl(&["start", &file]).expect(4).says(&[
        "apps[0].cron_restart: \"61 * * * *\" is no cron expression",
        "apps[0].max_restarts",
        "apps[1].cron_restart: \"0 0 30 2 *\" never comes",
        "apps[1].cron_time_zone: \"Mars/Base\" is no time zone",
    ]);
    assert!(daemon.list().is_empty());
}

/// PM2's words for it.
#[test]
fn pm2_takes_it_back_with_a_zero() {
    let pm2 = crate::pm2::Pm2::new();
    let script = pm2.daemon.script("app", "#!/bin/sh\nexec sleep 1000\n");
    pm2.ok(&["start", &script, "--name", "web", "--cron-restart", NEVER]);
    assert_eq!(pm2.env(0)["cron_restart"], NEVER);
    assert!(pm2.ok(&["describe", "web"]).out.contains(NEVER));
    pm2.ok(&["restart", "web", "--cron-restart", "0"]);
    assert!(pm2.env(0).get("cron_restart").is_none());
    pm2.ok(&["restart", "web", "-c", NEVER]);
    assert_eq!(pm2.env(0)["cron_restart"], NEVER);
}
