//! What is entrusted to the daemon: it comes back after a power cut, and is not lost to a damaged disk.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::wait::until_true;
use crate::{http, process};

/// Ids, names and whether they run.
fn seats(daemon: &Daemon) -> Vec<(u64, String, bool)> {
    let seat = |worker: &Value| {
        let name = worker["app"].as_str().expect("a name").to_owned();
        (worker["id"].as_u64().expect("an id"), name, worker["pid"].is_number())
    };
    let mut seats: Vec<_> = daemon.list().iter().map(seat).collect();
    seats.sort();
    seats
}

#[test]
fn after_a_power_cut_everything_is_as_it_was() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let hello = json!({ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2 });
    daemon.run(&json!([sleeper("first"), hello, sleeper("stopped"), sleeper("last")]));
    daemon.ok(&["stop", "stopped"]);
    daemon.ok(&["delete", "first"]);
    daemon.ok(&["scale", "hello", "3"]);
    let (before, pids) = (seats(&daemon), daemon.pids());
    assert_eq!(before.len(), 5);

    daemon.pull_the_plug();
    daemon.ok(&["ping"]);
    until_true("everything is back", || seats(&daemon) == before);
    let now = daemon.pids();
    assert!(pids.iter().all(|pid| !now.contains(pid)));
    daemon.until_status(1, "online");
    assert!(now.contains(&http::pid(&address).expect("an answer")));

    daemon.ok(&["start", "stopped"]);
    daemon.ok(&["kill"]);
    until_true("the end of the daemon", || process::of_home(daemon.home()).is_empty());
    daemon.ok(&["ping"]);
    until_true("the same after an orderly end", || seats(&daemon).iter().all(|(_, _, runs)| *runs));
}

#[test]
fn what_a_killed_keeper_leaves_behind_does_not_stand_beside_the_new_ones() {
    let daemon = Daemon::start();
    let stubborn = shell("stubborn", "trap '' TERM; sleep 1000 & while :; do wait; done");
    daemon.run(&json!([sleeper("app"), with(stubborn, json!({ "kill_timeout": 100 }))]));
    let (keeper, _) = daemon.heads();
    let before = daemon.pids();
    process::kill(keeper);
    until_true("the supervisor leaves with its keeper", || {
        process::of_home(daemon.home()).iter().all(|&pid| !process::command_line(pid).contains("supervisor"))
    });
    assert!(before.iter().all(|&pid| process::of_home(daemon.home()).contains(&pid)), "they go on meanwhile");
    daemon.ok(&["ping"]);
    until_true("both are back", || seats(&daemon).iter().filter(|(_, _, runs)| *runs).count() == 2);
    let now = process::of_home(daemon.home());
    assert!(before.iter().all(|pid| !now.contains(pid)), "{before:?} are gone, {now:?} are there");
    assert!(daemon.read("supd.log").contains("left behind"));
}

#[test]
fn the_ledger_is_private_and_holds_the_environment() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::start();
    daemon.run(&json!([with(sleeper("app"), json!({ "env": { "TOKEN": "hunter2" } }))]));
    let mode =
        |name: &str| fs::metadata(daemon.file(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("ledger.json"), mode("supd.sock")), (0o600, 0o600));
    daemon.pull_the_plug();
    assert!(daemon.ok(&["env", "app"]).out.contains("TOKEN=hunter2\n"));
    assert!(!daemon.read("supd.log").contains("hunter2"));
}

#[test]
fn a_damaged_ledger_is_put_aside() {
    for damage in
        ["", "{ \"version\": 1, \"apps\": [ {", "\u{0}\u{0}\u{0}", "[]", "{ \"version\": 1, \"apps\": 7 }"]
    {
        let daemon = Daemon::empty();
        fs::write(daemon.file("ledger.json"), damage).expect("a damaged ledger");
        daemon.ok(&["ping"]);
        assert!(daemon.list().is_empty());
        let files = fs::read_dir(daemon.home()).expect("the home").flatten();
        let aside =
            files.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("unreadable"));
        assert_eq!(fs::read_to_string(aside.expect("put aside")).expect("its text"), damage);
        daemon.run(&json!([sleeper("app")]));
        daemon.pull_the_plug();
        until_true("what the new one holds", || seats(&daemon) == [(0, "app".to_owned(), true)]);
    }
}

#[test]
fn a_ledger_of_the_future_is_not_touched() {
    let daemon = Daemon::empty();
    let future = "{\"version\":999,\"apps\":{}}";
    fs::write(daemon.file("ledger.json"), future).expect("a ledger");
    daemon.ctl(&["ping"]).expect(7).says(&["ledger.json", "version 999", "newer supd"]);
    assert!(process::of_home(daemon.home()).is_empty(), "a daemon that cannot serve does not stay");
    assert_eq!(daemon.read("ledger.json"), future);
}

#[test]
fn a_full_disk_stops_nobody_and_is_told() {
    let daemon = Daemon::start();
    fs::create_dir(daemon.file("ledger.new")).expect("in the way");
    let output = daemon.ok(&["start", &daemon.declare(&json!([sleeper("app")]))]);
    let output = output.says(&["warning: ", "ledger.json", "would not come back after a reboot"]);
    assert!(output.out.contains("started app"), "{output:?}");
    daemon.pid(0);
    fs::remove_dir(daemon.file("ledger.new")).expect("out of the way");
    daemon.ok(&["restart", "app"]);
    daemon.until(0, "is written down", |_| daemon.read("ledger.json").contains("\"app\""));
    daemon.pull_the_plug();
    until_true("it is back", || seats(&daemon) == [(0, "app".to_owned(), true)]);
}
