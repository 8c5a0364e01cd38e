//! Many at once.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, pid_of, shell, sleeper, with};
use crate::process;
use crate::wait::until_true;

#[test]
fn twenty_commands_on_an_empty_home_start_one_daemon() {
    for _ in 0..3 {
        let daemon = Daemon::empty();
        let script = daemon.script("work", "#!/bin/sh\nexec sleep 1000\n");
        let names: Vec<String> = (0..10).map(|n| format!("app{n}")).collect();
        let mut commands = Vec::new();
        for name in &names {
            commands.push(daemon.spawn(&["start", &script, "--name", name]));
            commands.push(daemon.spawn(&[if commands.len() % 4 == 1 { "list" } else { "ping" }]));
        }
        for command in commands {
            finish(command).expect(0);
        }
        assert_eq!(daemon.list().len(), 10);
        let (keeper, supervisor) = daemon.heads();
        let mut expected = daemon.pids();
        expected.extend([keeper, supervisor]);
        let expected: BTreeSet<i32> = expected.into_iter().collect();
        until_true("one daemon and its workers", || {
            process::of_home(daemon.home()).into_iter().collect::<BTreeSet<_>>() == expected
        });
    }
}

#[test]
fn a_daemon_that_is_just_ending_does_not_keep_the_next_from_starting() {
    let daemon = Daemon::empty();
    for _ in 0..10 {
        daemon.ok(&["ping"]);
        daemon.ok(&["kill"]);
    }
}

#[test]
fn conflicting_commands_of_twenty_clients_leave_one_truth() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let shared = with(sleeper("shared"), json!({ "listen": [address], "instances": 2 }));
    let crashing = shell("crashing", "exit 1");
    let file = daemon.declare(&json!([sleeper("plain"), shared, crashing]));
    let act = |client: usize| {
        let commands: [&[&str]; 10] = [
            &["start", &file],
            &["restart", "plain"],
            &["reload", "shared"],
            &["stop", "all"],
            &["scale", "shared", "4"],
            &["delete", "plain"],
            &["start", "all"],
            &["scale", "shared", "1"],
            &["reload", &file],
            &["delete", "all"],
        ];
        for round in 0..6 {
            let args = commands[(client * 7 + round * 3) % commands.len()];
            let output = daemon.ctl(args);
            // Losing against another client is fine; a defect or an unreachable daemon is not.
            assert!([0, 1, 3, 5].contains(&output.code), "{args:?}: {output:#?}");
        }
    };
    thread::scope(|scope| (0..20).for_each(|client| drop(scope.spawn(move || act(client)))));

    // It restarts for ever, or somebody has deleted it already.
    daemon.ctl(&["delete", "crashing"]);
    until_true("list and machine agree", || {
        let (keeper, supervisor) = daemon.heads();
        let list = daemon.list();
        let still = list.iter().all(|worker| worker["status"] == "online" || worker["status"] == "stopped");
        let listed: Vec<i32> = list.iter().filter(|worker| worker["pid"].is_number()).map(pid_of).collect();
        let real: BTreeSet<i32> = process::of_home(daemon.home()).into_iter().collect();
        still
            && real == listed.iter().copied().chain([keeper, supervisor]).collect()
            && listed.len() + 2 == real.len()
    });
    let list = daemon.list();
    let seat = |worker: &Value| (worker["app"].as_str().map(str::to_owned), worker["instance"].as_u64());
    assert_eq!(list.iter().map(seat).collect::<BTreeSet<_>>().len(), list.len(), "no seat is doubled");
    daemon.run(&json!([sleeper("after")]));
}
