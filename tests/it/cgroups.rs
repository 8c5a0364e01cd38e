//! Control groups of workers, from the declaration to the kernel, and what is said where there are none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::daemon::{Daemon, run, shell, sleeper, with};
use crate::process;
use crate::wait::until_true;

/// A daemon whose groups are to be there.
fn daemon_in(group: &Path) -> Daemon {
    let daemon = Daemon::empty();
    start(&daemon, group);
    daemon
}

fn start(daemon: &Daemon, group: &Path) {
    run(daemon.command(&["ping"]).env("SUPD_CGROUP", group), b"").expect(0);
}

/// A group in the real file system, removed at the end.
struct Ground(PathBuf);

impl Ground {
    /// `None`, which is told, where none can be made.
    fn new(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let mount = mount.and_then(|line| line.split(' ').nth(4));
        let ground =
            mount.map(|mount| Path::new(mount).join(format!("supd-test-{name}-{}", std::process::id())));
        let made = ground.map(|ground| fs::create_dir(&ground).map(|()| ground));
        match made {
            Some(Ok(ground)) => Some(Self(ground)),
            other => {
                eprintln!("control groups cannot be shown here: {other:?}");
                None
            }
        }
    }

    /// Every group below.
    fn groups(&self) -> Vec<String> {
        fn below(path: &Path, found: &mut Vec<String>) {
            for path in fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    below(&path, found);
                    found.push(path.file_name().expect("a name").to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        below(&self.0, &mut found);
        found.sort();
        found
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let remove = |path: &Path| drop(fs::remove_dir(path));
        for keeper in fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let leaves = fs::read_dir(&keeper).into_iter().flatten().flatten().map(|entry| entry.path());
            leaves.filter(|path| path.is_dir()).for_each(|leaf| remove(&leaf));
            remove(&keeper);
        }
        remove(&self.0);
    }
}

fn texts(daemon: &Daemon, kind: &str) -> Vec<String> {
    let all = daemon.happenings().into_iter().filter(|it| it["kind"] == kind);
    all.map(|it| it["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn what_takes_a_group_is_refused_where_there_is_none() {
    let daemon = daemon_in(Path::new("/proc/self"));
    daemon.run(&json!([sleeper("web")]));
    let pid = daemon.pid(0);
    for (fields, says) in [
        (json!({ "memory_max": "512M" }), "web: `memory_max` cannot be kept: supd has no control groups"),
        (json!({ "cpu_max": "150%", "pids_max": 64 }), "web: `cpu_max`, `pids_max` cannot be kept"),
    ] {
        let file = daemon.declare(&json!([with(sleeper("web"), fields)]));
        for (command, code) in [("start", 4), ("apply", 1)] {
            let refused = daemon.ctl(&[command, &file]).expect(code);
            refused.says(&[says, "hint: ", "Delegate=yes", "max_memory_restart"]);
        }
        daemon.ok(&["check", &file]);
    }
    assert_eq!(daemon.pid(0), pid);
    for (fields, says) in [
        (json!({ "memory_high": "2G", "memory_max": "1G" }), "memory_high: it is above `memory_max`"),
        (json!({ "cpu_max": "much" }), "expected a number of processors"),
        (json!({ "cpu_weight": 10001 }), "expected a whole number from 1 to 10000"),
        (json!({ "pids_max": 0 }), "a worker has at least one process"),
    ] {
        let file = daemon.declare(&json!([with(sleeper("web"), fields)]));
        daemon.ctl(&["check", &file]).expect(4).says(&[says]);
    }
    let log = daemon.read("supd.log");
    assert!(log.contains("runs have no control groups of their own: /proc/self/supd-"), "{log}");
}

/// What was accepted comes back, and nobody has to find out by himself what it comes back without.
#[test]
fn an_app_comes_back_without_the_groups_that_are_gone() {
    let daemon = daemon_in(Path::new("/proc/self"));
    daemon.run(&json!([sleeper("web")]));
    daemon.ok(&["kill"]);
    let file = daemon.file("ledger.json");
    let mut ledger: Value = serde_json::from_str(&daemon.read("ledger.json")).expect("a ledger");
    ledger["apps"][0]["revision"]["declaration"]["cgroup"] = json!({ "memory_max": 64 << 20 });
    fs::write(file, ledger.to_string()).expect("a ledger");
    start(&daemon, Path::new("/proc/self"));
    daemon.until_status(0, "online");
    let says = "`memory_max` cannot be kept: supd has no control groups for its workers";
    let list = daemon.ok(&["list"]).out;
    assert!(list.contains(&format!("web: {says}")), "{list}");
    assert!(daemon.ok(&["describe", "web"]).out.contains("memory_max 64M"));
    let log = daemon.read("supd.log");
    assert!(log.contains(&format!("run 0 of web starts nevertheless: {says}")), "{log}");
    let doctor = daemon.ctl(&["doctor"]).out;
    assert!(doctor.contains("warning  web: cgroup: runs without memory_max"), "{doctor}");
}

#[test]
fn each_worker_has_a_group_that_goes_with_it() {
    let Some(ground) = Ground::new("own") else { return };
    let daemon = daemon_in(&ground.0);
    let keeper = format!("supd-{}", daemon.heads().0);
    daemon.run(&json!([with(sleeper("my app"), json!({ "instances": 2 }))]));
    assert_eq!(ground.groups(), ["daemon", "run-0-my_app", "run-1-my_app", &keeper]);
    let told = daemon.json(&["describe", "my app"]);
    let dir = told[0]["workers"][0]["cgroup"]["dir"].as_str().expect("a directory");
    assert_eq!(Path::new(dir), ground.0.join(&keeper).join("run-0-my_app"));
    let procs = fs::read_to_string(Path::new(dir).join("cgroup.procs")).expect("its processes");
    assert_eq!(procs.trim(), daemon.pid(0).to_string());

    daemon.kill_supervisor();
    daemon.ok(&["upgrade"]);
    daemon.ok(&["restart", "my app"]);
    assert_eq!(ground.groups(), ["daemon", "run-2-my_app", "run-3-my_app", &keeper]);
    daemon.ok(&["delete", "my app"]);
    until_true("the end of their groups", || ground.groups() == ["daemon", &keeper]);
    daemon.ok(&["kill"]);
    until_true("its end", || process::of_home(daemon.home()).is_empty());
    // What it left of itself goes with the next one.
    start(&daemon, &ground.0);
    let keeper = format!("supd-{}", daemon.heads().0);
    assert_eq!(ground.groups(), ["daemon", &keeper]);
    daemon.ok(&["kill"]);
}

#[test]
fn a_worker_at_its_wall_is_no_crash_like_others() {
    let Some(ground) = Ground::new("wall") else { return };
    let daemon = daemon_in(&ground.0);
    // A string that doubles.
    let grows = shell("web", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done");
    let file = daemon.declare(&json!([with(grows, json!({ "memory_max": "16M", "max_restarts": 1 }))]));
    let controllers = fs::read_to_string(ground.0.join("cgroup.controllers")).expect("controllers");
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        eprintln!("without the controller `memory` only the refusal can be shown");
        daemon
            .ctl(&["start", &file])
            .expect(4)
            .says(&["web: `memory_max` cannot be kept: ", "hand the controller on"]);
        return daemon.ok(&["kill"]).out.clear();
    }
    daemon.ctl(&["start", &file]);
    until_true("its end", || !texts(&daemon, "failed").is_empty());
    let text = &texts(&daemon, "failed")[0];
    assert!(text.starts_with("killed for want of memory at its memory_max"), "{text}");
    let worker = daemon.worker(0);
    assert!(
        worker["last_exit"]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("killed for want of memory"))
    );
    until_true("the reason", || daemon.ok(&["why", "web"]).out.contains("raise `memory_max`"));
    daemon.ok(&["kill"]);
}
