//! Settings of the daemon: they act on what runs, and stay.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::daemon::{Daemon, shell, with};
use crate::wait::until_true;

/// How many files of this app have been put aside.
fn rotated(daemon: &Daemon, app: &str) -> usize {
    let files = fs::read_dir(daemon.file("logs")).expect("logs").flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("{app}-out__"))).count()
}

#[test]
fn a_size_that_is_set_counts_at_once_and_through_every_death() {
    let daemon = Daemon::start();
    // 2 KiB for each signal, line by line.
    let script = "said() { n=0; while [ $n -lt 64 ]; do n=$((n + 1)); echo 0123456789012345678901234567890; done; }; \
                  trap said USR1; trap 'exit 0' INT; echo begin; while :; do sleep 0.02; done";
    let own = with(shell("own", script), json!({ "rotate_size": "1M" }));
    daemon.run(&json!([shell("app", script), own]));
    until_true("both", || {
        ["app", "own"].iter().all(|app| daemon.read(&format!("logs/{app}-out.log")) == "begin\n")
    });
    let pids = daemon.pids();

    daemon.ok(&["set", "pm2-logrotate:max_size", "1K"]);
    daemon.ok(&["signal", "USR1", "all"]);
    until_true("a rotation", || rotated(&daemon, "app") >= 1);
    assert_eq!(daemon.pids(), pids, "it acts without a restart");
    until_true("its words", || daemon.read("logs/own-out.log").len() == 6 + 64 * 32);
    assert_eq!(rotated(&daemon, "own"), 0, "what is declared wins");
    let described = daemon.ok(&["describe", "app"]).out;
    assert!(described.contains("at 1.0kb (pm2-logrotate:max_size), 30 kept"), "{described}");
    assert!(daemon.ok(&["describe", "own"]).out.contains("at 1.0mb (declared)"));
    let mode = fs::metadata(daemon.file("settings.json")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    daemon.kill_supervisor();
    let before = rotated(&daemon, "app");
    daemon.ok(&["signal", "USR1", "app"]);
    until_true("another rotation", || rotated(&daemon, "app") > before);
    assert_eq!(daemon.pids(), pids);

    daemon.ok(&["kill"]);
    daemon.ok(&["ping"]);
    daemon.until_status(0, "online");
    until_true("its trap", || daemon.read("logs/app-out.log").ends_with("begin\n"));
    let before = rotated(&daemon, "app");
    daemon.ok(&["signal", "USR1", "app"]);
    until_true("a rotation in the next life", || rotated(&daemon, "app") > before);
    daemon.ok(&["unset", "pm2-logrotate:max_size"]);
    assert!(daemon.ok(&["describe", "app"]).out.contains("at 10.0mb, 30 kept"));
}

#[test]
fn a_variable_of_an_app_comes_with_a_restart_of_that_app_alone() {
    let daemon = Daemon::start();
    let app =
        |name| with(shell(name, "echo \"got $COLOUR\"; sleep 1000"), json!({ "env": { "COLOUR": "red" } }));
    daemon.run(&json!([app("web"), app("api")]));
    let (web, api) = (daemon.pid(0), daemon.pid(1));
    daemon.ok(&["set", "web:COLOUR", "blue"]);
    until_true("the new value", || daemon.read("logs/web-out.log") == "got red\ngot blue\n");
    assert_ne!(daemon.pid(0), web);
    assert_eq!(daemon.pid(1), api);
    assert_eq!(daemon.ok(&["get", "web:COLOUR"]).out, "blue\n");
    daemon.ok(&["unset", "all"]);
    daemon.ok(&["restart", "web"]);
    until_true("the declared value", || daemon.read("logs/web-out.log").ends_with("got blue\ngot red\n"));
}

#[test]
fn what_cannot_be_used_changes_nothing_and_a_damaged_file_stops_nobody() {
    let daemon = Daemon::start();
    let pair = "pm2-logrotate:retain 5 pm2-logrotate:max_size huge";
    daemon.ctl(&["multiset", pair]).expect(4).says(&["pm2-logrotate:max_size", "\"10M\""]);
    daemon
        .ctl(&["set", "pm2-logrotate:retian", "5"])
        .expect(4)
        .says(&["did you mean `pm2-logrotate:retain`?"]);
    assert_eq!(daemon.ok(&["conf", "--json"]).out, "{}\n");
    daemon.ctl(&["get", "pm2-logrotate:retain"]).expect(3);
    daemon.ok(&["set", "any:thing", "kept as it is"]);
    daemon.ok(&["kill"]);
    fs::write(daemon.file("settings.json"), "{").expect("damaged");
    daemon.ok(&["ping"]);
    assert_eq!(daemon.ok(&["conf", "--json"]).out, "{}\n");
    assert!(daemon.read("supd.log").contains("settings.json cannot be read"));
}
