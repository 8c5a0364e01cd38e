//! Stopping: politely, then not, and always everything.

use std::time::Instant;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::process;
use crate::wait::{until, until_true};

/// Starts one app and waits for the line `up` of it.
fn run(app: Value) -> (Daemon, i32) {
    let daemon = Daemon::start();
    daemon.run(&json!([with(app, json!({ "name": "app", "cwd": daemon.home() }))]));
    until_true("the app is up", || daemon.read("logs/app-out.log").contains("up\n"));
    let pid = daemon.pid(0);
    (daemon, pid)
}

#[test]
fn who_ignores_the_signal_is_killed_when_the_time_is_over() {
    let stubborn = shell("app", "trap '' TERM; echo up; while :; do sleep 0.05; done");
    let (daemon, pid) = run(with(stubborn, json!({ "kill_timeout": 400 })));
    let begin = Instant::now();
    daemon.ok(&["stop", "app"]);
    assert!(begin.elapsed().as_millis() >= 400, "it gets the time it was promised");
    assert!(!process::is_alive(pid));
    assert_eq!(daemon.worker(0)["last_exit"]["exit"], json!({ "signal": 9 }));
}

#[test]
fn who_leaves_on_the_signal_is_not_killed() {
    let (daemon, _) = run(shell("app", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"));
    daemon.ok(&["stop", "app"]);
    let stopped = daemon.worker(0);
    assert_eq!(
        (&stopped["last_exit"]["exit"], &stopped["status"]),
        (&json!({ "code": 5 }), &json!("stopped"))
    );
}

#[test]
fn the_signal_can_be_chosen() {
    let app = shell(
        "app",
        "trap 'echo chosen; exit 0' USR2; trap 'exit 1' TERM; echo up; while :; do sleep 0.05; done",
    );
    // Only the shell knows what to do with it: its `sleep` would be the one to die.
    let (daemon, _) = run(with(app, json!({ "kill_signal": "SIGUSR2", "treekill": false })));
    daemon.ok(&["stop", "app"]);
    assert_eq!(daemon.worker(0)["last_exit"]["exit"], json!({ "code": 0 }));
    until_true("its last line", || daemon.read("logs/app-out.log") == "up\nchosen\n");
}

#[test]
fn no_descendant_is_left_however_it_hides() {
    // Twice forked, in a session of its own, with nothing in its environment to know it by.
    let hides = "(setsid env -i /bin/sh -c 'echo $$ > hidden; trap \"\" TERM HUP INT; while :; do sleep 0.05; done' \
        > /dev/null 2>&1 &); while [ ! -s hidden ]; do sleep 0.01; done; echo up; exec sleep 1000";
    let (daemon, pid) = run(with(shell("app", hides), json!({ "kill_timeout": 300 })));
    let hidden: i32 = daemon.read("hidden").trim().parse().expect("a pid");
    until_true("it has left its parents", || process::parent(hidden) == Some(daemon.heads().0));
    daemon.ok(&["stop", "app"]);
    assert!(!process::is_alive(hidden) && !process::is_alive(pid));
}

/// A parent and a child that tell who gets the signal; `then` is what the parent does after it got it.
fn family(then: &str) -> Value {
    let script = format!(
        "sh -c 'trap \"echo child; exit\" TERM; echo born; while :; do sleep 0.02; done' & child=$!; \
         trap 'echo main; {then}; exit 0' TERM; \
         until grep -q born $pm_out_log_path; do sleep 0.01; done; echo up; while :; do wait; done"
    );
    shell("app", &script)
}

#[test]
fn the_whole_family_is_asked() {
    let (daemon, _) = run(family("wait $child"));
    daemon.ok(&["stop", "app"]);
    until_true("the word of both", || {
        let out = daemon.read("logs/app-out.log");
        out.contains("main\n") && out.contains("child\n")
    });
}

#[test]
fn the_main_process_alone_is_asked_when_it_wants_to_tell_its_children_itself() {
    let (daemon, _) = run(with(family("kill -KILL $child"), json!({ "treekill": false })));
    daemon.ok(&["stop", "app"]);
    until_true("the word of the main process", || daemon.read("logs/app-out.log").contains("main\n"));
    let out = daemon.read("logs/app-out.log");
    assert!(!out.contains("child"), "the child got a signal of its own:\n{out}");
}

#[test]
fn a_message_can_take_the_place_of_the_signal() {
    let app = shell(
        "app",
        "trap 'echo signalled; exit 1' TERM INT; echo up; read -r message <&$NODE_CHANNEL_FD; echo \"got $message\"; exit 0",
    );
    let (daemon, _) = run(with(app, json!({ "shutdown_with_message": true })));
    daemon.ok(&["stop", "app"]);
    assert_eq!(daemon.worker(0)["last_exit"]["exit"], json!({ "code": 0 }));
    until_true("its last line", || daemon.read("logs/app-out.log") == "up\ngot \"shutdown\"\n");
}

#[test]
fn many_are_stopped_in_the_time_of_one() {
    let daemon = Daemon::start();
    let stubborn = shell("app", "trap '' TERM; echo up; while :; do sleep 0.2; done");
    let file = daemon.file("all.log");
    daemon.run(&json!([with(
        stubborn,
        json!({ "kill_timeout": 1000, "instances": 8, "exec_mode": "fork",
        "merge_logs": true, "out_file": file })
    )]));
    until_true("all are up", || daemon.read("all.log").lines().count() == 8);
    let begin = Instant::now();
    daemon.ok(&["stop", "app"]);
    assert!(begin.elapsed().as_secs() < 6, "one after another they would take 8 s: {:?}", begin.elapsed());
    assert!(daemon.pids().is_empty());
}

#[test]
fn a_pid_file_says_who_runs() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let pid = daemon.pid(0).to_string();
    until("the pid file", || (daemon.read("pids/app-0.pid") == pid).then_some(()));
    assert_eq!(daemon.read("supd.pid").trim(), daemon.heads().0.to_string());
}
