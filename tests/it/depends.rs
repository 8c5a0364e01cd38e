//! Apps that wait for others.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, shell, sleeper, with};
use crate::wait::until_true;

/// It writes its name into the file `gone` when it goes, and is ready when there is a file of its name.
fn app(daemon: &Daemon, name: &str, depends_on: &Value) -> Value {
    let gone = daemon.file("gone");
    let script = format!("trap 'echo {name} >> {}; exit' TERM; sleep 1000 & wait", gone.display());
    let probe = json!({ "exec": ["test", "-f", daemon.file(name)], "interval": 100 });
    with(shell(name, &script), json!({ "depends_on": depends_on, "ready": probe }))
}

fn let_be_ready(daemon: &Daemon, name: &str) {
    fs::write(daemon.file(name), "").expect("a file");
}

fn of(daemon: &Daemon, name: &str) -> (String, String) {
    let list = daemon.list();
    let worker = list.iter().find(|worker| worker["app"] == name).expect("it is listed");
    let text = |field: &str| worker[field].as_str().expect("a text").to_owned();
    (text("status"), text("reason"))
}

fn until_waits(daemon: &Daemon, name: &str, why: &str) {
    let expected = ("launching".to_owned(), format!("waiting for {why}"));
    until_true(&format!("{name} waits for {why}"), || of(daemon, name) == expected);
}

#[test]
fn apps_come_in_order_and_go_in_reverse() {
    let daemon = Daemon::start();
    let web = app(&daemon, "web", &json!(["api"]));
    let api = app(&daemon, "api", &json!({ "db": "ready" }));
    let file = daemon.declare(&json!([web, api, app(&daemon, "db", &json!([]))]));
    let starting = daemon.spawn(&["start", &file]);
    until_true("db is there", || daemon.list().len() == 3);
    until_waits(&daemon, "api", "db: not ready yet");
    until_waits(&daemon, "web", "api: waiting for db: not ready yet");
    let_be_ready(&daemon, "db");
    until_waits(&daemon, "web", "api: not ready yet");
    daemon.kill_supervisor();
    until_waits(&daemon, "web", "api: not ready yet");
    let_be_ready(&daemon, "api");
    let_be_ready(&daemon, "web");
    daemon.until_status(daemon.worker_of("web"), "online");
    drop(finish(starting));

    fs::remove_file(daemon.file("db")).expect("it was there");
    daemon.pull_the_plug();
    daemon.ok(&["ping"]);
    until_waits(&daemon, "web", "api: waiting for db: not ready yet");
    let_be_ready(&daemon, "db");
    daemon.until_status(daemon.worker_of("web"), "online");
    let pid = daemon.pid(daemon.worker_of("web"));
    daemon.ok(&["restart", "db"]);
    daemon.ok(&["stop", "db"]);
    assert_eq!(daemon.pid(daemon.worker_of("web")), pid, "who has been started is on its own");
    daemon.ok(&["start", "db"]);

    fs::remove_file(daemon.file("gone")).expect("db has written into it");
    daemon.ok(&["kill"]);
    assert_eq!(daemon.read("gone"), "web\napi\ndb\n");
}

#[test]
fn what_cannot_be_is_refused_and_what_fails_is_said() {
    let daemon = Daemon::start();
    let on = |name: &str, on: Value| with(sleeper(name), json!({ "depends_on": on }));
    let unknown = daemon.declare(&json!([on("web", json!(["db"]))]));
    daemon.ctl(&["start", &unknown]).expect(4).says(&["web depends on db", "no such app"]);
    assert_eq!(daemon.list().len(), 0);

    daemon.run(&json!([sleeper("db"), on("api", json!(["db"]))]));
    let circle = daemon.declare(&json!([on("db", json!(["api"]))]));
    daemon.ctl(&["start", &circle]).expect(4).says(&["api -> db -> api"]);
    daemon.ctl(&["reload", &circle]).expect(4).says(&["api -> db -> api"]);

    let failing = json!({ "name": "m", "script": "false", "autorestart": false });
    let file = daemon.declare(&json!([failing, on("web", json!({ "m": "completed" }))]));
    daemon.ctl(&["start", &file]).expect(1).says(&["waiting for m: exited with code 1"]);
    let web = daemon.worker_of("web");
    assert!(daemon.worker(web)["pid"].is_null());
    let fixed = with(json!({ "name": "m", "script": "true" }), json!({ "autorestart": false }));
    daemon.ctl(&["start", &daemon.declare(&json!([fixed]))]);
    daemon.until_status(web, "online");
}

#[test]
fn whoever_applies_what_differs_keeps_the_order_too() {
    let daemon = Daemon::start();
    let on = |name: &str, on: Value| with(sleeper(name), json!({ "depends_on": on }));
    let unknown = daemon.declare(&json!([on("web", json!(["db"]))]));
    daemon.ctl(&["apply", &unknown]).expect(1).says(&["web depends on db", "no such app"]);
    let file = daemon.declare(&json!([on("web", json!(["db"])), sleeper("db")]));
    daemon.ok(&["apply", &file]);
    daemon.until_status(daemon.worker_of("web"), "online");
    let circle = daemon.declare(&json!([on("db", json!(["web"]))]));
    daemon.ctl(&["apply", &circle]).expect(1).says(&["db -> web -> db"]);
}
