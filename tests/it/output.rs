//! What scripts read.

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper, with};

#[test]
fn every_command_speaks_json_and_nothing_else() {
    let daemon = Daemon::empty();
    let first = daemon.ctl(&["jlist"]).expect(0);
    assert_eq!((first.json(), first.err.contains("starting it")), (json!([]), true), "{first:#?}");
    let file = daemon.declare(&json!([sleeper("app")]));
    for args in [
        &["start", &file][..],
        &["list"],
        &["jlist"],
        &["describe", "app"],
        &["env", "app"],
        &["id", "app"],
        &["pid", "app"],
        &["ping"],
        &["version"],
        &["check", &file],
        &["scale", "app", "2"],
        &["reload", "app"],
        &["restart", "app"],
        &["signal", "SIGCONT", "app"],
        &["flush"],
        &["stop", "app"],
        &["start", "app"],
        &["delete", "app"],
        &["init"],
        &["kill"],
    ] {
        let output = daemon.ctl(&[args, &["--json"]].concat()).expect(0);
        assert_eq!(output.out.lines().count(), 1, "{args:?}: {output:#?}");
        assert!(output.json().is_object() || output.json().is_array());
    }
    let fault = daemon.ctl(&["stop", "nobody", "--json"]).expect(3);
    assert_eq!(fault.json()["fault"]["code"], "not_found");
}

#[test]
fn jlist_has_the_fields_of_pm2_and_no_secrets() {
    let daemon = Daemon::start();
    let secret =
        with(sleeper("app"), json!({ "env": { "TOKEN": "hunter2" }, "instances": 2, "exec_mode": "fork" }));
    daemon.run(&json!([secret]));
    for args in
        [&["jlist"][..], &["list", "--json"], &["describe", "app"], &["describe", "app", "--json"], &["list"]]
    {
        assert!(!daemon.ok(args).out.contains("hunter2"), "{args:?}");
    }
    let list = daemon.ok(&["jlist"]).json();
    let worker = &list[1];
    for (pointer, value) in [
        ("/name", json!("app")),
        ("/pm_id", json!(1)),
        ("/pid", json!(daemon.pid(1))),
        ("/pm2_env/status", json!("online")),
        ("/pm2_env/exec_mode", json!("fork_mode")),
        ("/pm2_env/restart_time", json!(0)),
        ("/pm2_env/namespace", json!("default")),
        ("/pm2_env/pm_cwd", json!(daemon.home())),
        ("/pm2_env/NODE_APP_INSTANCE", json!(1)),
        ("/pm2_env/instances", json!(2)),
        ("/pm2_env/autorestart", json!(true)),
    ] {
        assert_eq!(worker.pointer(pointer), Some(&value), "{pointer}");
    }
    for pointer in [
        "/monit/memory",
        "/monit/cpu",
        "/pm2_env/pm_uptime",
        "/pm2_env/created_at",
        "/pm2_env/unstable_restarts",
    ] {
        assert!(worker.pointer(pointer).is_some_and(Value::is_number), "{pointer} in {worker:#}");
    }
    assert!(worker["monit"]["memory"].as_u64() > Some(10_000), "{worker:#}");
    for pointer in [
        "/pm2_env/pm_out_log_path",
        "/pm2_env/pm_err_log_path",
        "/pm2_env/pm_pid_path",
        "/pm2_env/pm_exec_path",
    ] {
        assert!(worker.pointer(pointer).is_some_and(Value::is_string), "{pointer} in {worker:#}");
    }
}

#[test]
fn numbers_for_shell_scripts_stand_alone() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app"), sleeper("other")]));
    assert_eq!(daemon.ok(&["pid", "app"]).out, format!("{}\n", daemon.pid(0)));
    assert_eq!(daemon.ok(&["id", "other"]).out, "1\n");
    daemon.ok(&["stop", "app"]);
    assert_eq!(daemon.ok(&["pid", "app"]).out, "0\n");
}
