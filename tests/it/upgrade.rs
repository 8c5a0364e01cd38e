//! Another program takes over from the running one: nobody but whoever asked for it notices, whether it works or not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, thread};

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, finish, shell, sleeper, with};
use crate::http::Traffic;
use crate::process;
use crate::wait::{until, until_true};

/// Another file with the same program. Made by another process, as [`Daemon::script`] is.
pub fn copy(daemon: &Daemon, name: &str) -> String {
    let file = daemon.file(name);
    let made = Command::new("cp").arg(env!("CARGO_BIN_EXE_supd")).arg(&file).status().expect("cp");
    assert!(made.success());
    file.display().to_string()
}

/// A program that does as a supd when it is asked whether it can go on, and something else as the supervisor.
fn impostor(daemon: &Daemon, name: &str, supervisor: &str) -> String {
    let real = copy(daemon, "real");
    daemon.script(name, &format!("#!/bin/sh\n[ $1 = supervisor ] || exec {real} \"$@\"\n{supervisor}\n"))
}

/// The file that a process runs.
fn image(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).expect("its program")
}

fn upgrade(daemon: &Daemon, program: &str) -> Output {
    let (keeper, _) = daemon.heads();
    let output = daemon.ok(&["upgrade", program]);
    assert_eq!(daemon.heads().0, keeper, "the keeper stays the same process");
    assert_eq!(image(keeper), Path::new(program));
    assert_eq!(image(daemon.heads().1), Path::new(program));
    output
}

fn sorted(mut pids: Vec<i32>) -> Vec<i32> {
    pids.sort_unstable();
    pids
}

#[test]
fn ten_upgrades_lose_no_request_and_no_worker() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    daemon.run(&json!([{ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2 }]));
    let before = sorted(daemon.pids());
    let programs = [copy(&daemon, "one"), copy(&daemon, "two")];

    let traffic = Traffic::start(&address);
    for round in 0..10 {
        let output = upgrade(&daemon, &programs[round % 2]);
        assert_eq!(output.out, "upgraded 0.1.0 -> 0.1.0; 2 workers kept\n");
        assert_eq!(sorted(daemon.pids()), before, "no worker changes its process");
    }
    let answers = traffic.finish();

    assert_eq!(answers.into_keys().collect::<Vec<_>>(), before, "both have answered, and nobody else");
    assert!(daemon.list().iter().all(|worker| worker["restarts"] == 0 && worker["status"] == "online"));
    let view = daemon.json(&["ping"]);
    assert_eq!(view["supervisor_restarts"], 0, "an upgrade is no accident");
    assert_eq!(view["last_upgrade"], json!({ "attempt": 10, "from": "0.1.0", "to": "0.1.0" }));
}

#[test]
fn upgrades_lose_no_line_and_no_count() {
    let daemon = Daemon::start();
    let talker = "n=0; until [ -e enough ]; do m=$((n + 50)); \
        while [ $n -lt $m ]; do n=$((n + 1)); echo $n; done; sleep 0.01; done; echo end; exec sleep 1000";
    let crashing = json!({ "restart_delay": 1, "max_restarts": 1_000_000, "min_uptime": 1 });
    daemon.ctl(&[
        "start",
        &daemon.declare(&json!([
            with(shell("talker", talker), json!({ "cwd": daemon.home() })),
            with(shell("crasher", "echo run"), crashing),
            with(shell("looper", "exit 3"), json!({ "exp_backoff_restart_delay": 600_000 })),
        ])),
    ]);
    let waiting = daemon.until_status(2, "waiting restart");
    let (keeper, _) = daemon.heads();
    let programs = [copy(&daemon, "one"), copy(&daemon, "two")];
    let lines = |file: &str| daemon.read(file).lines().count();
    for round in 0..10 {
        let before = (lines("logs/talker-out.log"), lines("logs/crasher-out.log"));
        upgrade(&daemon, &programs[round % 2]);
        until_true("more lines", || {
            lines("logs/talker-out.log") > before.0 + 50 && lines("logs/crasher-out.log") > before.1
        });
    }
    fs::write(daemon.file("enough"), "").expect("a file");
    until_true("the last line", || daemon.read("logs/talker-out.log").ends_with("\nend\n"));
    let out = daemon.read("logs/talker-out.log");
    let numbers: Vec<usize> = out.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=out.lines().count() - 1).collect::<Vec<_>>(), "each line once and in order");

    daemon.ok(&["stop", "crasher"]);
    let restarts = daemon.worker(1)["restarts"].as_u64().expect("a count");
    // The last one may have been stopped before it wrote its line.
    until_true(&format!("a line for each run, {restarts} and one"), || {
        [restarts, restarts + 1].contains(&(lines("logs/crasher-out.log") as u64))
    });
    let still = daemon.worker(2);
    assert_eq!((&still["restarts"], &still["status"]), (&waiting["restarts"], &waiting["status"]));
    assert_eq!(still["last_exit"], waiting["last_exit"]);
    assert!(still["remaining"].as_u64() < waiting["remaining"].as_u64(), "its clock went on");
    let children =
        fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).expect("its children");
    assert_eq!(children.split_whitespace().count(), 2, "the supervisor and the talker, and no zombie");
}

