//! Who goes finishes first what it has accepted, for as long as it is given.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::apps;
use crate::daemon::{Daemon, finish, with};
use crate::http::{Connection, Reply, answered_by};
use crate::interpreter::free_port;
use crate::process;
use crate::wait::{LIMIT, until_true};

/// Two cluster workers that write into one file.
fn node(daemon: &Daemon, fields: Value) -> Option<Value> {
    Some(with(with(apps::node(daemon, &json!({}))?, fields), json!({ "merge_logs": true })))
}

/// A request in flight, and the process that has it.
struct Pending {
    asking: JoinHandle<io::Result<Reply>>,
    pid: i32,
}

impl Pending {
    /// A request that takes so many milliseconds; returns once the app has it.
    fn ask(daemon: &Daemon, takes: u32) -> Self {
        let address = apps::address(daemon);
        // The one who answers on this connection is the one who gets the next request on it.
        let mut connection = Connection::open(&address).expect("a connection");
        let first = connection.get("/").expect("an answer");
        let pid = answered_by(&first).expect("a pid");
        let known = daemon.read("logs/web-out.log").len();
        let asking = thread::spawn(move || connection.get(&format!("/slow?ms={takes}")));
        until_true("it has the request", || daemon.read("logs/web-out.log").len() > known);
        Self { asking, pid }
    }

    #[track_caller]
    fn answered(self) {
        let reply = self.asking.join().expect("a client").expect("an answer");
        assert_eq!(answered_by(&reply).expect("a pid"), self.pid);
    }
}

#[test]
fn a_request_in_flight_is_answered_whatever_the_command() {
    let daemon = Daemon::start();
    let Some(app) = node(&daemon, json!({})) else { return };
    daemon.run(&json!([app]));
    let pending = Pending::ask(&daemon, 2000);
    daemon.ok(&["reload", "web"]);
    pending.answered();
    for command in ["restart", "stop"] {
        let pending = Pending::ask(&daemon, 2000);
        let pid = pending.pid;
        let ending = daemon.spawn(&[command, "web"]);
        let stopping = |worker: &Value| worker["status"] == "stopping" && worker["pid"] == pid;
        until_true("it drains", || daemon.list().iter().any(stopping));
        pending.answered();
        finish(ending).expect(0);
        assert!(!process::is_alive(pid));
    }
}

#[test]
fn a_stop_waits_no_longer_than_kill_timeout() {
    let daemon = Daemon::start();
    let Some(app) = node(&daemon, json!({ "kill_timeout": "300ms" })) else { return };
    daemon.run(&json!([app]));
    let pending = Pending::ask(&daemon, 60_000);
    let begin = Instant::now();
    daemon.ok(&["stop", "web"]);
    assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
    assert!(pending.asking.join().expect("a client").is_err());
}

#[test]
fn an_answer_that_streams_is_finished() {
    let daemon = Daemon::start();
    let Some(app) = node(&daemon, json!({})) else { return };
    daemon.run(&json!([app]));
    let mut stream = TcpStream::connect(apps::address(&daemon)).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.write_all(b"GET /stream?ms=1500 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("asked");
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !text.contains("piece 2\n") {
        let count = stream.read(&mut piece).expect("a piece");
        assert_ne!(count, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    daemon.ok(&["reload", "web"]);
    assert!(!text.contains("piece 10\n"));
    stream.read_to_string(&mut text).expect("the rest");
    assert!(text.contains("piece 10\n") && text.ends_with("0\r\n\r\n"), "{text}");
}

/// A connection that is a WebSocket by now.
fn upgraded(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n")
        .expect("asked");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut back).is_ok() && back == *b"ping"
}

#[test]
fn a_web_socket_is_cut_when_drain_timeout_is_over_and_not_before() {
    let daemon = Daemon::start();
    let limit = Duration::from_millis(1500);
    let Some(app) = node(&daemon, json!({ "drain_timeout": "1500ms", "instances": 1 })) else { return };
    daemon.run(&json!([app]));
    let before = daemon.pid(0);
    let mut socket = upgraded(&apps::address(&daemon));
    let begin = Instant::now();
    daemon.ok(&["reload", "web"]);
    assert_ne!(daemon.pid(0), before);
    let mut pings = 0;
    while echoes(&mut socket) {
        pings += 1;
        thread::yield_now();
    }
    assert!(begin.elapsed() >= limit && pings > 0, "{:?}, {pings}", begin.elapsed());
    until_true("its end", || !process::is_alive(before));
}

#[test]
fn a_server_on_an_inherited_socket_finishes_at_its_stop_signal() {
    let daemon = Daemon::start();
    let Some(app) = apps::python(&daemon, &json!({})) else { return };
    daemon.run(&json!([with(app, json!({ "merge_logs": true, "wait_ready": true }))]));
    for command in ["reload", "restart", "stop"] {
        let known = daemon.read("logs/web-out.log").len();
        let address = apps::address(&daemon);
        let asking = thread::spawn(move || Connection::open(&address)?.get("/slow?ms=1500"));
        until_true("it has the request", || daemon.read("logs/web-out.log").len() > known);
        let before = daemon.pids();
        daemon.ok(&[command, "web"]);
        let reply = asking.join().expect("a client").expect("an answer");
        assert!(before.contains(&answered_by(&reply).expect("a pid")), "{command}");
    }
}

#[test]
fn a_server_with_a_port_of_its_own_is_restarted_and_that_is_said() {
    let port = free_port();
    let Some(app) = apps::express(port, &json!({})) else { return };
    let daemon = Daemon::start();
    let ready = json!({ "http": "/health", "interval": "100ms" });
    daemon.run(&json!([with(app, json!({ "exec_mode": "fork", "instances": 1, "ready": ready }))]));
    let before = daemon.pid(0);
    daemon.ok(&["reload", "web"]).says(&["warning: web opens its port itself, so its reload is a restart"]);
    let after = crate::http::pid(&format!("127.0.0.1:{port}")).expect("an answer");
    assert!(after != before && after == daemon.pid(0));
}
