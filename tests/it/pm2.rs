//! `pm2` as a script meets it: the real program, through a link of that name.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Output, run};
use crate::process;
use crate::wait::{until, until_true};

/// A home with the links of `supctl pm2-link`.
pub struct Pm2 {
    pub daemon: Daemon,
}

impl Pm2 {
    pub fn new() -> Self {
        let daemon = Daemon::empty();
        fs::create_dir(daemon.file("bin")).expect("a directory");
        daemon.ok(&["pm2-link", "bin"]);
        Self { daemon }
    }

    /// `pm2`, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        self.named("pm2", args)
    }

    pub fn named(&self, name: &str, args: &[&str]) -> Command {
        let template = self.daemon.command(&[]);
        let mut command = Command::new(self.daemon.file("bin").join(name));
        for (variable, value) in template.get_envs() {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        command.current_dir(self.daemon.home()).args(args);
        command
    }

    /// Runs `pm2`.
    pub fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args), b"")
    }

    /// Runs `pm2`, which has to succeed.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Output {
        self.run(args).expect(0)
    }

    /// The `pm2_env` of the process with that id.
    #[track_caller]
    pub fn env(&self, id: u64) -> Value {
        let list = self.ok(&["jlist"]).json();
        let found = list.as_array().into_iter().flatten().find(|element| element["pm_id"] == id);
        found.unwrap_or_else(|| panic!("no {id} in {list:#}"))["pm2_env"].clone()
    }

    /// How often a text occurs in `prettylist`.
    #[track_caller]
    pub fn count(&self, text: &str) -> usize {
        self.ok(&["prettylist"]).out.matches(text).count()
    }
}

#[test]
fn the_links_are_made_and_nothing_of_somebody_elses_is_touched() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    // Those that are there already are ours.
    daemon.ok(&["pm2-link", "bin"]);
    assert_eq!(
        pm2.ok(&["-v"]).out.trim(),
        daemon.ok(&["--version"]).out.trim().trim_start_matches("supctl ")
    );
    for name in ["pm2-runtime", "pm2-docker", "pm2-dev"] {
        run(&mut pm2.named(name, &["absent.js"]), b"").expect(4).says(&["Script not found"]);
    }
    fs::create_dir(daemon.file("theirs")).expect("a directory");
    symlink("../lib/node_modules/pm2/bin/pm2", daemon.file("theirs/pm2")).expect("a link");
    daemon.ctl(&["pm2-link", "theirs"]).expect(5).says(&["node_modules/pm2"]);
    assert_eq!(fs::read_dir(daemon.file("theirs")).expect("a directory").count(), 1);
}

#[test]
fn a_wrong_command_line_fails_and_starts_no_daemon() {
    let pm2 = Pm2::new();
    assert!(pm2.run(&[]).expect(1).out.starts_with("usage: pm2"));
    pm2.run(&["nope"]).expect(1).says(&["[PM2][ERROR] Command not found"]);
    pm2.run(&["--nope", "list"]).expect(1).says(&["unknown option `--nope'"]);
    pm2.run(&["stop"]).expect(1).says(&["missing required argument"]);
    pm2.run(&["link", "a", "b"]).expect(1).says(&["supd has no online service"]);
    assert!(pm2.ok(&["--help"]).out.contains("startOrRestart"));
    assert!(process::of_home(pm2.daemon.home()).is_empty());
}

