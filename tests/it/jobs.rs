//! Jobs: apps that run when it is their time, or when somebody asks for it, and come to an end.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, finish, shell, sleeper, with};
use crate::wait::{until, until_true};

const EACH_SECOND: &str = "* * * * * *";
/// In some years; the last time was in 2024.
const SELDOM: &str = "0 0 29 2 *";

fn job(daemon: &Daemon, name: &str, script: &str, policy: Value) -> Value {
    with(shell(name, script), json!({ "cwd": daemon.home(), "job": policy }))
}

/// It goes on until there is a file `go`.
const HOLDS: &str = "echo begun; until [ -e go ]; do sleep 0.05; done; rm go; echo ended";

fn let_go(daemon: &Daemon) {
    fs::write(daemon.file("go"), "").expect("a file");
}

fn of(daemon: &Daemon, name: &str) -> Value {
    daemon.worker(daemon.worker_of(name))
}

fn until_last(daemon: &Daemon, name: &str, result: &str) -> Value {
    until(&format!("{name}: {result}"), || {
        let worker = of(daemon, name);
        (worker["job"]["last"]["result"] == result).then_some(worker)
    })
}

fn count(daemon: &Daemon, name: &str, kind: &str) -> usize {
    daemon.happenings().iter().filter(|it| it["app"] == name && it["kind"] == kind).count()
}

#[test]
fn a_job_runs_when_it_is_asked_to_and_the_command_ends_as_it_does() {
    let daemon = Daemon::start();
    daemon.run(&json!([
        job(&daemon, "good", "echo to the one; echo to the other >&2", json!({})),
        job(&daemon, "bad", "exit 3", json!({})),
        job(&daemon, "killed", "kill -9 $$", json!({})),
        job(&daemon, "long", "sleep 1000", json!({ "timeout": 300 })),
        sleeper("web"),
    ]));
    for (name, state) in [("good", "idle"), ("long", "idle"), ("web", "online")] {
        assert_eq!(of(&daemon, name)["status"], state, "known, and nothing more");
    }
    let output = daemon.ok(&["run", "good"]).says(&["to the other", "good has completed"]);
    assert_eq!(output.out, "to the one\n");
    daemon.ctl(&["run", "bad"]).expect(3).says(&["bad: exited with code 3", "supctl why bad"]);
    daemon.ctl(&["run", "killed"]).expect(137).says(&["killed by SIGKILL"]);
    daemon.ctl(&["run", "long"]).expect(124).says(&["long: timed out after 300 ms"]);
    daemon.ctl(&["run", "web"]).expect(4).says(&["`web` is no job", "supctl restart web"]);
    daemon.ctl(&["run", "goud"]).expect(3).says(&["no app, worker id or namespace `goud`"]);
    daemon.ctl(&["scale", "good", "2"]).expect(4).says(&["good is a job"]);

    for (name, result, exit) in [
        ("good", "completed", json!({ "code": 0 })),
        ("bad", "failed", json!({ "code": 3 })),
        ("long", "timed_out", json!({ "timed_out": 300 })),
    ] {
        let last = &of(&daemon, name)["job"]["last"];
        assert_eq!((&last["result"], &last["exit"]), (&json!(result), &exit), "{name}");
    }
    for (name, kind) in [("good", "completed"), ("bad", "job_failed"), ("long", "job_failed")] {
        assert_eq!(count(&daemon, name, kind), 1, "{name}");
    }
    assert!(daemon.ok(&["why", "long"]).out.contains("let `job.timeout` be longer"));
    assert!(daemon.ok(&["list"]).out.contains("idle: the last run has failed: exited with code 3"));
    let pm2 = daemon.json(&["jlist"]);
    assert_eq!(pm2[0]["pm2_env"]["status"], "stopped", "a word that scripts know");

    daemon.ok(&["restart", "all"]);
    daemon.ok(&["reload", "all"]);
    daemon.ok(&["run", "bad", "--no-wait"]);
    until_true("it has run again", || count(&daemon, "bad", "job_failed") == 2);
    assert_eq!(count(&daemon, "good", "started"), 1, "whoever restarts all does not mean the jobs");
}

#[test]
fn one_run_at_a_time_by_the_clock() {
    let daemon = Daemon::start();
    daemon.run(&json!([
        job(&daemon, "skips", HOLDS, json!({ "cron": EACH_SECOND })),
        job(&daemon, "kills", "sleep 1000", json!({ "cron": EACH_SECOND, "overlap": "kill" })),
        job(&daemon, "queues", "sleep 1000", json!({ "cron": EACH_SECOND, "overlap": "queue" })),
    ]));
    until_true("runs that are left out", || count(&daemon, "skips", "skipped") > 1);
    assert_eq!((count(&daemon, "skips", "started"), &of(&daemon, "skips")["status"]), (1, &json!("online")));
    let skipped = daemon.happenings().into_iter().find(|it| it["kind"] == "skipped").expect("one");
    assert_eq!(skipped["text"], format!("not run: a run goes on (cron: {EACH_SECOND})"));
    daemon.ctl(&["run", "skips"]).expect(1).says(&["skips: not run: a run goes on"]);
    let_go(&daemon);
    until_true("the next run", || count(&daemon, "skips", "started") > 1);
    assert_eq!(count(&daemon, "skips", "completed"), 1);

    until_true("each makes room for the next", || count(&daemon, "kills", "started") > 2);
    assert_eq!((count(&daemon, "queues", "started"), count(&daemon, "queues", "queued")), (1, 1));
    assert_eq!(of(&daemon, "queues")["job"]["queued"], true);

    let asked = daemon.spawn(&["run", "queues"]);
    finish(asked).expect(1).says(&["a run goes on, and another one waits"]);
    daemon.ok(&["stop", "queues"]);
    assert_eq!(of(&daemon, "queues")["status"], "stopped", "neither that run nor the one that waits");
}

