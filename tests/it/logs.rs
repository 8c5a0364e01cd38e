//! Output: every line of it, to the right place, in order.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, with};
use crate::process;
use crate::wait::{LIMIT, until_true};

/// A reader of `supctl logs`, line by line.
pub struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    pub fn start(daemon: &Daemon, args: &[&str]) -> Self {
        let mut child = daemon.spawn(args);
        let out: ChildStdout = child.stdout.take().expect("a pipe");
        let (tell, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.for_each(|line| drop(tell.send(line)));
        });
        Self { child, lines }
    }

    pub fn next(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("another line")
    }

    /// Reads up to and with this line.
    fn up_to(&self, wanted: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line| line != wanted) {
            lines.push(self.next());
        }
        lines
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says each line of a fifo on standard output.
fn parrot(daemon: &Daemon) -> Value {
    let fifo = daemon.file("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
    shell("parrot", "echo begin; while :; do while read -r line; do echo \"$line\"; done < fifo; done")
}

fn say(daemon: &Daemon, line: &str) {
    std::fs::write(daemon.file("fifo"), format!("{line}\n")).expect("said");
}

#[test]
fn every_line_arrives_even_of_a_short_life() {
    let daemon = Daemon::start();
    let script =
        "n=0; while [ $n -lt 50000 ]; do n=$((n + 1)); echo $n; done; echo wrong >&2; printf 'no end'";
    daemon.run(&json!([with(shell("app", script), json!({ "autorestart": false }))]));
    daemon.until_status(0, "stopped");
    until_true("the last line", || daemon.read("logs/app-out.log").ends_with("no end"));
    let expected: String = (1..=50_000).map(|n| format!("{n}\n")).collect();
    assert!(daemon.read("logs/app-out.log") == expected + "no end", "lines are lost, doubled or torn");
    until_true("the error", || daemon.read("logs/app-error.log") == "wrong\n");
}

#[test]
fn the_last_lines_are_shown_as_asked() {
    let daemon = Daemon::start();
    let script = "for n in 1 2 3 4 5; do echo out$n; echo err$n >&2; done; exec sleep 1000";
    daemon.run(&json!([shell("app", script)]));
    let complete = |file: &str, line: &str| until_true(line, || daemon.read(file).ends_with(line));
    complete("logs/app-out.log", "out5\n");
    complete("logs/app-error.log", "err5\n");

    let raw = |args: &[&str]| daemon.ok(&[&["logs", "--nostream", "--raw"], args].concat()).out;
    assert_eq!(raw(&["app", "--out", "--lines", "2"]), "out4\nout5\n");
    assert_eq!(raw(&["app", "--err", "--lines", "3"]), "err3\nerr4\nerr5\n");
    assert_eq!(raw(&["--lines", "1"]).lines().count(), 2);
    assert_eq!(raw(&["app", "--lines", "0"]), "");
    let shown = daemon.ok(&["logs", "app", "--nostream", "--out", "--lines", "1"]).out;
    assert!(shown.contains("0|app") && shown.contains("| out5\n"), "{shown}");
    let json = daemon.ok(&["logs", "app", "--nostream", "--out", "--lines", "1", "--json"]).out;
    let last: Value = serde_json::from_str(json.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (&last["text"], &last["stream"], &last["app"]),
        (&json!("out5"), &json!("out"), &json!("app"))
    );
}

#[test]
fn a_follower_sees_every_line_and_outlives_worker_and_supervisor() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(parrot(&daemon), json!({ "cwd": daemon.home() }))]));
    until_true("the first line", || daemon.read("logs/parrot-out.log") == "begin\n");
    let follower = Follower::start(&daemon, &["logs", "parrot", "--raw"]);
    assert_eq!(follower.next(), "begin");
    let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    say(&daemon, &lines.join("\n"));
    assert_eq!(follower.up_to("line 99"), lines);

    process::kill(daemon.pid(0));
    assert_eq!(follower.up_to("begin"), ["begin"]);
    say(&daemon, "of the next worker");
    assert_eq!(follower.next(), "of the next worker");

    daemon.kill_supervisor();
    // The follower comes back by itself; until then lines go to the file alone.
    let mut n = 0;
    until_true("a line under the next supervisor", || {
        n += 1;
        say(&daemon, &format!("later {n}"));
        follower.lines.try_recv().is_ok_and(|line| line.starts_with("later "))
    });
}