#[test]
fn fifty_upgrades_leave_nothing_open() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let programs = [copy(&daemon, "one"), copy(&daemon, "two")];
    let measure = || {
        let (keeper, supervisor) = daemon.heads();
        (process::descriptors(keeper), process::descriptors(supervisor))
    };
    upgrade(&daemon, &programs[1]);
    let before = until("a quiet daemon", || Some(measure()).filter(|seen| *seen == measure()));
    for round in 0..50 {
        upgrade(&daemon, &programs[round % 2]);
    }
    until_true(&format!("{before:?} descriptors again"), || measure() == before);
}

#[test]
fn commands_meanwhile_wait_and_succeed() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(sleeper("app"), json!({ "instances": 2 })), sleeper("other")]));
    let programs = [copy(&daemon, "one"), copy(&daemon, "two")];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let upgrades = scope.spawn(|| {
            (0..15).for_each(|round| drop(upgrade(&daemon, &programs[round % 2])));
            done.store(true, Ordering::Relaxed);
        });
        for command in [["list", "--json"], ["restart", "app"], ["restart", "other"], ["jlist", "--silent"]] {
            let (daemon, done) = (&daemon, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    daemon.ok(&command);
                }
            });
        }
        // The others would go on for ever.
        let upgraded = upgrades.join();
        done.store(true, Ordering::Relaxed);
        upgraded.expect("upgrades");
    });
}

