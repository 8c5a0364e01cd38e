//! Back to the version before: because somebody asks for it, or because the new one cannot stay up.

use std::fs;

use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, with};
use crate::wait::until_true;

fn kinds(daemon: &Daemon) -> Vec<String> {
    daemon.happenings().iter().map(|it| it["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn to_the_version_before_and_back_again() {
    let daemon = Daemon::start();
    let version = |version: &str| apps::node(&daemon, &json!({ "VERSION": version }));
    let Some(first) = version("1") else { return };
    daemon.run(&json!([first]));
    daemon.ctl(&["rollback", "web"]).expect(5).says(&["error: web has no earlier version"]);
    let crowd = Crowd::small(&apps::address(&daemon));
    daemon.declare(&json!([version("2")]));
    daemon.ok(&["reload", "web"]);
    assert!(apps::serves(&daemon, "2"));
    daemon.ok(&["rollback", "web"]);
    assert!(apps::serves(&daemon, "1"));
    daemon.ok(&["rollback", "web"]);
    assert!(apps::serves(&daemon, "2"));
    // What is known of the version before survives a change of supervisor and a reboot.
    daemon.kill_supervisor();
    daemon.ok(&["rollback", "web"]);
    assert!(apps::serves(&daemon, "1"));
    crowd.disperse().complete();
    daemon.pull_the_plug();
    daemon.ok(&["ping"]);
    (0..2).for_each(|worker| drop(daemon.until_status(worker, "online")));
    daemon.ok(&["rollback", "web"]);
    assert!(apps::serves(&daemon, "2"));
}

#[test]
fn a_crash_loop_after_the_reload_brings_the_version_before_back() {
    let daemon = Daemon::start();
    let file = daemon.file("crash");
    let Some(first) = apps::node(&daemon, &json!({ "VERSION": "1" })) else { return };
    daemon.run(&json!([first]));
    let second = apps::node(&daemon, &json!({ "VERSION": "2", "CRASH_FILE": file }));
    daemon.declare(&json!([with(second.expect("Node"), json!({ "rollback_window": "5m" }))]));
    daemon.ok(&["reload", "web"]);
    assert!(apps::serves(&daemon, "2"));
    fs::write(file, "").expect("a file");
    let is_back = |worker: &Value| {
        let notice = worker["notice"].as_str().unwrap_or_default();
        worker["status"] == "online" && worker["reason"] == "ready" && notice.contains("rolled back")
    };
    until_true("the version before", || daemon.list().iter().all(is_back));
    assert!(apps::serves(&daemon, "1"));
    let notice = daemon.worker(0)["notice"].to_string();
    assert!(notice.contains("the new one exited with code 3"), "{notice}");
    assert!(daemon.ok(&["list"]).out.contains("\n  web: rolled back to revision"));
    let told = daemon.ok(&["events", "web", "--nostream"]).out;
    assert!(told.contains("rolled back: the new one exited with code 3"), "{told}");
    assert_eq!(kinds(&daemon).iter().filter(|kind| *kind == "rolled_back").count(), 1);

    // It stays there, also when it is restarted, and there is nothing before it.
    daemon.ok(&["restart", "web"]);
    assert!(apps::serves(&daemon, "1"));
    daemon.ctl(&["rollback", "web"]).expect(5).says(&["web has no earlier version"]);
}

#[test]
fn one_crash_after_the_reload_is_an_accident() {
    let daemon = Daemon::start();
    let Some(first) = apps::node(&daemon, &json!({ "VERSION": "1" })) else { return };
    daemon.run(&json!([first]));
    daemon.declare(&json!([apps::node(&daemon, &json!({ "VERSION": "2" }))]));
    daemon.ok(&["reload", "web"]);
    let victim = daemon.pid(0);
    crate::process::kill(victim);
    daemon.until(0, "is up again", |worker| worker["status"] == "online" && worker["pid"] != victim);
    assert!(apps::serves(&daemon, "2") && !kinds(&daemon).contains(&"rolled_back".to_owned()));
}
