//! What is told of ends that nobody asked for.

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, shell, sleeper, with};
use crate::process;
use crate::wait::until;

/// Reports of this app, the latest first, when there are so many.
fn reports(daemon: &Daemon, app: &str, count: usize) -> Vec<Value> {
    until(&format!("{count} crash reports of {app}"), || {
        let crashes = daemon.json(&["why", app])["crashes"].as_array().expect("reports").clone();
        (crashes.len() == count).then_some(crashes)
    })
}

fn shows(output: &Output, texts: &[&str]) {
    texts.iter().for_each(|text| assert!(output.out.contains(text), "{text:?} is not in {}", output.out));
}

fn once(name: &str, script: &str) -> Value {
    with(shell(name, script), json!({ "autorestart": false }))
}

#[test]
fn a_report_has_the_last_words_of_that_run_and_no_other() {
    let daemon = Daemon::start();
    let script = "n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n; echo run $n; \
        for i in $(seq 1 $((n * 40))); do echo line $i; echo \"error $i\" >&2; done; exit $((3 + n))";
    let once = with(once("app", script), json!({ "cwd": daemon.home() }));
    daemon.run(&json!([once]));
    let first = reports(&daemon, "app", 1).remove(0);
    assert_eq!(
        (&first["exit"]["code"], &first["out"], &first["err"]),
        (&json!(3), &json!(["run 0"]), &json!([]))
    );
    assert!(
        first["text"].as_str().is_some_and(|text| text.starts_with("exited with code 3 after ")),
        "{first}"
    );
    assert!(first["peak_memory"].as_u64().is_some_and(|bytes| bytes > 100_000), "{first}");

    daemon.ctl(&["start", "app"]);
    let second = reports(&daemon, "app", 2).remove(0);
    let last = |word: &str| (11..=40).map(|number| format!("{word} {number}")).collect::<Vec<_>>();
    assert_eq!(second["exit"]["code"], 4);
    assert_eq!((&second["out"], &second["err"]), (&json!(last("line")), &json!(last("error"))));

    // They outlive the supervisor and the daemon.
    daemon.kill_supervisor();
    assert_eq!(reports(&daemon, "app", 2)[1], first);
    daemon.ok(&["kill"]);
    assert_eq!(reports(&daemon, "app", 2)[0], second);
    shows(
        &daemon.ok(&["why", "app"]),
        &["Latest crash: worker 0", "exited with code 4", "  | error 40\n", "exited with code 3"],
    );
    shows(&daemon.ok(&["describe", "app"]), &["crashes on record", "  | line 40\n"]);
}

#[test]
fn the_sender_of_a_signal_is_told() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(sleeper("app"), json!({ "autorestart": false }))]));
    daemon.ok(&["signal", "SIGTERM", "app"]);
    let report = reports(&daemon, "app", 1).remove(0);
    assert_eq!((&report["exit"]["signal"], &report["cause"]), (&json!(15), &json!("client")));
    daemon.ok(&["start", "app"]);
    process::signal(daemon.pid(0), nix::sys::signal::Signal::SIGHUP);
    let report = reports(&daemon, "app", 2).remove(0);
    assert_eq!((&report["exit"]["signal"], &report["cause"]), (&json!(1), &json!("stranger")));
    daemon.ok(&["start", "app"]);
    // Asked for: no crash.
    daemon.ok(&["restart", "app"]);
    daemon.ok(&["stop", "app"]);
    reports(&daemon, "app", 2);
    let none = daemon.ctl(&["why", "nobody"]);
    none.expect(3);
}

#[test]
fn a_full_heap_of_javascript_is_told() {
    let daemon = Daemon::start();
    let script = "const all = []; for (;;) all.push(new Array(1000).fill(String(Math.random())));";
    let script = daemon.script("heap.js", script);
    let app = json!({ "name": "heap", "script": script, "node_args": "--max-old-space-size=30", "autorestart": false });
    daemon.run(&json!([app]));
    assert_eq!(reports(&daemon, "heap", 1)[0]["cause"], "heap_full");
    shows(&daemon.ok(&["why", "heap"]), &["the JavaScript heap was full", "heap out of memory"]);
}

#[test]
fn a_death_that_no_supervisor_saw_is_reported_by_the_next() {
    let daemon = Daemon::start();
    daemon.run(&json!([once("app", "echo here; exec sleep 1000")]));
    until("its word", || daemon.read("logs/app-out.log").contains("here").then_some(()));
    let (_, supervisor) = daemon.heads();
    let pid = daemon.pid(0);
    process::signal(supervisor, nix::sys::signal::Signal::SIGSTOP);
    process::kill(pid);
    process::kill(supervisor);
    let report = reports(&daemon, "app", 1).remove(0);
    assert_eq!((&report["exit"]["signal"], &report["out"]), (&json!(9), &json!(["here"])));
    assert!(report["peak_memory"].as_u64().is_some_and(|bytes| bytes > 100_000), "{report}");
}

#[test]
fn the_last_twenty_are_kept_and_go_with_the_app() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(
        shell("app", "exit 1"),
        json!({ "restart_delay": 1, "max_restarts": 25, "min_uptime": 1000 })
    )]));
    daemon.until_status(0, "errored");
    let kept = reports(&daemon, "app", 20);
    let runs: Vec<u64> = kept.iter().filter_map(|report| report["run"].as_u64()).collect();
    assert!(runs.windows(2).all(|pair| pair[0] == pair[1] + 1), "the latest without a gap: {runs:?}");
    daemon.ok(&["delete", "app"]);
    daemon.ok(&["kill"]);
    daemon.ok(&["ping"]);
    until("the reports' end", || (!daemon.file("crashes/app").exists()).then_some(()));
}