#[test]
fn a_command_that_waits_gets_its_outcome_from_the_successor() {
    let daemon = Daemon::start();
    let stubborn = shell("stubborn", "trap '' TERM INT; echo up; while :; do sleep 0.05; done");
    let late = shell(
        "late",
        "until [ -e go ]; do sleep 0.01; done; printf '\"ready\"\\n' >&$NODE_CHANNEL_FD; exec sleep 1000",
    );
    daemon.run(&json!([with(stubborn, json!({ "kill_timeout": "60s" })), sleeper("app")]));
    until_true("its trap", || daemon.read("logs/stubborn-out.log") == "up\n");
    let late = with(late, json!({ "wait_ready": true, "listen_timeout": "60s", "cwd": daemon.home() }));
    let sick =
        with(shell("sick", "until [ -e go ]; do sleep 0.01; done; exit 7"), json!({ "wait_ready": true }));
    let sick = with(sick, json!({ "listen_timeout": "60s", "cwd": daemon.home() }));
    let start = daemon.spawn(&["start", &daemon.declare(&json!([late, sick]))]);
    let stop = daemon.spawn(&["stop", "stubborn"]);
    daemon.until_status(0, "stopping");
    until_true("both", || daemon.list().iter().filter(|worker| worker["status"] == "launching").count() == 2);

    for program in [copy(&daemon, "one"), copy(&daemon, "two")] {
        upgrade(&daemon, &program);
    }
    assert_eq!(daemon.worker(0)["status"], "stopping", "a new supervisor does not shorten the time it has");
    fs::write(daemon.file("go"), "").expect("a file");
    let started = finish(start).expect(1);
    assert!(started.out.contains("started late (2)"), "{started:?}");
    started.says(&["sick 3: exited with code 7"]);
    // It would not go for a minute.
    process::kill(daemon.worker(0)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid"));
    assert!(finish(stop).expect(0).out.starts_with("stopped stubborn (0)\n"));
}

/// The upgrade fails with these words, and nobody has noticed it.
#[track_caller]
fn fails(daemon: &Daemon, program: &str, code: i32, words: &[&str]) {
    let (keeper, pids, program_before) = (daemon.heads().0, daemon.pids(), image(daemon.heads().0));
    daemon.ctl(&["upgrade", program]).expect(code).says(words);
    assert_eq!(daemon.heads().0, keeper);
    assert_eq!(image(keeper), program_before, "{words:?}");
    assert_eq!(image(daemon.heads().1), program_before, "{words:?}");
    assert_eq!(daemon.pids(), pids);
    assert!(daemon.list().iter().all(|worker| worker["restarts"] == 0 && worker["status"] == "online"));
}

#[test]
fn a_bad_program_changes_nothing() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    daemon.run(&json!([{ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2 }]));
    let script = |name: &str, text: &str| daemon.script(name, &format!("#!/bin/sh\n{text}\n"));
    let traffic = Traffic::start(&address);

    fails(&daemon, "/nonexistent/supd", 3, &["there is no /nonexistent/supd"]);
    fails(&daemon, &daemon.declare(&json!([])), 4, &["is not an executable file"]);
    fails(&daemon, &daemon.script("garbage", "\u{1}\u{2}"), 4, &["is not a program of this machine"]);
    fails(&daemon, "/bin/true", 4, &["/true is not a supd"]);
    fails(&daemon, &script("sad", "echo too sad >&2; exit 1"), 1, &["exit status: 1: too sad"]);
    let real = copy(&daemon, "real");
    let blind = script("blind", &format!("exec {real} \"$@\" </dev/null"));
    fails(&daemon, &blind, 1, &["cannot go on from here: the state:"]);

    let dead = impostor(&daemon, "dead", "exit 3");
    fails(
        &daemon,
        &dead,
        1,
        &["no upgrade to 0.1.0", "ended with code 3, before it was ready", "0.1.0 goes on"],
    );
    let loose = impostor(&daemon, "loose", &format!("exec {real} \"$@\" 3</dev/null"));
    fails(&daemon, &loose, 1, &["before it was ready"]);
    let silent = impostor(&daemon, "silent", "exec sleep 1000");
    fails(&daemon, &silent, 1, &["was not ready within 8 s"]);
    let view = daemon.json(&["ping"]);
    assert_eq!((&view["last_upgrade"]["attempt"], &view["supervisor_restarts"]), (&json!(3), &json!(0)));

    // A wrapper that becomes the program is as good as the program itself.
    let wrapper = impostor(&daemon, "wrapper", &format!("exec {real} \"$@\""));
    daemon.ok(&["upgrade", &wrapper]);
    assert_eq!(image(daemon.heads().0), Path::new(&real));
    let pids = sorted(daemon.pids());
    assert_eq!(traffic.finish().into_keys().collect::<Vec<_>>(), pids);
}

#[test]
fn the_old_program_goes_on_although_its_file_is_gone() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("app")]));
    let pid = daemon.pid(0);
    let one = copy(&daemon, "one");
    upgrade(&daemon, &one);
    fs::remove_file(&one).expect("its file");
    let dead = impostor(&daemon, "dead", "exit 3");
    daemon.ctl(&["upgrade", &dead]).expect(1);
    daemon.kill_supervisor();
    assert_eq!(daemon.pid(0), pid);
    upgrade(&daemon, &copy(&daemon, "two"));
    assert_eq!(daemon.pid(0), pid);
}

#[test]
fn an_upgrade_is_refused_when_it_makes_no_sense() {
    let daemon = Daemon::empty();
    daemon.ctl(&["upgrade"]).expect(7).says(&["no daemon runs"]);
    daemon.ok(&["ping"]);
    let slow =
        daemon.script("slow", "#!/bin/sh\ntouch asked; until [ -e go ]; do sleep 0.01; done; exit 1\n");
    let first = daemon.spawn(&["upgrade", &slow]);
    until_true("the first attempt is on its way", || daemon.file("asked").exists());
    daemon.ctl(&["upgrade", "/bin/true"]).expect(5).says(&["another upgrade is in progress"]);
    fs::write(daemon.file("go"), "").expect("a file");
    finish(first).expect(1);
    let fault: Value = daemon.ctl(&["upgrade", "/bin/true", "--json"]).expect(4).json();
    assert_eq!(fault["fault"]["code"], "invalid");
}
