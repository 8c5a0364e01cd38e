//! Python apps: servers that take an inherited socket.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::http;
use crate::interpreter::is_there;
use crate::process;
use crate::wait::until_true;

/// An app with the directory of the sample apps as its own.
fn app(daemon: &Daemon, args: &[&str]) -> Value {
    let cwd = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/python");
    json!([{ "name": "web", "script": "python3", "args": args, "cwd": cwd, "listen": [daemon.address(8175)],
        "instances": 2, "env": { "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1" } }])
}

/// Two processes, below two workers, answer; a reload replaces them; a stop ends them.
fn serves(daemon: &Daemon) {
    let address = daemon.address(8175);
    let two = |known: &BTreeSet<i32>| {
        let mut seen = BTreeSet::new();
        until_true("answers of two processes", || {
            let pid = http::pid(&address).expect("an answer");
            if !known.contains(&pid) {
                seen.insert(pid);
            }
            seen.len() == 2
        });
        seen
    };
    let old = two(&BTreeSet::new());
    daemon.ok(&["reload", "web"]);
    let new = two(&old);
    daemon.ok(&["stop", "web"]);
    assert!(!old.iter().chain(&new).any(|&pid| process::is_alive(pid)));
}

#[test]
fn uvicorn_takes_the_socket_by_number() {
    if is_there(&["python3", "-c", "import uvicorn"]) {
        let daemon = Daemon::start();
        daemon.run(&app(&daemon, &["-m", "uvicorn", "--fd", "3", "asgi:app"]));
        serves(&daemon);
    }
}

#[test]
fn gunicorn_takes_the_socket_as_from_systemd() {
    if is_there(&["python3", "-c", "import gunicorn"]) {
        let daemon = Daemon::start();
        daemon.run(&app(&daemon, &["-m", "gunicorn", "wsgi:app"]));
        serves(&daemon);
    }
}

#[test]
fn a_script_without_any_package_serves_and_says_that_it_is_ready() {
    if !is_there(&["python3", "--version"]) {
        return;
    }
    let daemon = Daemon::start();
    let script = "\
import json, os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({'pid': os.getpid()}).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = HTTPServer(('', 0), Answer, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
os.write(int(os.environ['NODE_CHANNEL_FD']), b'\"ready\"\\n')
server.serve_forever()
";
    let file = daemon.file("server.py");
    fs::write(&file, script).expect("a script");
    daemon.run(&json!([{ "name": "web", "script": file, "listen": [daemon.address(8175)], "instances": 2,
        "wait_ready": true, "ready_timeout": "60s" }]));
    serves(&daemon);
}