#[test]
fn a_run_goes_on_without_a_supervisor_and_ends_before_the_next() {
    let daemon = Daemon::start();
    let policy = json!({ "cron": SELDOM, "time_zone": "UTC" });
    let file = daemon.declare(&json!([job(&daemon, "backup", HOLDS, policy.clone())]));
    daemon.ok(&["start", &file]);
    assert_eq!(of(&daemon, "backup")["status"], "scheduled");
    assert!(daemon.ok(&["describe", "backup"]).out.contains("0 0 29 2 * in UTC, next at 20"));
    daemon.ok(&["run", "backup", "--no-wait"]);
    let id = daemon.worker_of("backup");
    daemon.until_status(id, "online");
    let pid = daemon.pid(id);
    for _ in 0..2 {
        daemon.kill_supervisor();
        assert_eq!(daemon.pid(id), pid);
    }
    let mut changed = job(&daemon, "backup", "echo another", policy);
    changed["job"]["timeout"] = json!("1h");
    let file = daemon.declare(&json!([changed]));
    daemon.ok(&["apply", &file]);
    daemon.ok(&["reload", "backup"]);
    daemon.ok(&["restart", "backup"]);
    assert_eq!(daemon.pid(id), pid, "nothing cuts it short");
    let_go(&daemon);
    until_last(&daemon, "backup", "completed");
    until_true("all that it wrote", || daemon.read("logs/backup-out.log") == "begun\nended\n");
    assert_eq!(daemon.ok(&["run", "backup"]).out, "another\n");
}

#[test]
fn a_stopped_job_heeds_no_clock_until_it_is_started() {
    let daemon = Daemon::start();
    daemon.run(&json!([
        job(&daemon, "often", HOLDS, json!(EACH_SECOND)),
        with(job(&daemon, "off", "true", json!(EACH_SECOND)), json!({ "autostart": false })),
    ]));
    until_true("a run", || of(&daemon, "often")["status"] == "online");
    let asked = daemon.spawn(&["stop", "often"]);
    drop(finish(asked));
    until_last(&daemon, "often", "stopped");
    daemon.pull_the_plug();
    let witness = job(&daemon, "witness", "true", json!(EACH_SECOND));
    daemon.ok(&["start", &daemon.declare(&json!([witness]))]);
    until_true("some times", || count(&daemon, "witness", "completed") > 2);
    for name in ["often", "off"] {
        assert_eq!((&of(&daemon, name)["status"], count(&daemon, name, "started")), (&json!("stopped"), 0));
    }
    daemon.ok(&["run", "off"]);
    assert_eq!(of(&daemon, "off")["status"], "stopped");
    daemon.ok(&["start", "often"]);
    until_true("a run", || of(&daemon, "often")["status"] == "online");
}

/// What a job counts from, in the ledger.
fn counts_from(ledger: &mut Value, name: &str) -> Option<u64> {
    let apps = ledger["apps"].as_array_mut().expect("apps");
    let app = apps.iter_mut().find(|app| app["revision"]["declaration"]["name"] == name);
    app.expect("it is in it")["counts_from"].as_u64()
}

#[test]
fn a_time_that_was_missed_is_made_up_for_once() {
    let daemon = Daemon::start();
    daemon.run(&json!([
        job(&daemon, "catches", "true", json!({ "cron": SELDOM, "catch_up": true })),
        job(&daemon, "misses", "true", json!({ "cron": SELDOM })),
    ]));
    let ledger = || serde_json::from_str::<Value>(&daemon.read("ledger.json")).expect("JSON");
    assert_eq!(counts_from(&mut ledger(), "misses"), None);
    let declared = counts_from(&mut ledger(), "catches").expect("a moment");
    daemon.pull_the_plug();
    // The machine was off for years.
    let text = daemon.read("ledger.json").replace(&declared.to_string(), "1577836800000");
    fs::write(daemon.file("ledger.json"), text).expect("written");
    daemon.ok(&["ping"]);
    let before = until_last(&daemon, "catches", "completed")["job"]["last"].clone();
    until_true("it is written down", || {
        counts_from(&mut ledger(), "catches").is_some_and(|from| from >= declared)
            && daemon.read("ledger.json").contains("\"completed\":true")
    });

    daemon.pull_the_plug();
    let witness = job(&daemon, "witness", "true", json!(EACH_SECOND));
    daemon.ok(&["start", &daemon.declare(&json!([witness]))]);
    until_last(&daemon, "witness", "completed");
    assert_eq!(of(&daemon, "catches")["job"]["last"], before, "the same run, known over the reboot");
    assert!(of(&daemon, "misses")["job"]["last"].is_null());
}

#[test]
fn an_app_waits_for_a_job_that_has_to_complete() {
    let daemon = Daemon::start();
    let web = with(sleeper("web"), json!({ "depends_on": { "migrate": "completed" } }));
    let file = daemon.declare(&json!([job(&daemon, "migrate", "[ -e go ]", json!({})), web]));
    daemon.ctl(&["start", &file]).expect(1).says(&["waiting for migrate: no run of it has completed yet"]);
    daemon.ctl(&["run", "migrate"]).expect(1);
    assert!(of(&daemon, "web")["pid"].is_null());
    let_go(&daemon);
    daemon.ok(&["run", "migrate"]);
    daemon.until_status(daemon.worker_of("web"), "online");
    daemon.pull_the_plug();
    daemon.ok(&["ping"]);
    daemon.until_status(daemon.worker_of("web"), "online");
    assert_eq!(count(&daemon, "migrate", "started"), 0, "that is remembered");
}
