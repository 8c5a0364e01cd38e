//! Releases in directories of their own, with a link `current` to the one that shall serve.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::apps;
use crate::crowd::Crowd;
use crate::daemon::{Daemon, with};
use crate::process;

/// `current/server.js` in cluster mode, serving from release 1.
struct Site {
    daemon: Daemon,
}

impl Site {
    /// `None` where there is no Node.
    fn set() -> Option<Self> {
        let daemon = Daemon::start();
        let app = apps::node(&daemon, &json!({}))?;
        let site = Self { daemon };
        site.release("1", "");
        site.switch("1");
        let fields = json!({ "cwd": site.daemon.file("current"), "script": "server.js" });
        site.daemon.run(&json!([with(app, fields)]));
        Some(site)
    }

    /// Lays out a release; this code comes first in it.
    fn release(&self, name: &str, code: &str) {
        let directory = self.daemon.file("releases").join(name);
        let server = include_str!("../apps/node/server.js");
        fs::create_dir_all(&directory).expect("a directory");
        let text = format!("process.env.VERSION = '{name}';\n{code}\n{server}");
        fs::write(directory.join("server.js"), text).expect("a script");
    }

    /// Points the link to a release in one step.
    fn switch(&self, name: &str) {
        symlink(format!("releases/{name}"), self.daemon.file("next")).expect("a link");
        fs::rename(self.daemon.file("next"), self.daemon.file("current")).expect("the link");
    }

    fn is_at(&self, release: &str) -> bool {
        let directory = fs::canonicalize(self.daemon.file("releases").join(release)).expect("a release");
        let is_there =
            |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).expect("a directory") == directory;
        apps::serves(&self.daemon, release) && self.daemon.pids().into_iter().all(is_there)
    }

    /// Kills a worker and waits for the next process of it.
    fn crash(&self, worker: u64) {
        let pid = self.daemon.pid(worker);
        process::kill(pid);
        self.daemon
            .until(worker, "is up again", |worker| worker["status"] == "online" && worker["pid"] != pid);
    }
}

#[test]
fn a_reload_serves_the_release_that_the_link_means_now_and_a_rollback_the_one_before() {
    let Some(site) = Site::set() else { return };
    assert!(site.is_at("1"));
    let crowd = Crowd::small(&apps::address(&site.daemon));
    site.release("2", "");
    site.switch("2");
    site.daemon.ok(&["reload", "web"]);
    assert!(site.is_at("2"));
    site.daemon.ok(&["rollback", "web"]);
    assert!(site.is_at("1"));
    site.daemon.ok(&["rollback", "web"]);
    assert!(site.is_at("2"));
    crowd.disperse().complete();
}

#[test]
fn until_the_reload_a_crash_and_a_reboot_start_the_release_that_served() {
    let Some(site) = Site::set() else { return };
    site.release("2", "throw new Error('half copied');");
    site.switch("2");
    site.crash(0);
    assert!(site.is_at("1"));
    site.daemon.ok(&["restart", "0"]);
    assert!(site.is_at("1"), "one worker stays with the others");
    site.daemon.pull_the_plug();
    site.daemon.ok(&["ping"]);
    (0..2).for_each(|worker| drop(site.daemon.until_status(worker, "online")));
    assert!(site.is_at("1"));
}

#[test]
fn a_restart_of_the_whole_app_follows_the_link() {
    let Some(site) = Site::set() else { return };
    site.release("2", "");
    site.switch("2");
    site.daemon.ok(&["restart", "web"]);
    assert!(site.is_at("2"));
}

#[test]
fn a_bad_release_is_left_for_the_one_that_served() {
    let Some(site) = Site::set() else { return };
    let (before, crowd) = (site.daemon.pids(), Crowd::small(&apps::address(&site.daemon)));
    // Worker 0 of it comes up.
    site.release("2", "if (process.env.NODE_APP_INSTANCE === '1') throw new Error('no such column');");
    site.switch("2");
    let failed = site.daemon.ctl(&["reload", "web"]).expect(1);
    failed.says(&["exited with code 1", "Error: no such column", "the old workers stay"]);
    site.daemon.until(0, "is back", |worker| worker["reason"] == "ready");
    assert!(site.is_at("1"));
    assert_eq!(site.daemon.pid(1), before[1]);
    crowd.disperse().complete();
    site.crash(1);
    assert!(site.is_at("1"));
}

#[test]
fn a_release_that_was_cleared_away_cannot_be_gone_back_to() {
    let Some(site) = Site::set() else { return };
    site.release("2", "");
    site.switch("2");
    site.daemon.ok(&["reload", "web"]);
    let (before, crowd) = (site.daemon.pids(), Crowd::small(&apps::address(&site.daemon)));
    fs::remove_dir_all(site.daemon.file("releases/1")).expect("removed");
    site.daemon.ctl(&["rollback", "web"]).expect(1).says(&[
        "its working directory",
        "releases/1",
        "the old workers stay",
    ]);
    assert_eq!(site.daemon.pids(), before);
    assert!(site.is_at("2"));
    crowd.disperse().complete();
}
