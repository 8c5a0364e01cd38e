//! More and fewer workers, and the numbers they have.

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper};
use crate::process;

/// Id and instance number of each worker, by id.
fn numbers(daemon: &Daemon) -> Vec<(u64, u64)> {
    let number = |worker: &Value, field: &str| worker[field].as_u64().expect("a number");
    let mut numbers: Vec<_> =
        daemon.list().iter().map(|seat| (number(seat, "id"), number(seat, "instance"))).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn the_highest_go_and_the_lowest_free_numbers_come() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let first = daemon.pid(0);
    daemon.ok(&["scale", "app", "4"]);
    assert_eq!(numbers(&daemon), [(0, 0), (1, 1), (2, 2), (3, 3)]);
    let four = daemon.pids();
    daemon.ok(&["scale", "app", "+2"]);
    assert_eq!(numbers(&daemon), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    assert_eq!(daemon.pids()[..4], four, "those that are there stay as they are");
    let six = daemon.pids();
    daemon.ok(&["scale", "app", "-1"]);
    assert_eq!(numbers(&daemon), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]);
    assert!(!process::is_alive(six[5]));

    daemon.ok(&["delete", "1"]);
    daemon.ok(&["scale", "app", "+1"]);
    assert_eq!(numbers(&daemon), [(0, 0), (2, 2), (3, 3), (4, 4), (6, 1)], "no id is used twice");
    assert_eq!(daemon.pid(0), first);
    for worker in daemon.list() {
        let environment = daemon.json(&["env", &worker["id"].to_string()]);
        let variables = environment["variables"].as_array().expect("variables");
        let told =
            variables.iter().find(|variable| variable["name"] == "NODE_APP_INSTANCE").expect("its number");
        assert_eq!(told["value"], worker["instance"].to_string());
    }
}

#[test]
fn a_senseless_number_changes_nothing() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let before = daemon.pids();
    daemon.ctl(&["scale", "app", "0"]).expect(4).says(&["supctl stop app"]);
    daemon.ctl(&["scale", "app", "1001"]).expect(4).says(&["1000"]);
    daemon.ctl(&["scale", "app", "-9"]).expect(4);
    daemon.ctl(&["scale", "app", "many"]).expect(2);
    daemon.ctl(&["scale", "app", "4294967296"]).expect(2);
    daemon.ctl(&["scale", "apq", "2"]).expect(3).says(&["did you mean `app`?"]);
    assert_eq!(daemon.pids(), before);
}
