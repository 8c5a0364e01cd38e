//! Clients that are broken or mean waste only themselves.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper};
use crate::http::Connection;
use crate::process;

/// A daemon with something that runs in it.
fn busy() -> (Daemon, Vec<i32>) {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("one"), sleeper("two")]));
    let pids = daemon.pids();
    (daemon, pids)
}

/// It answers within a second, and nothing that runs was touched.
fn unharmed(daemon: &Daemon, pids: &[i32], after: &str) {
    let begin = Instant::now();
    daemon.ok(&["ping"]);
    assert!(begin.elapsed() < Duration::from_secs(1), "{after}: it took {:?} to answer", begin.elapsed());
    assert_eq!(daemon.pids(), pids, "{after}");
    assert_eq!(daemon.json(&["ping"])["supervisor_restarts"], 0, "{after}");
}

/// Sends what the daemon takes of it; what it says back, up to the end of the connection or of patience.
fn talk(daemon: &Daemon, request: &[u8]) -> String {
    let mut stream = daemon.connect();
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a limit");
    // It may hang up before it has read all of it.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn noise_on_the_socket_harms_nobody() {
    let (daemon, pids) = busy();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    for length in [1, 10, 100, 10_000, 1_000_000] {
        let noise: Vec<u8> = (0..length).map(|_| random()).collect();
        talk(&daemon, &noise);
    }
    let head = "POST /v1/workers/stop HTTP/1.1\r\nhost: x\r\n";
    for request in [
        "\r\n\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /v1/workers HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "GET /v1/workers HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        &format!("{head}content-length: 100\r\n\r\n{{\"targets\":[\"all\"]"),
        &format!("{head}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
        &format!("{head}content-length: 18446744073709551616\r\n\r\n{{}}"),
    ] {
        let reply = talk(&daemon, request.as_bytes());
        assert!(!reply.starts_with("HTTP/1.1 200"), "{request:?}: {reply}");
    }
    unharmed(&daemon, &pids, "noise");
}

#[test]
fn giant_requests_are_refused() {
    let (daemon, pids) = busy();
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(1 << 20));
    let field = format!("GET /v1/daemon HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    let fields = format!("GET /v1/daemon HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    for request in [path, field, fields] {
        let reply = talk(&daemon, request.as_bytes());
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{}", &reply[..reply.len().min(200)]);
    }
    let (_, supervisor) = daemon.heads();
    let before = process::memory(supervisor);
    let body = vec![b' '; 17 << 20];
    let mut connection = Connection::over(daemon.connect());
    // The daemon may answer and hang up before all of it is sent; then the reply is lost on the way (tcp(7), RST).
    if let Ok(reply) = connection.send("POST", "/v1/workers/stop", "", &body) {
        assert_eq!((reply.status, &reply.json()["code"]), (429, &json!("limit")));
    }
    let deep = "[".repeat(1 << 20);
    let reply =
        Connection::over(daemon.connect()).send("POST", "/v1/apps", "", deep.as_bytes()).expect("a reply");
    assert_eq!(reply.status, 400);
    unharmed(&daemon, &pids, "giants");
    assert!(process::memory(supervisor) < before + (64 << 10), "it keeps what it was sent");
}

#[test]
fn idle_slow_and_half_clients_are_not_waited_for() {
    let (daemon, pids) = busy();
    let (_, supervisor) = daemon.heads();
    let before = process::descriptors(supervisor);
    let open = |what: &[u8]| {
        let mut stream = daemon.connect();
        stream.write_all(what).expect("sent");
        stream
    };
    let half = b"POST /v1/workers/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 19\r\n\r\n{\"targets\":";
    let clients: Vec<UnixStream> = (0..1000)
        .map(|n| match n % 3 {
            0 => open(b""),
            1 => open(b"GET /v1/wor"),
            _ => open(half),
        })
        .collect();
    unharmed(&daemon, &pids, "a thousand clients");
    assert!(process::descriptors(supervisor) < before + 200, "so many are not kept");
    drop(clients);
    crate::wait::until_true("their descriptors", || process::descriptors(supervisor) <= before + 2);
}

#[test]
fn every_route_answers_nonsense_with_a_fault() {
    let (daemon, pids) = busy();
    let posts = [
        "/v1/apps",
        "/v1/apps/one/scale",
        "/v1/workers/start",
        "/v1/workers/stop",
        "/v1/workers/restart",
        "/v1/workers/reload",
        "/v1/workers/delete",
        "/v1/workers/signal",
        "/v1/logs/flush",
    ];
    let bodies: [&[u8]; 7] = [b"", b"{", b"null", b"[]", b"{\"targets\":7}", b"\xff\xfe", b"{\"unknown\":1}"];
    for path in posts {
        for body in bodies {
            refused(&daemon, "POST", path, body, 400, "invalid");
        }
    }
    for (method, path, status, code) in [
        ("GET", "/v1/workers?tarket=x", 400, "invalid"),
        ("GET", "/v1/workers?target=nobody", 404, "not_found"),
        ("GET", "/v1/apps?target=%2F(%2F", 400, "invalid"),
        ("GET", "/v1/workers/x/env", 400, "invalid"),
        ("GET", "/v1/workers/99/env", 404, "not_found"),
        ("GET", "/v1/logs?lines=-1", 400, "invalid"),
        ("GET", "/v1/logs?follow=maybe", 400, "invalid"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("DELETE", "/v1/workers", 404, "not_found"),
        ("GET", "/../../etc/passwd", 404, "not_found"),
    ] {
        refused(&daemon, method, path, b"", status, code);
    }
    refused(&daemon, "POST", "/v1/apps/no%00body/scale", b"{\"count\":1}", 400, "invalid");
    refused(
        &daemon,
        "POST",
        "/v1/workers/signal",
        b"{\"targets\":[\"one\"],\"signal\":\"SIGNOPE\"}",
        400,
        "invalid",
    );
    unharmed(&daemon, &pids, "nonsense");
}

fn refused(daemon: &Daemon, method: &str, path: &str, body: &[u8], status: u16, code: &str) {
    let reply = Connection::over(daemon.connect()).send(method, path, "", body).expect("a reply");
    let shown = String::from_utf8_lossy(body).into_owned();
    let fault: Value = reply.json();
    assert_eq!((reply.status, &fault["code"]), (status, &json!(code)), "{method} {path} {shown}: {fault}");
    assert!(
        fault["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{method} {path} {shown}: {fault}"
    );
}
