//! What a new user does first: the sample declaration, with the example app of this project.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::daemon::Daemon;
use crate::http::Traffic;
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

#[test]
fn each_worker_serves_from_a_queue_of_its_own_when_asked_to() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let own = json!({ "name": "hello", "script": Daemon::hello(), "listen": [address], "instances": 2, "balance": "reuseport" });
    daemon.run(&json!([own]));
    let workers: BTreeSet<i32> = daemon.pids().into_iter().collect();
    let mut seen = BTreeSet::new();
    until_true("an answer of each worker", || {
        seen.insert(http::pid(&address).expect("an answer"));
        seen == workers
    });

    let traffic = Traffic::start(&address);
    daemon.ok(&["reload", "hello"]);
    daemon.kill_supervisor();
    assert!(
        traffic.finish().keys().any(|pid| !workers.contains(pid)),
        "nothing is lost on the way to new workers"
    );
}

#[test]
fn ip_version_6_is_served_like_version_4() {
    let Ok(free) = TcpListener::bind("[::1]:0") else { return };
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let daemon = Daemon::start();
    daemon.run(&json!([{ "name": "hello", "script": Daemon::hello(), "listen": [address] }]));
    assert_eq!(http::pid(&address).expect("an answer"), daemon.pid(0));
}
