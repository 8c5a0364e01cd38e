//! Who is not looking is told: once when trouble begins, once when it is over, whoever dies meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::wait::{LIMIT, until_true};

/// A server that takes whatever it is told.
fn ear(address: &str) -> Receiver<Value> {
    let listener = TcpListener::bind(address).expect("a socket");
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a client"));
            let mut length = 0;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).expect("a line");
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .expect("sent");
            if tell.send(serde_json::from_slice(&body).expect("JSON")).is_err() {
                return;
            }
        }
    });
    told
}

/// An app that is given up at once, until a file is there.
fn broken(daemon: &Daemon) -> Value {
    let script = "[ -e works ] && exec sleep 1000; exit 3";
    let fields = json!({ "cwd": daemon.home(), "max_restarts": 1, "restart_delay": 1 });
    with(shell("web", script), fields)
}

fn said(word: &Value) -> (String, String, String) {
    let text = |name: &str| word[name].as_str().expect(name).to_owned();
    (text("app"), text("trouble"), text("state"))
}

fn word(trouble: &str, state: &str) -> (String, String, String) {
    ("web".to_owned(), trouble.to_owned(), state.to_owned())
}

#[test]
fn trouble_is_told_once_and_its_end_once_whoever_dies_meanwhile() {
    let daemon = Daemon::start();
    let address = daemon.address(8080);
    let hook = format!("webhook http://{address}/T0KEN");
    daemon.ok(&["set", "supd:hook.ops", &hook]);
    daemon.ctl(&["start", &daemon.declare(&json!([broken(&daemon), sleeper("quiet")]))]);
    daemon.until_status(0, "errored");
    // Nobody listens yet: the words wait, and outlive who wrote them.
    until_true("the first attempt", || daemon.read("supd.log").contains("hook ops: curl returned 7"));
    daemon.kill_supervisor();
    let told = ear(&address);
    let next = || told.recv_timeout(LIMIT).expect("a word");
    let words = [next(), next()];
    assert_eq!(words.each_ref().map(said), [word("failing", "begun"), word("down", "begun")]);
    assert!(words[0]["text"].as_str().expect("a text").starts_with("worker 0: exited with code 3"));

    daemon.kill_supervisor();
    std::fs::write(daemon.file("works"), "").expect("written");
    daemon.ok(&["restart", "web"]);
    let over = next();
    assert_eq!(said(&over), word("down", "over"), "nothing is repeated");
    assert_eq!(over["incident"], words[1]["incident"]);
    assert_ne!(over["id"], words[1]["id"]);

    // Nobody wants it any more: that ends the rest of it at once.
    daemon.ok(&["delete", "web"]);
    assert_eq!(said(&next()), word("failing", "over"));
    assert!(told.try_recv().is_err());
    assert!(!daemon.read("supd.log").contains("T0KEN"));
}

#[test]
fn a_test_is_sent_and_what_came_of_it_is_told() {
    let daemon = Daemon::start();
    assert_eq!(daemon.json(&["hooks"]), json!([]));
    let address = daemon.address(8080);
    daemon.ok(&["set", "supd:hook.ops", &format!("slack http://{address}/T0KEN")]);
    daemon.ok(&["set", "supd:hook.ops.apps", "web,api"]);
    daemon.ctl(&["hooks", "test", "ops"]).expect(1).says(&["hook ops: curl returned 7"]);
    let told = ear(&address);
    daemon.ok(&["hooks", "test", "ops"]);
    let text = told.recv_timeout(LIMIT).expect("a test")["text"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("supd on ") && text.contains("this is a test"), "{text}");
    daemon.ctl(&["hooks", "test", "opps"]).expect(3).says(&["did you mean `ops`?"]);

    assert_eq!(daemon.json(&["hooks"]), json!([{ "name": "ops", "kind": "slack", "apps": ["web", "api"] }]));
    for shown in [daemon.ok(&["hooks"]), daemon.ok(&["conf"]), daemon.ok(&["conf", "--json"])] {
        assert!(!shown.out.contains("T0KEN"), "{shown:?}");
    }
    assert!(daemon.ok(&["get", "supd:hook.ops"]).out.contains("T0KEN"), "who asks for it gets it");
    daemon.ctl(&["set", "supd:hook.ops", "pigeon T0KEN"]).expect(4).says(&["expected one of"]);
    assert!(!daemon.read("supd.log").contains("T0KEN"));
}

#[test]
fn a_program_is_told_of_the_apps_that_concern_it() {
    let daemon = Daemon::start();
    let words = daemon.file("words");
    let script = daemon.script("told", &format!("#!/bin/sh\n{{ cat; echo; }} >> {}\n", words.display()));
    daemon.ok(&["set", "supd:hook.one", &format!("exec {script}")]);
    daemon.ok(&["set", "supd:hook.one.apps", "web"]);
    let other = with(shell("other", "exit 3"), json!({ "max_restarts": 1, "restart_delay": 1 }));
    daemon.ctl(&["start", &daemon.declare(&json!([other]))]);
    daemon.until_status(0, "errored");
    daemon.ctl(&["start", &daemon.declare(&json!([broken(&daemon)]))]);
    daemon.until_status(1, "errored");
    until_true("both words", || daemon.read("words").lines().count() == 2);
    let seen: Vec<_> =
        daemon.read("words").lines().map(|line| said(&serde_json::from_str(line).expect("JSON"))).collect();
    assert_eq!(seen, [word("failing", "begun"), word("down", "begun")]);
}
