//! What a new user does first: the sample declaration, with the example app of this project.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;

use crate::daemon::Daemon;
use crate::wait::until_true;
use crate::{http, process};

/// The sample of this project with its address and its program where this test wants them.
fn sample(daemon: &Daemon, address: &str) -> String {
    let text = include_str!("../../ecosystem.toml")
        .replace("target/release/examples/hello", &Daemon::hello().display().to_string())
        .replace("127.0.0.1:8175", address);
    let file = daemon.file("ecosystem.toml");
    fs::write(&file, text).expect("the sample");
    file.display().to_string()
}

#[test]
fn the_sample_serves_from_both_workers_and_goes_when_told() {
    let daemon = Daemon::empty();
    let address = daemon.address(8175);
    daemon.ok(&["start", &sample(&daemon, &address)]).says(&["starting it"]);

    let workers: BTreeSet<i32> = daemon.pids().into_iter().collect();
    assert_eq!(workers.len(), 2);
    let mut seen = BTreeSet::new();
    until_true("an answer of each worker", || {
        seen.insert(http::pid(&address).expect("an answer"));
        seen == workers
    });

    daemon.ok(&["stop", "hello"]);
    assert!(TcpStream::connect(&address).is_err(), "a stopped app takes no connection");
    assert!(workers.iter().all(|&pid| !process::is_alive(pid)));

    daemon.ok(&["start", "hello"]);
    let pid = http::pid(&address).expect("an answer");
    assert!(daemon.pids().contains(&pid) && !workers.contains(&pid));

    daemon.ok(&["delete", "hello"]);
    assert!(daemon.list().is_empty());
    assert!(TcpStream::connect(&address).is_err());
    let (keeper, supervisor) = daemon.heads();
    let mut left = process::of_home(daemon.home());
    left.sort_unstable();
    assert_eq!(left, [keeper, supervisor], "only the daemon itself is left");
}