#[test]
fn a_script_lives_as_under_pm2() {
    let pm2 = Pm2::new();
    let script = pm2.daemon.script("eko", "#!/bin/sh\nexec sleep 1000\n");
    let started = pm2.ok(&["start", "./eko", "--name", "ticker"]);
    assert!(
        started
            .out
            .contains(&format!("[PM2] Starting {script} in fork_mode (1 instance)\n[PM2] Done.\n┌────┬"))
    );
    pm2.run(&["start", "./eko", "--name", "ticker"]).expect(1).says(&["Script already launched, add -f"]);
    pm2.ok(&["start", "./eko", "--name", "ticker", "-f"]);
    assert_eq!((pm2.count("online"), pm2.count("fork_mode"), pm2.count("restart_time: 0")), (2, 2, 2));
    // As often as PM2 has it for a program that is no Node: without the option of its agent.
    assert_eq!(pm2.count("ticker"), 2 * 6);

    let restarted = pm2.ok(&["restart", "ticker"]);
    assert!(
        restarted.out.starts_with("Use --update-env to update environment variables\n[PM2] Applying action")
    );
    assert!(
        restarted.out.contains("on app [ticker](ids: [ 0, 1 ])\n[PM2] [ticker](0) ✓\n[PM2] [ticker](1) ✓\n")
    );
    pm2.ok(&["start", "ticker"]);
    assert_eq!(pm2.count("restart_time: 2"), 2);
    pm2.ok(&["reset", "all"]);
    assert_eq!(pm2.count("restart_time: 0"), 2);

    pm2.ok(&["stop", "0"]);
    assert_eq!((pm2.count("stopped"), pm2.count("online")), (1, 1));
    assert_eq!(pm2.ok(&["pid", "ticker"]).out.lines().next(), Some("0"));
    pm2.ok(&["stop", "./eko"]);
    assert_eq!(pm2.count("stopped"), 2);
    pm2.ok(&["delete", "all"]);
    assert_eq!(pm2.ok(&["jlist"]).out, "[]");
    pm2.run(&["restart", "all"]).expect(1).says(&["No process found"]);
}

#[test]
fn flags_of_restart_change_what_they_name_for_good() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", "#!/bin/sh\nexec sleep 1000\n");
    pm2.ok(&["start", "./eko", "-k", "2000", "--", "one", "two"]);
    assert_eq!(pm2.env(0)["args"], json!(["one", "two"]));
    // A script that was stopped goes on as it was declared.
    pm2.ok(&["stop", "eko"]);
    assert!(pm2.ok(&["start", "./eko"]).out.contains("[PM2] Process successfully started\n"));
    let env = pm2.env(0);
    assert_eq!((&env["kill_timeout"], &env["args"]), (&json!(2000), &json!(["one", "two"])));
    pm2.ok(&["restart", "eko", "--kill-timeout", "3000", "--", "three"]);
    pm2.ok(&["restart", "eko"]);
    let env = pm2.env(0);
    assert_eq!((&env["kill_timeout"], &env["args"]), (&json!(3000), &json!(["three"])));
    pm2.ok(&["restart", "0", "--name", "other"]);
    assert_eq!((pm2.count("name: 'other'"), pm2.count("name: 'eko'")), (2, 0));
    pm2.run(&["restart", "other", "--cwd", "/no/such/place"]).expect(1).says(&["no such directory"]);
    assert_eq!(pm2.env(0)["status"], "online");
}

#[test]
fn watching_is_switched_over_where_something_runs_and_on_where_nothing_does() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", "#!/bin/sh\nexec sleep 1000\n");
    for (args, watched) in [
        (&["start", "./eko", "--watch"][..], true),
        (&["stop", "eko"], false),
        (&["restart", "eko", "--watch"], true),
        (&["restart", "eko", "--watch"], false),
        (&["stop", "eko"], false),
        (&["restart", "eko"], false),
    ] {
        pm2.ok(args);
        assert_eq!(pm2.env(0)["watch"], watched, "{args:?}");
    }
}

#[test]
fn a_line_for_the_shell_and_a_program_in_path() {
    let pm2 = Pm2::new();
    pm2.ok(&["start", "sleep 1000 && echo 'never'", "--name", "line"]);
    assert_eq!(pm2.env(0)["args"], json!(["-c", "sleep 1000 && echo 'never'"]));
    pm2.ok(&["start", "sleep", "--", "1000"]);
    assert!(
        pm2.env(1)["pm_exec_path"]
            .as_str()
            .is_some_and(|path| path.ends_with("/sleep") && path.starts_with('/'))
    );
    pm2.run(&["start", "nofile.js"]).expect(1).says(&["[PM2][ERROR] Script not found: /", "/nofile.js"]);
}

