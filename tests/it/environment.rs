//! What a worker gets, and what `supctl env` says about it.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper, with};

/// The variables that the process really has.
fn real(pid: i32) -> BTreeMap<String, String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    let text = String::from_utf8(environ).expect("UTF-8");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Name to value and layer, as `supctl env` tells.
fn told(daemon: &Daemon, target: &str) -> BTreeMap<String, (String, Value)> {
    let view = daemon.json(&["env", target]);
    let variables = view["variables"].as_array().expect("variables").iter();
    let text = |variable: &Value, field: &str| variable[field].as_str().expect("a text").to_owned();
    variables.map(|seen| (text(seen, "name"), (text(seen, "value"), seen["layer"].clone()))).collect()
}

#[test]
fn each_variable_is_told_with_its_layer_and_is_what_the_process_has() {
    let daemon = Daemon::start();
    fs::write(daemon.file(".env"), "FROM_FILE=file\nBOTH=file\nALL=file\n").expect("an env file");
    let app = with(
        sleeper("app"),
        json!({
            "env_file": ".env",
            "env": { "BOTH": "env", "ALL": "env", "DEEP": { "a": [1, 2] }, "TZ": "UTC" },
            "env_production": { "ALL": "production" },
            "env_staging": { "ALL": "staging" },
        }),
    );
    daemon.ok(&["start", &daemon.declare(&json!([app])), "--env", "production"]);

    let told = told(&daemon, "app");
    let file = daemon.file(".env").display().to_string();
    for (name, value, layer) in [
        ("FROM_FILE", "file", json!({ "env_file": file })),
        ("BOTH", "env", json!("env")),
        ("DEEP", "{\"a\":[1,2]}", json!("env")),
        ("TZ", "UTC", json!("env")),
        ("ALL", "production", json!({ "env_named": "production" })),
        ("NODE_APP_INSTANCE", "0", json!("supd")),
        ("pm_id", "0", json!("supd")),
        ("name", "app", json!("supd")),
    ] {
        assert_eq!(told.get(name), Some(&(value.to_owned(), layer)), "{name}");
    }
    assert_eq!(told["PATH"].1, "base");
    assert_eq!(told["PWD"], told["pm_cwd"]);
    let values: BTreeMap<String, String> = told.into_iter().map(|(name, (value, _))| (name, value)).collect();
    assert_eq!(values, real(daemon.pid(0)), "it tells the truth");
    let lines = daemon.ok(&["env", "0"]).out;
    assert!(lines.lines().any(|line| line == "ALL=production"), "{lines}");
}

#[test]
fn the_callers_environment_stays_out_of_files_and_gets_into_scripts() {
    // The daemon itself is started by a caller that has the variable.
    let daemon = Daemon::empty();
    let call = |args: &[&str]| {
        let mut command = daemon.command(args);
        let output = command.env("OF_THE_CALLER", "leaks").output().expect("supctl");
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let script = daemon.script("work", "#!/bin/sh\nexec sleep 1000\n");
    call(&["start", &daemon.declare(&json!([sleeper("declared")]))]);
    call(&["start", &daemon.declare(&json!([sleeper("asked")])), "--inherit-env"]);
    call(&["start", &script, "--name", "script"]);
    call(&["start", &script, "--name", "clean", "--no-inherit-env"]);

    for (id, name, has) in
        [(0, "declared", false), (1, "asked", true), (2, "script", true), (3, "clean", false)]
    {
        let variables = real(daemon.pid(id));
        assert_eq!(variables.get("OF_THE_CALLER").map(String::as_str), has.then_some("leaks"), "{name}");
        assert!(variables.contains_key("PATH") && variables.contains_key("HOME"), "{name}: {variables:?}");
    }
    assert_eq!(told(&daemon, "script")["OF_THE_CALLER"].1, "caller");
}

#[test]
fn numbers_of_workers_get_where_they_are_wanted() {
    let daemon = Daemon::start();
    let app = with(
        sleeper("app"),
        json!({
            "instances": 3, "exec_mode": "fork", "instance_var": "SEAT", "increment_var": "PORT", "env": { "PORT": 4000 },
        }),
    );
    daemon.run(&json!([app]));
    for id in 0..3 {
        let variables = real(daemon.pid(id));
        assert_eq!(
            (variables["SEAT"].as_str(), variables["PORT"].as_str()),
            (&*id.to_string(), &*(4000 + id).to_string())
        );
        assert!(!variables.contains_key("NODE_APP_INSTANCE"));
    }
}

#[test]
fn sockets_are_announced_as_systemd_does() {
    let daemon = Daemon::start();
    let (tcp, unix) = (daemon.address(8175), daemon.file("app.sock"));
    daemon.run(&json!([with(sleeper("app"), json!({ "listen": [tcp, unix] }))]));
    let (pid, variables) = (daemon.pid(0), real(daemon.pid(0)));
    assert_eq!(variables["LISTEN_FDS"], "2");
    assert_eq!(variables["LISTEN_PID"], pid.to_string());
    assert_eq!(variables["LISTEN_FDNAMES"].split(':').count(), 2, "{}", variables["LISTEN_FDNAMES"]);
    for number in [3, 4] {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).expect("a descriptor");
        assert!(link.to_string_lossy().starts_with("socket:"), "{link:?}");
    }
}
