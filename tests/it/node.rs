//! Node apps as they are: nothing in them knows of supd.

use std::collections::BTreeSet;
use std::fs;

use crate::daemon::Daemon;
use crate::http::{self, Traffic};
use crate::interpreter::{free_port, is_there};
use crate::wait::until_true;

const SERVER: &str = "require('http').createServer((request, response) => \
    response.end(JSON.stringify({ pid: process.pid }))).listen(process.env.PORT);\n";

/// A daemon beside a `server.js`; `None` where there is no Node.
fn with_server(source: &str) -> Option<Daemon> {
    if !is_there(&["node", "--version"]) {
        return None;
    }
    let daemon = Daemon::start();
    fs::write(daemon.file("server.js"), source).expect("a script");
    Some(daemon)
}

/// Writes an `ecosystem.config.js` with these fields and starts it.
fn start(daemon: &Daemon, fields: &str) {
    let text =
        format!("module.exports = {{ apps: [{{ name: 'web', script: './server.js', {fields} }}] }};\n");
    fs::write(daemon.file("ecosystem.config.js"), text).expect("a declaration");
    daemon.ok(&["start"]);
}

fn each_answers(daemon: &Daemon, address: &str) {
    let workers: BTreeSet<i32> = daemon.pids().into_iter().collect();
    let mut seen = BTreeSet::new();
    until_true("an answer of each worker", || {
        seen.insert(http::pid(address).expect("an answer"));
        seen == workers
    });
}

#[test]
fn cluster_workers_share_a_port_and_outlive_the_supervisor() {
    let Some(daemon) = with_server(SERVER) else { return };
    let port = free_port();
    start(&daemon, &format!("instances: 2, exec_mode: 'cluster', env: {{ PORT: {port} }}"));
    let address = format!("127.0.0.1:{port}");
    each_answers(&daemon, &address);

    let mut before = daemon.pids();
    before.sort_unstable();
    let traffic = Traffic::start(&address);
    (0..3).for_each(|_| daemon.kill_supervisor());
    assert_eq!(traffic.finish().into_keys().collect::<Vec<_>>(), before, "both answered all the while");

    daemon.ok(&["reload", "web"]);
    assert!(daemon.pids().iter().all(|pid| !before.contains(pid)));
    each_answers(&daemon, &address);
    assert!(daemon.list().iter().all(|worker| worker["status"] == "online"));

    daemon.ok(&["stop", "web"]);
    assert!(std::net::TcpStream::connect(&address).is_err());
}

#[test]
fn an_es_module_is_declared_and_served_as_one() {
    let Some(daemon) = with_server("") else { return };
    let port = free_port();
    let server = "import { createServer } from 'node:http';\n\
        createServer((request, response) => response.end(JSON.stringify({ pid: process.pid }))).listen(process.env.PORT);\n";
    fs::write(daemon.file("server.mjs"), server).expect("a script");
    let text = format!(
        "export default {{ apps: [{{ name: 'web', script: './server.mjs', instances: 2, exec_mode: 'cluster', \
         env: {{ PORT: {port} }} }}] }};\n"
    );
    let file = daemon.file("ecosystem.config.mjs");
    fs::write(&file, text).expect("a declaration");
    daemon.ok(&["start", &file.display().to_string()]);
    each_answers(&daemon, &format!("127.0.0.1:{port}"));
}

#[test]
fn ready_and_shutdown_are_messages() {
    let source = "\
        process.on('message', message => { if (message === 'shutdown') { console.log('bye'); process.exit(0); } });\n\
        setTimeout(() => { console.log('ready'); process.send('ready'); }, 50);\n\
        setInterval(() => {}, 1000);\n";
    let Some(daemon) = with_server(source) else { return };
    start(
        &daemon,
        "wait_ready: true, listen_timeout: 60000, shutdown_with_message: true, kill_timeout: 60000",
    );
    assert_eq!(daemon.worker(0)["status"], "online");
    until_true("its first line", || daemon.read("logs/web-out.log") == "ready\n");
    daemon.ok(&["stop", "web"]);
    until_true("its last line", || daemon.read("logs/web-out.log") == "ready\nbye\n");
    assert_eq!(daemon.worker(0)["last_exit"]["exit"], serde_json::json!({ "code": 0 }));
}

#[test]
fn port_zero_is_the_same_port_for_all_workers() {
    let source = "const server = require('http').createServer((request, response) => \
        response.end(JSON.stringify({ pid: process.pid })));\n\
        server.listen(0, '127.0.0.1', () => console.log(server.address().port));\n";
    let Some(daemon) = with_server(source) else { return };
    start(&daemon, "instances: 2, exec_mode: 'cluster', merge_logs: true");
    until_true("a line of each", || daemon.read("logs/web-out.log").lines().count() == 2);
    let lines = daemon.read("logs/web-out.log");
    let ports: BTreeSet<&str> = lines.lines().collect();
    assert_eq!(ports.len(), 1, "{ports:?}");
    each_answers(&daemon, &format!("127.0.0.1:{}", lines.lines().next().expect("a port")));
}

#[test]
fn a_config_that_throws_or_hangs_starts_nothing() {
    let Some(daemon) = with_server(SERVER) else { return };
    let file = daemon.file("ecosystem.config.js");
    fs::write(&file, "throw new Error('no luck today');\n").expect("a declaration");
    daemon.ctl(&["start"]).expect(4).says(&["ecosystem.config.js", "no luck today"]);
    fs::write(&file, "module.exports = { apps: [ { script: } ] };\n").expect("a declaration");
    daemon.ctl(&["start"]).expect(4).says(&["ecosystem.config.js", "SyntaxError"]);
    assert!(daemon.list().is_empty());
}
