//! `diff` and `apply`: a file against what runs, and only what differs is changed.

use std::fs;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, shell, sleeper, with};
use crate::process;
use crate::wait::until_true;

/// The words of one command: nowhere is the value of a variable.
#[track_caller]
fn shows(output: &Output, texts: &[&str]) {
    texts.iter().for_each(|text| assert!(output.out.contains(text), "{text:?} is not in {output:#?}"));
    assert!(!output.out.contains("hunter") && !output.err.contains("hunter"), "{output:#?}");
}

/// What became of each app: its name and outcome.
fn outcomes(document: &Value) -> Vec<(&str, &str)> {
    let apps = document["apps"].as_array().expect("apps").iter();
    apps.map(|app| (app["app"].as_str().expect("a name"), app["outcome"].as_str().expect("one"))).collect()
}

fn secret(value: &str) -> Value {
    json!({ "env": { "TOKEN": format!("hunter{value}") } })
}

#[test]
fn only_what_differs_is_changed_and_then_nothing() {
    let daemon = Daemon::start();
    let file = daemon.declare(&json!([
        with(sleeper("a"), secret("1")),
        sleeper("b"),
        sleeper("c"),
        sleeper("gone")
    ]));
    shows(&daemon.ctl(&["diff", &file]).expect(9), &["a is new: started"]);
    daemon.ok(&["apply", &file]);
    shows(&daemon.ok(&["diff", &file]), &["nothing to do: what runs is as declared (a, b, c, gone)"]);
    daemon.ok(&["start", "sleep", "--name", "hand", "--", "1000"]);
    let other = daemon.file("other.config.json");
    fs::write(&other, json!({ "apps": [sleeper("other")] }).to_string()).expect("a declaration");
    daemon.ok(&["start", &other.display().to_string()]);
    let pids = daemon.pids();

    let at_once = json!({ "kill_timeout": "3s", "max_restarts": 7, "merge_logs": true });
    daemon.declare(&json!([
        with(sleeper("a"), secret("2")),
        with(sleeper("b"), at_once),
        sleeper("c"),
        sleeper("d")
    ]));
    let differs = daemon.ctl(&["diff", &file]).expect(9);
    shows(
        &differs,
        &[
            "a changes with new processes: reloaded\n  ~ env.TOKEN  changed  new processes\n",
            "b changes at once: its processes go on\n",
            "  ~ kill_timeout  10 s → 3 s",
            "  + max_restarts  none → 7",
            "gone is no longer in the file: kept (--prune deletes it)",
            "unchanged: c",
        ],
    );
    shows(&daemon.ok(&["apply", &file, "--dry-run"]), &[&differs.out]);
    assert_eq!(daemon.pids(), pids, "nothing has been done");
    let document = daemon.json(&["apply", &file]);
    assert_eq!(
        outcomes(&document),
        [("a", "reloaded"), ("b", "amended"), ("c", "unchanged"), ("d", "started")]
    );
    assert!(!document.to_string().contains("hunter"));
    let after = daemon.pids();
    let stayed: Vec<bool> = pids.iter().map(|pid| after.contains(pid)).collect();
    assert_eq!(stayed, [false, true, true, true, true, true]);
    shows(&daemon.ok(&["apply", &file]), &["nothing to do: what runs is as declared (a, b, c, d)"]);
    assert_eq!(daemon.pids(), after);

    // Only what came from this file is pruned.
    shows(
        &daemon.ok(&["apply", &file, "--prune"]),
        &["gone is no longer in the file: deleted", "deleted gone"],
    );
    let names: Vec<Value> = daemon.list().into_iter().map(|worker| worker["app"].clone()).collect();
    assert_eq!(names, ["a", "b", "c", "d", "hand", "other"]);
    daemon.ctl(&["apply", "-", "--prune"]).expect(4).says(&["--prune needs a file"]);
}

#[test]
fn one_that_fails_keeps_its_old_workers_and_stops_no_other() {
    let daemon = Daemon::start();
    let careful = json!({ "reuse_port": true, "kill_timeout": "2s" });
    let apps = |script: &str, fields: Value| {
        let bad = with(shell("bad", script), careful.clone());
        json!([bad, with(sleeper("good"), fields), { "name": "nobody", "script": "sleep", "args": ["1000"] }])
    };
    let file = daemon.declare(&apps("exec sleep 1000", json!({})));
    daemon.ok(&["apply", &file]);
    let pids = daemon.pids();
    let mut changed = apps("echo broken >&2; exit 4", secret("2"));
    changed[2] = with(sleeper("nobody"), json!({ "uid": "nobody-of-that-name" }));
    changed.as_array_mut().expect("apps").push(sleeper("new"));
    daemon.declare(&changed);
    let failed = daemon.ctl(&["apply", &file]).expect(1);
    failed.says(&["exited with code 4", "the old workers stay", "broken", "nobody: "]);
    let after = daemon.pids();
    assert_eq!(after[0], pids[0], "bad");
    assert_ne!(after[1], pids[1], "good");
    assert!(after.len() == 4 && after[2] == pids[2], "nobody is as it was, new is there: {after:?}");
    // The plan does not change by failing, and where not all went well nothing is deleted.
    daemon.declare(&json!([changed[0], changed[1], changed[2]]));
    let spared = daemon.ctl(&["apply", &file, "--prune"]).expect(1);
    spared.says(&["new: not deleted, because not all of the file could be applied"]);
    assert_eq!(daemon.list().len(), 4);
}

#[test]
fn what_acts_at_once_does_so_and_survives_the_supervisor() {
    let daemon = Daemon::start();
    let line = "x".repeat(200);
    let writer = shell("app", &format!("while :; do echo {line}; sleep 0.05; done"));
    let file = daemon.declare(&json!([writer]));
    daemon.ok(&["apply", &file]);
    let pid = daemon.pid(0);
    daemon.declare(&json!([with(writer, json!({ "autorestart": false, "rotate_size": "1K" }))]));
    daemon.ok(&["apply", &file]);
    let aside = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().to_string_lossy().starts_with("app-out__")
    };
    until_true("a file put aside", || fs::read_dir(daemon.file("logs")).expect("logs").any(aside));
    assert_eq!(daemon.pid(0), pid);
    daemon.kill_supervisor();
    shows(&daemon.ok(&["diff", &file]), &["nothing to do"]);
    process::kill(pid);
    daemon.until_status(0, "stopped");
    // What ended for good, and what somebody has stopped, is not started by a change.
    daemon.declare(&json!([with(shell("app", "exec sleep 1000"), json!({ "autorestart": false }))]));
    shows(&daemon.ok(&["apply", &file]), &["app changes and stays stopped", "amended app"]);
    assert_eq!(daemon.worker(0)["status"], "stopped");
    daemon.ok(&["start", "app"]);
    assert!(process::command_line(daemon.pid(0)).starts_with("sleep 1000"));
}
