//! The supervisor dies: nobody but it notices.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::daemon::{Daemon, finish, shell, sleeper, with};
use crate::http::Traffic;
use crate::process;
use crate::wait::{until, until_true};

#[test]
fn killing_the_supervisor_five_times_loses_no_request_and_no_worker() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    daemon.run(&json!([{ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2 }]));
    let mut before = daemon.pids();
    before.sort_unstable();

    let traffic = Traffic::start(&address);
    for _ in 0..5 {
        daemon.kill_supervisor();
        let mut after = daemon.pids();
        after.sort_unstable();
        assert_eq!(after, before, "no worker changes its process");
    }
    let answers = traffic.finish();

    assert_eq!(answers.into_keys().collect::<Vec<_>>(), before, "both have answered, and nobody else");
    assert!(daemon.list().iter().all(|worker| worker["restarts"] == 0 && worker["status"] == "online"));
    assert_eq!(daemon.json(&["ping"])["supervisor_restarts"], 5);
}

#[test]
fn a_supervisor_whose_words_nobody_can_write_down_lives() {
    let daemon = Daemon::empty();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut supd = Command::new(env!("CARGO_BIN_EXE_supd"));
    let mut supd = supd.env("SUPD_HOME", daemon.home()).stderr(full).spawn().expect("supd");
    until_true("the daemon", || daemon.home().join("supd.sock").exists());
    daemon.run(&json!([sleeper("app")]));
    daemon.ok(&["restart", "app"]);
    assert_eq!(daemon.json(&["ping"])["supervisor_restarts"], 0);
    daemon.ok(&["kill"]);
    supd.wait().expect("its end");
}

#[test]
fn killing_the_supervisor_loses_no_line() {
    let daemon = Daemon::start();
    let talker = "n=0; until [ -e enough ]; do m=$((n + 50)); \
        while [ $n -lt $m ]; do n=$((n + 1)); echo $n; echo $n >&2; done; sleep 0.01; done; echo end; exec sleep 1000";
    daemon.run(&json!([with(shell("talker", talker), json!({ "cwd": daemon.home() }))]));
    let lines = |file: &str| daemon.read(file).lines().count();
    for _ in 0..5 {
        let before = lines("logs/talker-out.log");
        daemon.kill_supervisor();
        until_true("more lines", || lines("logs/talker-out.log") > before + 100);
    }
    std::fs::write(daemon.file("enough"), "").expect("a file");
    until_true("the last line", || daemon.read("logs/talker-out.log").ends_with("\nend\n"));

    let out = daemon.read("logs/talker-out.log");
    let numbers: Vec<usize> = out.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=out.lines().count() - 1).collect::<Vec<_>>(), "each line once and in order");
    until_true("the same on standard error", || lines("logs/talker-error.log") >= numbers.len());
    let err = daemon.read("logs/talker-error.log");
    assert_eq!(err.lines().map(|line| line.parse().expect("a number")).collect::<Vec<usize>>(), numbers);
}

#[test]
fn the_last_words_of_a_run_that_is_forgotten_outlive_the_supervisor() {
    let daemon = Daemon::start();
    let file = daemon.file("blocked/out.log");
    // Not a directory yet, so that nothing can be written there.
    std::fs::write(daemon.file("blocked"), "").expect("a file");
    let app = json!({ "out_file": file, "cwd": daemon.home(), "autorestart": false });
    daemon.run(&json!([with(shell("app", "until [ -e go ]; do sleep 0.01; done; echo last words"), app)]));
    let (_, supervisor) = daemon.heads();
    std::fs::write(daemon.file("go"), "").expect("a file");
    daemon.until_status(0, "stopped");
    // For two seconds more it tries to write what the run has left.
    process::kill(supervisor);
    std::fs::remove_file(daemon.file("blocked")).expect("no longer a file");
    until_true("the last words", || daemon.read("blocked/out.log") == "last words\n");
}

#[test]
fn an_exit_that_no_supervisor_saw_is_acted_upon() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let (keeper, supervisor) = daemon.heads();
    let worker = daemon.pid(0);

    process::signal(keeper, Signal::SIGSTOP);
    process::kill(supervisor);
    process::kill(worker);
    let zombie = |pid| process::state(pid) == Some('Z');
    until_true("both are dead", || zombie(supervisor) && zombie(worker));
    process::signal(keeper, Signal::SIGCONT);

    let replaced = daemon.until(0, "is replaced", |seen| seen["restarts"] == 1 && seen["status"] == "online");
    assert_ne!(replaced["pid"], worker);
    assert!(
        replaced["last_exit"]["text"].as_str().is_some_and(|text| text.contains("SIGKILL")),
        "{replaced:#}"
    );
}

#[test]
fn a_worker_gets_ready_under_the_next_supervisor() {
    let daemon = Daemon::start();
    let late = shell(
        "late",
        "until [ -e go ]; do sleep 0.01; done; printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000",
    );
    let file = daemon.declare(&json!([with(late, json!({ "wait_ready": true, "ready_timeout": "60s" }))]));
    let mut start = daemon.spawn(&["start", &file]);
    let before =
        until("the launch", || daemon.list().first().filter(|worker| worker["pid"].is_number()).cloned());
    assert_eq!(before["status"], "launching");

    daemon.kill_supervisor();
    assert_eq!(daemon.worker(0)["status"], "launching");
    std::fs::write(daemon.file("go"), "").expect("a file");
    let after = daemon.until_status(0, "online");
    assert_eq!((&after["pid"], &after["restarts"]), (&before["pid"], &json!(0)));

    until_true("the end of the command", || start.try_wait().expect("its state").is_some());
    finish(start).expect(7).says(&["connection"]);
}

#[test]
fn a_stop_that_was_begun_is_finished_by_the_next_supervisor() {
    let daemon = Daemon::start();
    let stubborn = shell("stubborn", "trap '' TERM INT; echo up; while :; do sleep 0.05; done");
    daemon.run(&json!([with(stubborn, json!({ "kill_timeout": 1500 }))]));
    let pid = daemon.pid(0);
    until_true("its trap", || daemon.read("logs/stubborn-out.log") == "up\n");

    let stop = daemon.spawn(&["stop", "stubborn"]);
    daemon.until_status(0, "stopping");
    daemon.kill_supervisor();
    assert!(process::is_alive(pid), "a new supervisor does not shorten the time it has");
    daemon.until_status(0, "stopped");
    assert!(!process::is_alive(pid));
    finish(stop);
}
