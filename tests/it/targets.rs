//! What a word on the command line means.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::process;
use crate::wait::until_true;

fn three() -> Daemon {
    let daemon = Daemon::start();
    let in_shop = |name| with(sleeper(name), json!({ "namespace": "shop" }));
    daemon.run(&json!([sleeper("web"), in_shop("api"), in_shop("apple")]));
    daemon
}

/// The names of those that are stopped.
fn stopped(daemon: &Daemon) -> BTreeSet<String> {
    let list = daemon.list();
    let stopped = list.iter().filter(|worker| worker["status"] == "stopped");
    stopped.map(|worker| worker["app"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn names_ids_namespaces_patterns_all_and_files_mean_what_they_say() {
    let daemon = three();
    let file = daemon.file("ecosystem.json").display().to_string();
    for (targets, expected) in [
        (&["web"][..], &["web"][..]),
        (&["1"], &["api"]),
        (&["shop"], &["api", "apple"]),
        (&["/^ap/"], &["api", "apple"]),
        (&["/^ap.$/"], &["api"]),
        (&["all"], &["web", "api", "apple"]),
        (&["web", "2"], &["web", "apple"]),
        (&["api", "shop", "1"], &["api", "apple"]),
        (&[&file], &["web", "api", "apple"]),
    ] {
        daemon.ok(&[&["stop"], targets].concat());
        assert_eq!(stopped(&daemon), expected.iter().map(|&name| name.to_owned()).collect(), "{targets:?}");
        daemon.ok(&["start", "all"]);
    }
    daemon.ok(&["restart", &file, "--only", "api"]);
}

#[test]
fn an_unknown_target_leaves_the_others_untouched_and_suggests_one() {
    let daemon = three();
    let before = daemon.pids();
    for verb in ["stop", "restart", "reload", "delete", "describe", "env", "id", "pid"] {
        daemon.ctl(&[verb, "wbe"]).expect(3).says(&["`wbe`", "did you mean `web`?"]);
    }
    daemon.ctl(&["stop", "web", "wbe"]).expect(3);
    daemon.ctl(&["stop", "99"]).expect(3);
    daemon.ctl(&["stop", "/nothing/"]).expect(3);
    daemon.ctl(&["stop", "/(/"]).expect(4).says(&["regular expression"]);
    daemon.ctl(&["start", "wbe"]).expect(3).says(&["did you mean `web`?"]);
    daemon.ctl(&["stop"]).expect(2);
    assert_eq!(daemon.pids(), before);
    assert!(stopped(&daemon).is_empty());
}

#[test]
fn what_failed_for_some_is_told_for_each_of_them() {
    let daemon = three();
    daemon.ok(&["stop", "api"]);
    let output = daemon.ctl(&["signal", "SIGCONT", "all", "--json"]).expect(1);
    let workers = output.json()["workers"].as_array().expect("workers").clone();
    let failed: Vec<&Value> = workers.iter().filter(|worker| !worker["failure"].is_null()).collect();
    assert_eq!((workers.len(), failed.len()), (3, 1));
    assert_eq!(failed[0]["app"], "api");
    daemon.ctl(&["signal", "SIGCONT", "all"]).expect(1).says(&["api 1: it does not run"]);

    let good = with(sleeper("good"), json!({}));
    let bad = with(crate::daemon::shell("bad", "exit 3"), json!({ "wait_ready": true }));
    daemon
        .ctl(&["start", &daemon.declare(&json!([good, bad]))])
        .expect(1)
        .says(&["bad 4: exited with code 3"]);
    assert_eq!(daemon.worker(3)["status"], "online");
}

#[test]
fn a_signal_goes_to_the_process_that_was_meant() {
    let daemon = three();
    let pid = daemon.pid(0);
    daemon.ok(&["signal", "STOP", "web"]);
    crate::wait::until_true("it is halted", || process::state(pid) == Some('T'));
    daemon.ok(&["signal", "18", "web"]);
    crate::wait::until_true("it goes on", || process::state(pid) != Some('T'));
    assert!(daemon.list().iter().all(|worker| worker["restarts"] == 0));
}

#[test]
fn a_name_with_a_slash_names_an_app_and_never_a_path() {
    let daemon = Daemon::start();
    let logged = |name| with(shell(name, "echo $SUPD_APP; exec sleep 1000"), json!({ "merge_logs": true }));
    daemon.run(&json!([logged("@org/api"), logged("@org-api")]));
    until_true("their words", || {
        daemon.read("logs/-org_api-out.log") == "@org/api\n"
            && daemon.read("logs/-org-api-out.log") == "@org-api\n"
    });
    assert!(daemon.file("pids/-org_api-0.pid").exists());
    process::signal(daemon.pid(0), Signal::SIGKILL);
    let crashes = |name: &str| daemon.json(&["why", name])["crashes"].as_array().map_or(0, Vec::len);
    until_true("a report", || crashes("@org/api") == 1);
    assert_eq!(crashes("@org-api"), 0);
    daemon.kill_supervisor();
    assert_eq!(crashes("@org/api"), 1);
    daemon.ok(&["scale", "@org/api", "2"]);
    daemon.ok(&["stop", "/^@org\\//"]);
    assert_eq!(stopped(&daemon), BTreeSet::from(["@org/api".to_owned()]));
    daemon.ok(&["start", "@org/api"]);
    daemon.ok(&["set", "@org/api.A", "1"]);
    assert!(daemon.ok(&["env", "@org/api"]).out.lines().any(|line| line == "A=1"));
    for name in ["../x", "/x", "x/", "a//b"] {
        let file = daemon.declare(&json!([sleeper(name)]));
        daemon.ctl(&["start", &file]).expect(4).says(&["cannot name an app: it would be a path"]);
    }
}
