//! `why`: the reason for the present state, from what can be seen, with a remedy.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::wait::until;

/// The first reason of this kind.
fn reason(daemon: &Daemon, kind: &str) -> Value {
    until(&format!("a reason `{kind}`"), || {
        let reasons = daemon.json(&["why", "web"])["reasons"].as_array().expect("reasons").clone();
        reasons.into_iter().find(|reason| reason["kind"] == kind)
    })
}

#[track_caller]
fn says(reason: &Value, field: &str, texts: &[&str]) {
    let text = reason[field].as_str().expect("a text");
    texts.iter().for_each(|wanted| assert!(text.contains(wanted), "{wanted:?} is not in {reason:#}"));
}

#[test]
fn a_port_that_another_process_has() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let taken = TcpListener::bind(&address).expect("the port");
    let line = format!("Error: listen EADDRINUSE: address already in use {address}");
    daemon.run(&json!([shell("web", &format!("echo '{line}' >&2; exit 1"))]));
    let reason = reason(&daemon, "port_taken");
    let pid = format!("pid {}", std::process::id());
    says(&reason, "text", &[&address, &pid, "none of supd's"]);
    says(&reason, "remedy", &[&format!("kill {}", std::process::id())]);
    assert_eq!((&reason["certain"], &reason["seen"]), (&json!(true), &json!(line)));
    let screen = daemon.ok(&["why", "web"]).out;
    assert!(
        screen.contains("Why:\n  the port") && screen.contains("short lives in a row so far"),
        "{screen}"
    );
    drop(taken);
    let reason = self::reason(&daemon, "port_taken");
    says(&reason, "text", &["was taken; nobody has it now"]);
}

#[test]
fn a_port_that_supd_itself_cannot_bind() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    daemon.run(&json!([with(sleeper("web"), json!({ "listen": [address] }))]));
    daemon.ok(&["stop", "web"]);
    let taken = until("the port", || TcpListener::bind(&address).ok());
    daemon.ctl(&["start", "web"]).expect(1);
    let reason = reason(&daemon, "port_taken");
    says(&reason, "text", &[&address, &format!("pid {}", std::process::id())]);
    assert_eq!(reason["certain"], true);
    drop(taken);
}

#[test]
fn an_interpreter_that_is_missing() {
    let daemon = Daemon::start();
    let script = daemon.script("run", "#!/no/such/python9\n");
    let file = daemon.declare(&json!([{ "name": "web", "script": script }]));
    daemon.ctl(&["start", &file]).expect(1);
    let reason = reason(&daemon, "interpreter_missing");
    says(&reason, "text", &[&script, "names /no/such/python9, which does not exist"]);
    says(&reason, "remedy", &["install /no/such/python9"]);
    assert_eq!(reason["certain"], true);
}

#[test]
fn a_probe_that_hears_503() {
    let daemon = Daemon::start();
    let server = TcpListener::bind(daemon.address(8175)).expect("a port");
    thread::spawn(move || {
        for client in server.incoming() {
            let Ok(mut client) = client else { return };
            let mut head = [0; 1024];
            // A client that is gone is asked no more.
            let _ = client.read(&mut head);
            let _ = client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let url = format!("http://{}/health", daemon.address(8175));
    let ready =
        json!({ "ready": { "http": url, "interval": "100ms" }, "ready_timeout": "2s", "kill_timeout": "1s" });
    let file = daemon.declare(&json!([with(sleeper("web"), ready)]));
    daemon.ctl(&["start", &file]).expect(1);
    daemon.until(0, "starts again", |worker| {
        worker["status"] == "launching"
            && worker["reason"]
                .as_str()
                .is_some_and(|text| text.starts_with("not ready yet: GET /health on "))
    });
    let reasons = daemon.json(&["why", "web"])["reasons"].as_array().expect("reasons").clone();
    let of_end = reasons.iter().find(|it| it["worker"].is_null()).expect("of the latest end");
    says(of_end, "text", &["was not ready within 2 s", "503 Service Unavailable"]);
    says(of_end, "remedy", &["the app itself answers so"]);
}

#[test]
fn a_crash_loop_after_a_variable_was_changed() {
    let daemon = Daemon::start();
    let app = |mode: &str| {
        let script = "test \"$MODE\" = hunter1 && exec sleep 1000; echo 'a bad mode' >&2; exit 3";
        json!([with(shell("web", script), json!({ "env": { "MODE": mode } }))])
    };
    daemon.run(&app("hunter1"));
    let file = daemon.declare(&app("hunter2"));
    daemon.ctl(&["restart", &file]);
    let reason = reason(&daemon, "changed");
    says(&reason, "text", &["has changed since revision", "env.MODE changed"]);
    says(&reason, "remedy", &["`supctl rollback web`"]);
    let screen = daemon.ok(&["why", "web"]).out;
    assert!(screen.contains("| a bad mode") && !screen.contains("hunter"), "{screen}");
    daemon.ok(&["rollback", "web"]);
    daemon.until_status(0, "online");
}
