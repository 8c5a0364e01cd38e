//! Variables under `pm2`: they change by `--update-env` and by a declaration file, and by nothing else.

use std::fs;

use serde_json::json;

use crate::daemon::run;
use crate::pm2::Pm2;

const APP: &str = "#!/bin/sh\nexec sleep 1000\n";

/// What a worker's process really has.
fn real(pm2: &Pm2, id: u64, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{}/environ", pm2.daemon.pid(id))).expect("its environment");
    let text = String::from_utf8(environ).expect("UTF-8");
    let prefix = format!("{name}=");
    text.split('\0').find_map(|pair| pair.strip_prefix(&prefix)).map(str::to_owned)
}

/// Runs `pm2` in a shell in which `GREETING` is this.
#[track_caller]
fn greeting(pm2: &Pm2, greeting: &str, args: &[&str]) {
    run(pm2.command(args).env("GREETING", greeting), b"").expect(0);
}

#[test]
fn a_script_has_the_environment_of_its_first_shell_until_it_is_updated() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    greeting(&pm2, "first", &["start", "./eko"]);
    let seen = || real(&pm2, 0, "GREETING");
    assert_eq!(seen().as_deref(), Some("first"));
    for args in
        [&["restart", "eko"][..], &["reload", "eko"], &["start", "eko"], &["restart", "eko", "-k", "900"]]
    {
        greeting(&pm2, "second", args);
        assert_eq!(seen().as_deref(), Some("first"), "{args:?}");
    }
    greeting(&pm2, "third", &["restart", "eko", "--update-env"]);
    assert_eq!(seen().as_deref(), Some("third"));
    greeting(&pm2, "fourth", &["reload", "all", "-a"]);
    assert_eq!(seen().as_deref(), Some("fourth"));
    // PM2 never takes a variable away.
    run(pm2.command(&["restart", "0", "-a"]).env_remove("GREETING"), b"").expect(0);
    assert_eq!(seen(), None);
}

#[test]
fn a_file_lies_over_the_shell_and_changes_only_itself() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("eko", APP);
    let declare = |env: serde_json::Value| {
        let app = json!({ "name": "eko", "script": "./eko", "env": env, "env_production": { "STAGE": "production" } });
        daemon.declare(&json!([app]))
    };
    let file = declare(json!({ "STAGE": "development", "OLD": "1" }));
    greeting(&pm2, "first", &["start", &file]);
    let seen = |name: &str| real(&pm2, 0, name);
    assert_eq!((seen("GREETING").as_deref(), seen("STAGE").as_deref()), (Some("first"), Some("development")));
    declare(json!({ "STAGE": "development" }));
    greeting(&pm2, "second", &["restart", &file, "--env", "production"]);
    assert_eq!((seen("GREETING").as_deref(), seen("STAGE").as_deref()), (Some("first"), Some("production")));
    assert_eq!(seen("OLD"), None, "what the file has lost is gone");
    greeting(&pm2, "third", &["startOrReload", &file, "--update-env"]);
    assert_eq!((seen("GREETING").as_deref(), seen("STAGE").as_deref()), (Some("third"), Some("development")));
}

#[test]
fn a_variable_of_the_shell_cannot_rewrite_the_app() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", APP);
    let mut start = pm2.command(&["start", "./eko", "--name", "good"]);
    run(start.env("name", "evil").env("args", "foo").env("status", "errored").env("instances", "9"), b"")
        .expect(0);
    let env = pm2.env(0);
    assert_eq!(
        (&env["name"], &env["status"], &env["instances"]),
        (&json!("good"), &json!("online"), &json!(1))
    );
    assert!(env.get("args").is_none());
}
