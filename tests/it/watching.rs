//! Apps that are watched: a change brings new processes, as gently as the app allows, and nothing that was stopped.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::apps;
use crate::daemon::{Daemon, with};
use crate::http::Traffic;
use crate::wait::{until, until_true};

/// What waits, for it is never read by the shell anew.
const SCRIPT: &str = "#!/bin/sh\necho started; exec sleep 1000\n";

/// A directory with sources.
struct Site(TempDir);

impl Site {
    fn new(script: &str, text: &str) -> Self {
        let site = Self(tempfile::tempdir().expect("a directory"));
        site.write(script, text);
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// A shell script that is watched.
    fn app(&self, fields: Value) -> Value {
        with(
            json!({ "name": "web", "script": "app.sh", "interpreter": "sh", "cwd": self.path(), "watch": true }),
            fields,
        )
    }
}

/// The reasons of all renewals so far. A busy machine may take so long to make a file that it is two changes.
fn reasons(daemon: &Daemon) -> Vec<String> {
    let all = daemon.happenings().into_iter().filter(|it| it["kind"] == "renewed");
    let mut reasons: Vec<String> = all.map(|it| it["text"].as_str().expect("a text").to_owned()).collect();
    reasons.dedup();
    reasons
}

/// Waits for a process other than that one.
fn another(daemon: &Daemon, pid: i32) -> i32 {
    let online = |worker: &Value| worker["status"] == "online" && worker["pid"] != json!(pid);
    daemon.until(0, "another process", online);
    daemon.pid(0)
}

#[test]
fn a_change_restarts_what_runs_and_starts_nothing_that_was_stopped() {
    let (daemon, site) = (Daemon::start(), Site::new("app.sh", SCRIPT));
    daemon.run(&json!([site.app(json!({}))]));
    let first = daemon.pid(0);
    site.write("config.json", "{}");
    let second = another(&daemon, first);
    assert_eq!(reasons(&daemon), ["watch: config.json changed"]);
    assert_eq!(daemon.worker(0)["watching"], "on");
    assert!(daemon.ok(&["describe", "web"]).out.contains("after 200 ms without a change"));

    daemon.ok(&["stop", "web"]);
    site.write("config.json", "{ }");
    daemon.ok(&["start", "web"]);
    // What changed before it was started is no reason.
    let third = daemon.pid(0);
    assert_ne!(third, second);
    site.write("other.json", "{}");
    another(&daemon, third);
    assert_eq!(reasons(&daemon), ["watch: config.json changed", "watch: other.json changed"]);
}

#[test]
fn what_changes_while_the_supervisor_is_away_counts_once() {
    let (daemon, site) = (Daemon::start(), Site::new("app.sh", SCRIPT));
    daemon.run(&json!([site.app(json!({}))]));
    let first = daemon.pid(0);
    let (_, supervisor) = daemon.heads();
    crate::process::signal(supervisor, nix::sys::signal::Signal::SIGSTOP);
    site.write("app.sh", SCRIPT);
    daemon.kill_frozen(supervisor);
    let second = another(&daemon, first);
    assert_eq!(reasons(&daemon), ["watch: app.sh changed"]);
    // Events are not remembered by the next one, but what has been acted upon is.
    daemon.kill_supervisor();
    site.write("b.sh", "");
    another(&daemon, second);
    assert_eq!(reasons(&daemon), ["watch: b.sh changed"]);
}

#[test]
fn a_broken_build_leaves_the_old_workers_at_work() {
    let daemon = Daemon::start();
    let Some(app) = apps::node(&daemon, &json!({})) else { return };
    let script = fs::read_to_string(app["script"].as_str().expect("a path")).expect("the sample");
    let site = Site::new("server.js", &script);
    let own = json!({ "script": "server.js", "cwd": site.path(), "watch": ["server.js"] });
    daemon.run(&json!([with(app, own)]));
    let (before, address) = (daemon.pids(), apps::address(&daemon));
    let traffic = Traffic::start(&address);
    site.write("server.js", "this is no JavaScript");
    until_true("the end of the reload", || {
        daemon.happenings().iter().any(|it| it["kind"] == "reload_failed")
    });
    assert_eq!(daemon.pids(), before);
    let list = daemon.ok(&["list"]).out;
    assert!(list.contains("web: the last reload was taken back: the new one exited with code 1"), "{list}");
    site.write("server.js", &script);
    until_true("new workers", || {
        let now = daemon.pids();
        now.len() == 2 && now.iter().all(|pid| !before.contains(pid))
    });
    // Every request was answered, and by both.
    assert!(traffic.finish().len() >= 2);
    assert_eq!(reasons(&daemon), ["watch: server.js changed"]);
}

#[test]
fn what_supd_writes_beside_the_sources_is_no_change() {
    let (daemon, site) = (Daemon::start(), Site::new("app.sh", SCRIPT));
    let fields = json!({ "out_file": "out.txt", "error_file": "err.txt", "log_file": "all.txt", "pid_file": "web.id",
        "watch_delay": 50 });
    daemon.run(&json!([site.app(fields)]));
    for round in 1..=3 {
        let before = daemon.pid(0);
        // Closes them and opens them anew.
        daemon.ok(&["reload-logs"]);
        site.write("app.sh", SCRIPT);
        another(&daemon, before);
        until("its output", || {
            let text = fs::read_to_string(site.path().join("out.txt")).unwrap_or_default();
            (text.lines().count() == round + 1).then_some(())
        });
    }
    assert_eq!(reasons(&daemon), ["watch: app.sh changed"]);
}

#[test]
fn what_cannot_be_watched_says_so_and_is_tried_again() {
    let (daemon, site) = (Daemon::start(), Site::new("app.sh", SCRIPT));
    let gone = site.path().join("no/such");
    daemon.run(&json!([site.app(json!({ "watch": [gone.join("place")] }))]));
    daemon.until(0, "the trouble", |worker| worker["watching"]["failed"].is_string());
    let list = daemon.ok(&["list"]).out;
    assert!(list.contains(&format!("web is not watched: {}: No such file", gone.display())), "{list}");
    assert_eq!(daemon.worker(0)["status"], "online");
    fs::create_dir_all(&gone).expect("made");
    daemon.ok(&["restart", "web"]);
    daemon.until(0, "its end", |worker| worker["watching"] == "on");
    let before = daemon.pid(0);
    fs::write(gone.join("place"), "").expect("written");
    another(&daemon, before);
}

/// Traps 14 and 15 of PM2.
#[test]
fn watching_can_be_switched_over_and_off() {
    let pm2 = crate::pm2::Pm2::new();
    let (daemon, site) = (&pm2.daemon, Site::new("app.sh", SCRIPT));
    let script = site.path().join("app.sh").display().to_string();
    let cwd = site.path().display().to_string();
    pm2.ok(&["start", &script, "--interpreter", "sh", "--cwd", &cwd, "--name", "web", "--watch"]);
    assert_eq!(pm2.env(0)["watch"], true);
    assert!(pm2.ok(&["list"]).out.contains(" enabled "));
    // PM2 forgets to watch after a stop.
    pm2.ok(&["stop", "web"]);
    pm2.ok(&["restart", "web"]);
    let before = daemon.pid(0);
    site.write("a.js", "");
    another(daemon, before);
    pm2.ok(&["restart", "web", "--watch"]);
    assert_eq!(pm2.env(0)["watch"], false);
    pm2.ok(&["restart", "web", "--watch"]);
    assert_eq!(pm2.env(0)["watch"], true);
    pm2.ok(&["stop", "web", "--watch"]);
    assert_eq!((&pm2.env(0)["watch"], &pm2.env(0)["status"]), (&json!(false), &json!("stopped")));
    daemon.kill_supervisor();
    assert_eq!(pm2.env(0)["watch"], false);
}