#[test]
fn flush_empties_the_files_and_nothing_else() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(parrot(&daemon), json!({ "cwd": daemon.home() }))]));
    until_true("the first line", || daemon.read("logs/parrot-out.log") == "begin\n");
    daemon.ok(&["flush", "parrot"]);
    until_true("an empty file", || daemon.read("logs/parrot-out.log").is_empty());
    say(&daemon, "after");
    until_true("the next line, at the beginning", || daemon.read("logs/parrot-out.log") == "after\n");
    assert_eq!(daemon.worker(0)["restarts"], 0);
}

#[test]
fn logrotate_may_rename_files_and_have_them_opened_anew() {
    let daemon = Daemon::start();
    daemon.run(&json!([with(parrot(&daemon), json!({ "cwd": daemon.home() }))]));
    let log = "logs/parrot-out.log";
    until_true("the first line", || daemon.read(log) == "begin\n");
    let rename = |to: &str| std::fs::rename(daemon.file(log), daemon.file(to)).expect("renamed");
    rename("first");
    say(&daemon, "still there");
    until_true("a line in the renamed file", || daemon.read("first") == "begin\nstill there\n");
    daemon.ok(&["reload-logs"]);
    until_true("a new file", || daemon.file(log).exists());
    say(&daemon, "here");
    until_true("a line in the new file", || daemon.read(log) == "here\n");
    rename("second");
    let (keeper, _) = daemon.heads();
    process::signal(keeper, nix::sys::signal::Signal::SIGUSR2);
    until_true("another new file", || daemon.file(log).exists());
    assert_eq!(daemon.read("first") + &daemon.read("second"), "begin\nstill there\nhere\n");
}

#[test]
fn files_are_where_the_declaration_says() {
    let daemon = Daemon::start();
    let talker = |name| shell(name, "echo $NODE_APP_INSTANCE; echo bad >&2; exec sleep 1000");
    let fields =
        json!({ "instances": 2, "exec_mode": "fork", "out_file": "deep/own.log", "error_file": "NULL" });
    let merged = json!({ "instances": 2, "exec_mode": "fork", "merge_logs": true });
    daemon.run(&json!([
        with(talker("own"), fields),
        with(talker("merged"), merged),
        with(talker("mute"), json!({ "disable_logs": true }))
    ]));
    until_true("a file each", || {
        daemon.read("deep/own-0.log") == "0\n" && daemon.read("deep/own-1.log") == "1\n"
    });
    until_true("a file for all", || daemon.read("logs/merged-out.log").lines().count() == 2);
    assert!(!daemon.file("logs/mute-out.log").exists() && !daemon.file("logs/own-error.log").exists());
}

#[test]
fn lines_look_as_the_declaration_says() {
    let daemon = Daemon::start();
    let talker = |name| shell(name, "echo good; echo bad >&2; exec sleep 1000");
    daemon.run(&json!([
        with(talker("dated"), json!({ "log_date_format": "[at] YYYY", "log_file": true })),
        with(talker("object"), json!({ "log_type": "json" })),
    ]));
    let lines = |file: &str| daemon.read(file).lines().map(str::to_owned).collect::<Vec<_>>();
    until_true("both lines in one file", || lines("logs/dated.log").len() == 2);
    until_true("an object", || lines("logs/object-error.log").len() == 1);
    let dated = lines("logs/dated-out.log");
    let text = dated[0].strip_prefix("at 20").and_then(|rest| rest.split_once(": "));
    assert_eq!(text.map(|(_, text)| text), Some("good"), "{dated:?}");
    let object: Value = serde_json::from_str(&lines("logs/object-error.log")[0]).expect("JSON");
    let members = ["message", "type", "process_id", "app_name"].map(|name| object[name].clone());
    assert_eq!(members, [json!("bad\n"), json!("err"), json!(1), json!("object")]);
    daemon.ok(&["flush", "dated"]);
    until_true("an empty file", || daemon.read("logs/dated.log").is_empty());
}
