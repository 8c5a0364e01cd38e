//! The sample apps of `tests/apps`, declared for a test.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::http::{self, Connection};
use crate::interpreter::is_there;
use crate::wait::until_true;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/apps").join(name)
}

/// `node/server.js` in cluster mode with two workers, on an address of this daemon's own; `None` where there is no
/// Node. `variables` are added to its environment.
pub fn node(daemon: &Daemon, variables: &Value) -> Option<Value> {
    let (host, port) = parts(daemon);
    is_there(&["node", "--version"]).then(|| {
        json!({ "name": "web", "script": file("node/server.js"), "cwd": daemon.home(), "instances": 2,
            "exec_mode": "cluster", "env": environment(json!({ "HOST": host, "PORT": port }), variables) })
    })
}

/// `python/inherited.py` on a socket that supd has bound, two workers; `None` where there is no Python.
pub fn python(daemon: &Daemon, variables: &Value) -> Option<Value> {
    is_there(&["python3", "--version"]).then(|| {
        json!({ "name": "web", "script": file("python/inherited.py"), "cwd": daemon.home(), "instances": 2,
            "listen": [address(daemon)], "env": environment(json!({ "PYTHONUNBUFFERED": "1" }), variables) })
    })
}

/// The Express app as anybody would write it, listening on all interfaces; `None` where Express is not installed.
pub fn express(port: u16, variables: &Value) -> Option<Value> {
    let directory = file("express");
    let find = format!("require.resolve('express', {{ paths: [{directory:?}] }})");
    let mut own = json!({ "PORT": port });
    // Where Node was told to look for packages.
    if let Ok(path) = std::env::var("NODE_PATH") {
        own["NODE_PATH"] = path.into();
    }
    is_there(&["node", "-e", &find]).then(|| {
        json!({ "name": "web", "script": "server.js", "cwd": directory, "instances": 2, "exec_mode": "cluster",
            "env": environment(own, variables) })
    })
}

/// Where the apps of this daemon listen.
pub fn address(daemon: &Daemon) -> String {
    daemon.address(8175)
}

/// Whether this version is all that serves: every worker has answered, and no other version has.
pub fn serves(daemon: &Daemon, wanted: &str) -> bool {
    let (mut seen, workers) = (BTreeMap::new(), daemon.pids());
    until_true("an answer of each worker", || {
        let (pid, version) = version(&address(daemon)).expect("an answer");
        seen.insert(pid, version);
        workers.iter().all(|pid| seen.contains_key(pid))
    });
    seen.into_values().all(|version| version == wanted)
}

/// Which process answers, and of which version it is.
fn version(address: &str) -> io::Result<(i32, String)> {
    let reply = Connection::open(address)?.send("GET", "/", "connection: close\r\n", b"")?;
    let version = reply.json()["version"].as_str().expect("a version").to_owned();
    Ok((http::answered_by(&reply)?, version))
}

fn parts(daemon: &Daemon) -> (String, u16) {
    let address = address(daemon);
    let (host, port) = address.rsplit_once(':').expect("an address");
    (host.to_owned(), port.parse().expect("a port"))
}

fn environment(mut own: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("variables") {
        own[name] = value.clone();
    }
    own
}
