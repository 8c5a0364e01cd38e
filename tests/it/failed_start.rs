//! A start that cannot succeed says what is missing, and where.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::daemon::{Daemon, sleeper, with};

#[test]
fn what_vanished_after_the_declaration_is_named() {
    let daemon = Daemon::start();
    let place = daemon.file("place");
    fs::create_dir(&place).expect("a directory");
    let script = daemon.script("app.run", "#!/bin/sh\nexec sleep 1000\n");
    daemon.run(&json!([{ "name": "app", "script": script, "cwd": place }]));
    let refuses = |reason: &[&str]| {
        daemon.ctl(&["restart", "app"]).expect(1).says(&["app 0: "]).says(reason);
        let worker = daemon.until_status(0, "waiting restart");
        let shown = worker["reason"].as_str().unwrap_or_default();
        assert!(reason.iter().all(|part| shown.contains(part)), "{reason:?} is not in {worker:#}");
    };

    fs::remove_dir(&place).expect("removed");
    refuses(&["working directory", &place.display().to_string(), "No such file or directory"]);
    fs::create_dir(&place).expect("a directory");

    daemon.script("app.run", "#!/no/such/interpreter\n");
    refuses(&[&script, "the interpreter in its first line does not exist"]);

    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).expect("a mode");
    refuses(&[&script, "Permission denied"]);

    fs::remove_file(&script).expect("removed");
    refuses(&[&script, "does not exist"]);

    daemon.script("app.run", "#!/bin/sh\nexec sleep 1000\n");
    daemon.ok(&["restart", "app"]);
    assert_eq!(daemon.worker(0)["status"], "online");
}

#[test]
fn what_is_missing_already_is_told_before_anything_starts() {
    let daemon = Daemon::start();
    let script = daemon.script("app.run", "#!/bin/sh\nexec sleep 1000\n");
    let nowhere = daemon.file("nowhere").display().to_string();
    for (app, reason) in [
        (json!({ "name": "app", "script": nowhere }), nowhere.as_str()),
        (json!({ "name": "app", "script": script, "cwd": nowhere }), nowhere.as_str()),
        (json!({ "name": "app", "script": script, "interpreter": "no-such-program" }), "no-such-program"),
        (with(sleeper("app"), json!({ "uid": "no-such-user" })), "no-such-user"),
    ] {
        let file = daemon.declare(&json!([app]));
        daemon.ctl(&["start", &file]).expect(4).says(&[reason]);
        assert!(daemon.list().is_empty());
    }
}

#[test]
fn an_address_that_is_taken_is_named_before_anything_changes() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let taken = std::net::TcpListener::bind(&address).expect("an address");
    let file = daemon.declare(&json!([with(sleeper("app"), json!({ "listen": [address] }))]));
    let pid = std::process::id().to_string();
    daemon.ctl(&["start", &file]).expect(5).says(&[&address, "Address already in use", &pid]);
    assert!(daemon.list().is_empty());
    drop(taken);
    daemon.ok(&["start", &file]);
}