#[test]
fn what_was_saved_comes_back_after_kill() {
    let pm2 = Pm2::new();
    let daemon = &pm2.daemon;
    daemon.script("eko", "#!/bin/sh\nexec sleep 1000\n");
    pm2.ok(&["save"]).says(&["skipping save"]);
    run(pm2.command(&["start", "./eko", "-i", "2"]).env("TOKEN", "hunter2"), b"").expect(0);
    pm2.ok(&["start", "./eko", "--name", "still"]);
    pm2.ok(&["stop", "still"]);
    assert!(pm2.ok(&["save"]).out.contains("[PM2] Successfully saved in "));
    assert!(!daemon.file("dump.pm2.bak").exists());
    pm2.ok(&["dump"]);
    for file in ["dump.pm2", "dump.pm2.bak"] {
        let mode = fs::metadata(daemon.file(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file} holds values of variables");
    }
    let names = |list: &Value| {
        let name = |record: &Value| record["name"].as_str().expect("a name").to_owned();
        list.as_array().expect("a list").iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&serde_json::from_str(&daemon.read("dump.pm2")).expect("JSON")),
        ["eko", "eko", "still"]
    );

    assert!(pm2.ok(&["kill"]).out.ends_with("[PM2] [v] PM2 Daemon Stopped\n"));
    assert_eq!(pm2.ok(&["jlist"]).out, "[]");
    pm2.ok(&["resurrect"]);
    assert_eq!((pm2.count("online"), pm2.count("stopped")), (2, 1));
    assert!(!pm2.ok(&["jlist"]).out.contains("hunter2"));
    assert_eq!(pm2.ok(&["jlist", "--show-env"]).json()[0]["pm2_env"]["TOKEN"], "hunter2");
    // What is there already is left alone.
    let before = daemon.pids();
    pm2.ok(&["resurrect"]);
    assert_eq!(daemon.pids(), before);

    fs::write(daemon.file("dump.pm2"), "[{").expect("a damaged dump");
    pm2.ok(&["delete", "all"]);
    pm2.ok(&["resurrect"]).says(&["no list of processes", "restoring from"]);
    assert_eq!(names(&pm2.ok(&["jlist"]).json()), ["eko", "eko", "still"]);
    assert_eq!(daemon.read("dump.pm2"), "[{", "PM2 removes it");
    pm2.ok(&["cleardump"]);
    assert_eq!(daemon.read("dump.pm2"), "[]");
}

#[test]
fn silence_is_for_people_and_a_home_may_be_pm2s() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", "#!/bin/sh\necho to out\necho to err >&2\nexec sleep 1000\n");
    let silent = |args: &[&str]| run(pm2.command(args).env("PM2_SILENT", "true"), b"").expect(0);
    let started = silent(&["start", "./eko"]);
    assert_eq!((started.out.as_str(), started.err.as_str()), ("", ""));
    assert_eq!(silent(&["list"]).out, "");
    assert_eq!(silent(&["jlist"]).json()[0]["name"], "eko");
    // Where nothing says otherwise, the daemon is the one of PM2_HOME.
    let mut there = pm2.command(&["id", "eko"]);
    assert_eq!(
        run(there.env_remove("SUPD_HOME").env("PM2_HOME", pm2.daemon.home()), b"").expect(0).out,
        "[ 0 ]\n"
    );
}

#[test]
fn logs_are_told_with_pm2s_labels_and_raw_ones_where_they_belong() {
    let pm2 = Pm2::new();
    pm2.daemon.script("eko", "#!/bin/sh\necho to out\necho to err >&2\nexec sleep 1000\n");
    pm2.ok(&["start", "./eko"]);
    let tail = || pm2.ok(&["logs", "eko", "--nostream", "--lines", "5"]).out;
    let seen = until("both lines", || {
        Some(tail()).filter(|text| text.contains("to out") && text.contains("to err"))
    });
    assert!(seen.starts_with(
        "[TAILING] Tailing last 5 lines for [eko] process (change the value with --lines option)\n"
    ));
    assert!(seen.contains("eko-out.log last 5 lines:\n0|eko     | to out\n"), "{seen}");
    let raw = pm2.ok(&["logs", "--raw", "--nostream"]);
    assert_eq!((raw.out.as_str(), raw.err.as_str()), ("to out\n", "to err\n"));
    assert_eq!(pm2.ok(&["logs", "0", "--raw", "--nostream", "--err"]).out, "");
    pm2.run(&["logs", "nope"]).expect(1).says(&["nope"]);
    assert!(pm2.ok(&["flush", "eko"]).out.ends_with("[PM2] Logs flushed\n"));
    until_true("empty files", || pm2.ok(&["logs", "--raw", "--nostream"]).out.is_empty());
}
