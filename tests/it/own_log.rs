//! The daemon's own log: everything is in it, it stays small, and nobody waits for it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper};
use crate::process;
use crate::wait::{LIMIT, until_true};

fn in_foreground(daemon: &Daemon, stderr: impl Into<Stdio>) -> Child {
    let mut supd = Command::new(env!("CARGO_BIN_EXE_supd"));
    supd.env("SUPD_HOME", daemon.home()).env("SUPD_LOG_FORMAT", "json").env_remove("SUPD_LOG");
    let supd = supd.stdin(Stdio::null()).stderr(stderr).spawn().expect("supd");
    until_true("the daemon", || daemon.home().join("supd.sock").exists());
    supd
}

#[test]
fn keeper_and_supervisor_write_into_one_log_that_is_put_aside_and_followed() {
    let daemon = Daemon::start();
    let mut reader = daemon.spawn(&["daemon", "logs", "-f"]);
    let (tell, told) = channel();
    let lines = BufReader::new(reader.stdout.take().expect("a pipe")).lines();
    thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let next = |what: &str| loop {
        let line = told.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line says: {what}"));
        if line.contains(what) {
            return line;
        }
    };
    assert!(next("supervisor started").contains("Z  INFO "));
    daemon.run(&json!([sleeper("app")]));
    daemon.kill_supervisor();
    next("ERROR keeper: the supervisor has ended by signal 9");
    next("supervisor 2 took over 1 runs");

    let mut log = OpenOptions::new().append(true).open(daemon.file("supd.log")).expect("the log");
    log.write_all(&[b"filler\n".repeat(600_000), b"the last one\n".to_vec()].concat()).expect("4 MB");
    next("the last one");
    daemon.kill_supervisor();
    next("the supervisor has ended by signal 9");
    next("supervisor 3 took over 1 runs");
    process::kill(reader.id().cast_signed());
    reader.wait().expect("its end");
    assert!(daemon.read("supd.log.1").ends_with("the last one\n"));
    assert!(daemon.read("supd.log").starts_with("20") && daemon.read("supd.log").len() < 4096);
    for name in ["supd.log", "supd.log.1"] {
        let mode = fs::metadata(daemon.file(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }

    // It is there without a daemon too, and the next one goes on in it.
    daemon.ok(&["kill"]);
    let lines = daemon.ok(&["daemon", "logs", "--lines", "3"]).out;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    daemon.ok(&["ping"]);
    let lines = daemon.ok(&["daemon", "logs", "--json", "--lines", "1000"]).out;
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let messages: Vec<&str> = lines.iter().filter_map(|line| line["fields"]["message"].as_str()).collect();
    let third = messages.iter().position(|text| text.contains("supervisor 3 took over"));
    let fourth = messages.iter().rposition(|text| text.contains("supervisor started"));
    assert!(third.is_some() && third < fourth, "{messages:#?}");
}

#[test]
fn in_the_foreground_it_goes_to_standard_error_in_the_form_that_is_asked_for() {
    let daemon = Daemon::empty();
    let mut supd = in_foreground(&daemon, Stdio::piped());
    daemon.run(&json!([sleeper("app")]));
    daemon.kill_supervisor();
    daemon.ctl(&["daemon", "logs"]).expect(3).says(&["runs in the foreground", "pipe:["]);
    daemon.ok(&["kill"]);
    let lines = BufReader::new(supd.stderr.take().expect("a pipe")).lines();
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(&line.expect("text")).expect("every line is an object"))
        .collect();
    supd.wait().expect("its end");
    let has = |target: &str, text: &str| {
        lines.iter().any(|line| {
            line["target"].as_str().is_some_and(|name| name.starts_with(target))
                && line["fields"]["message"].as_str().is_some_and(|message| message.contains(text))
        })
    };
    assert!(has("keeper", "has ended by signal 9") && has("supd::", "took over 1 runs"), "{lines:#?}");
    assert!(!daemon.file("supd.log").exists());
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nobody() {
    let daemon = Daemon::empty();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let writer = OwnedFd::from(writer);
    let full = fs::File::from(writer.try_clone().expect("a duplicate"));
    fcntl(full.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe that does not wait");
    while (&full).write(&[b'x'; 4096]).is_ok() {}
    while (&full).write(b"x").is_ok() {}
    fcntl(full.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).expect("a pipe that waits");
    drop(full);

    let mut supd = in_foreground(&daemon, writer);
    for _ in 0..3 {
        daemon.kill_supervisor();
    }
    daemon.run(&json!([sleeper("app")]));
    daemon.ok(&["restart", "app"]);
    assert_eq!(daemon.worker(0)["status"], "online");
    daemon.ok(&["kill"]);
    supd.wait().expect("its end");
    drop(reader);
}
