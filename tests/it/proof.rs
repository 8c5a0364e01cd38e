//! Ready means proven: by probes of every kind, and by what a worker says itself.

use std::fs;

use serde_json::{Value, json};

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, finish, sleeper, with};
use crate::wait::until;

/// Starts what does not get ready before `file` is there, or before it is gone.
#[track_caller]
fn is_up_once(daemon: &Daemon, app: Value, change: impl FnOnce()) {
    let file = daemon.declare(&json!([app]));
    let mut start = daemon.spawn(&["start", &file]);
    until("the launch", || daemon.list().first().filter(|worker| worker["pid"].is_number()).cloned());
    assert!(start.try_wait().expect("its state").is_none(), "it waits");
    assert!(daemon.list().iter().all(|worker| worker["status"] == "launching"), "{:#?}", daemon.list());
    change();
    finish(start).expect(0);
    assert!(daemon.list().iter().all(|worker| worker["status"] == "online"));
}

#[test]
fn each_cluster_worker_is_asked_for_its_health() {
    let daemon = Daemon::start();
    let sick = daemon.file("sick");
    fs::write(&sick, "").expect("a file");
    let Some(app) = apps::node(&daemon, &json!({ "SICK_FILE": sick, "VERSION": "1" })) else { return };
    let ready = json!({ "ready": { "http": "/health", "interval": "100ms" } });
    is_up_once(&daemon, with(app, ready.clone()), || fs::remove_file(&sick).expect("removed"));

    // The old workers share the port with the new one and are well: their answers must not count for it.
    let (before, crowd) = (daemon.pids(), Crowd::small(&apps::address(&daemon)));
    let other = daemon.file("other");
    fs::write(&other, "").expect("a file");
    let next = apps::node(&daemon, &json!({ "SICK_FILE": other, "VERSION": "2" })).expect("Node");
    let next = with(next, ready);
    daemon.declare(&json!([with(next.clone(), json!({ "ready_timeout": "1s" }))]));
    daemon.ctl(&["reload", "web"]).expect(1).says(&["was not ready within", "the old workers stay"]);
    assert_eq!(daemon.pids(), before);
    crowd.disperse().complete();

    fs::remove_file(&other).expect("removed");
    daemon.declare(&json!([next]));
    daemon.ok(&["reload", "web"]);
    assert!(apps::serves(&daemon, "2"));
}

#[test]
fn a_worker_that_is_not_ready_any_more_says_so_in_list() {
    let daemon = Daemon::start();
    let sick = daemon.file("sick");
    let Some(app) = apps::node(&daemon, &json!({ "SICK_FILE": sick })) else { return };
    daemon.run(&json!([with(app, json!({ "ready": { "http": "/health", "interval": "100ms" } }))]));
    let before = daemon.pids();
    fs::write(&sick, "").expect("a file");
    let says = |worker: &Value| worker["reason"].as_str().unwrap_or_default().starts_with("not ready: ");
    assert_eq!(daemon.until(0, "is not ready", says)["status"], "online");
    fs::remove_file(&sick).expect("removed");
    daemon.until(0, "is ready", |worker| worker["reason"] == "ready");
    assert_eq!(daemon.pids(), before, "that alone replaces nobody");
}

#[test]
fn a_server_on_an_inherited_socket_is_asked_there() {
    let daemon = Daemon::start();
    let Some(app) = apps::python(&daemon, &json!({ "VERSION": "1" })) else { return };
    let fields =
        json!({ "ready": { "http": "/", "interval": "100ms" }, "instances": 1, "ready_timeout": "20s" });
    daemon.run(&json!([with(app, fields)]));
    assert!(apps::serves(&daemon, "1"));
    let next = apps::python(&daemon, &json!({ "VERSION": "2" })).expect("Python");
    let crowd = Crowd::gather(&apps::address(&daemon), &[(crate::http::Habit::Once, 4)], &["/"]);
    daemon.declare(&json!([with(next, json!({ "ready": "/", "instances": 1 }))]));
    daemon.ok(&["reload", "web"]);
    assert!(apps::serves(&daemon, "2"));
    crowd.disperse().complete();
}

#[test]
fn a_port_that_accepts_is_a_proof() {
    let daemon = Daemon::start();
    let go = daemon.file("go");
    let Some(app) = apps::node(&daemon, &json!({ "FAULT": "silent" })) else { return };
    let ready = json!({ "tcp": apps::address(&daemon), "interval": "100ms" });
    let fields =
        json!({ "name": "own", "exec_mode": "fork", "instances": 1, "ready": ready, "ready_timeout": "1s" });
    let file = daemon.declare(&json!([with(app, fields.clone())]));
    daemon.ctl(&["start", &file]).expect(1).says(&["was not ready within 1s"]);
    daemon.ok(&["delete", "own"]);
    let app = apps::node(&daemon, &json!({ "START_FILE": go })).expect("Node");
    is_up_once(&daemon, with(with(app, fields), json!({ "ready_timeout": "1m" })), || {
        fs::write(&go, "").expect("a file");
    });
}

#[test]
fn a_command_is_a_proof() {
    let daemon = Daemon::start();
    let ready =
        json!({ "exec": ["/bin/sh", "-c", "test -e go && test \"$SUPD_APP\" = app"], "interval": "100ms" });
    let app = with(sleeper("app"), json!({ "cwd": daemon.home(), "ready": ready }));
    is_up_once(&daemon, app, || fs::write(daemon.file("go"), "").expect("a file"));
}

#[test]
fn a_start_that_its_startup_probe_gives_up_has_failed() {
    let daemon = Daemon::start();
    let startup = json!({ "exec": "/bin/false", "interval": "100ms", "failure_threshold": 2 });
    let file = daemon.declare(&json!([with(sleeper("app"), json!({ "startup": startup }))]));
    daemon.ctl(&["start", &file]).expect(1).says(&["error: app 0: failed its check: "]);
}

#[test]
fn what_a_worker_says_over_its_socket_is_a_proof() {
    let daemon = Daemon::start();
    let go = daemon.file("go");
    let Some(app) = apps::python(&daemon, &json!({ "READY_FILE": go })) else { return };
    let app = with(app, json!({ "wait_ready": true, "ready_timeout": "1m" }));
    is_up_once(&daemon, app, || fs::write(&go, "").expect("a file"));
    daemon.until(1, "says how it is", |worker| worker["message"] == "warm");
    assert!(daemon.ok(&["list"]).out.contains("warm"));
}
