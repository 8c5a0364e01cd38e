//! What somebody who reloads is told meanwhile and afterwards.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, shell, with};
use crate::process;
use crate::wait::until_true;

const READY: &str = "printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000";
/// With `BAD` its second worker does not come up.
const SECOND_FAILS: &str = "if [ \"$BAD$NODE_APP_INSTANCE\" = 11 ]; then echo 'no such table' >&2; exit 3; fi; \
    printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000";
const SILENT: &str = "echo 'waiting for the moon' >&2; exec sleep 1000";

/// An app that shares an address and says when it is ready, running with two workers.
fn app(daemon: &Daemon, script: &str, env: Value) -> Value {
    let fields = json!({
        "listen": [daemon.address(8175)], "instances": 2, "wait_ready": true, "listen_timeout": "60s", "env": env
    });
    with(shell("app", script), fields)
}

#[test]
fn progress_reason_and_last_words() {
    let daemon = Daemon::start();
    daemon.run(&json!([app(&daemon, SECOND_FAILS, json!({}))]));
    daemon.ctl(&["rollback", "app"]).expect(5).says(&["error: app has no"]);
    let ran = daemon.ok(&["reload", "app"]);
    assert!(ran.out.starts_with("reloaded app (0, 1)\n"), "{ran:#?}");
    assert_eq!(ran.err, "app: 0/2 reloaded\napp: 1/2 reloaded\napp: 2/2 reloaded\n");

    daemon.declare(&json!([app(&daemon, SECOND_FAILS, json!({ "BAD": "1" }))]));
    let ran = daemon.ctl(&["reload", "app"]).expect(1);
    ran.says(&[
        "app: 0/2 reloaded\napp: 1/2 reloaded\nerror: app: 2 workers: the new one exited with code 3",
        "last lines of app 1's standard error:\n  no such table\n",
    ]);
    let told = daemon.ok(&["events", "app", "--nostream"]).out;
    assert!(told.contains("  app 1       exited with code 3"), "{told}");
    assert!(daemon.ok(&["list"]).out.contains("\n  app: the last reload was taken back"));

    daemon.declare(&json!([app(&daemon, READY, json!({ "GOOD": "1" }))]));
    daemon.ok(&["reload", "app"]);
    let ran = daemon.ok(&["rollback", "app"]);
    assert!(ran.out.starts_with("rolled back app (0, 1)\n"), "{ran:#?}");
    assert!(!daemon.ok(&["env", "0"]).out.contains("GOOD="));
}

#[test]
fn who_stops_waiting_does_not_stop_the_reload() {
    let daemon = Daemon::start();
    daemon.run(&json!([app(&daemon, READY, json!({}))]));
    daemon.declare(&json!([app(&daemon, SILENT, json!({}))]));
    let waiting = daemon.spawn(&["reload", "app"]);
    until_true("a replacement", || process::of_home(daemon.home()).len() >= 5);
    process::signal(waiting.id().cast_signed(), Signal::SIGINT);
    finish(waiting).expect(130).says(&["interrupted: the reload of app goes on"]);
    assert!(process::of_home(daemon.home()).len() >= 5, "the replacement is still there");

    let ran = daemon.ok(&["reload", "app", "--no-wait"]);
    assert!(ran.out.starts_with("the reload of app has begun"), "{ran:#?}");
    daemon
        .ctl(&["reload", "app", "--timeout", "300ms"])
        .expect(1)
        .says(&["app: 2 workers: ", "'s standard error:\n  waiting for the moon\n"]);
    assert!(daemon.list().iter().all(|worker| worker["status"] == "online"), "{:#?}", daemon.list());
}
