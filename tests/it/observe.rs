//! Whoever watches: figures, health, events as a browser reads them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::daemon::{Daemon, shell, sleeper, with};
use crate::http::{Connection, Reply};
use crate::process;
use crate::wait::until_true;

/// An answer of the control socket.
fn ask(daemon: &Daemon, path: &str) -> Reply {
    Connection::over(daemon.connect()).get(path).expect("an answer")
}

/// An answer of the door.
fn knock(address: &str, path: &str, fields: &str) -> Reply {
    let mut connection = Connection::open(address).expect("a connection");
    connection.send("GET", path, fields, b"").expect("an answer")
}

/// One figure, by its name and labels.
fn figure(daemon: &Daemon, sample: &str) -> Option<f64> {
    let page = String::from_utf8(ask(daemon, "/metrics").body).expect("text");
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

#[test]
fn figures_follow_what_happens_and_outlive_the_supervisor() {
    let daemon = Daemon::start();
    let dies = "echo 1234; trap 'exit 1' USR1; while :; do sleep 0.02; done";
    daemon.run(&json!([shell("web", dies), sleeper("quiet")]));
    let of_web = |name: &str| figure(&daemon, &format!("{name}{{app=\"web\",worker=\"0\"}}"));
    let reloads = |outcome: &str| {
        figure(&daemon, &format!("supd_app_reloads_total{{app=\"web\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!(of_web("supd_worker_up"), Some(1.0));
    assert_eq!(of_web("supd_worker_crashes_total"), Some(0.0));
    assert!(of_web("supd_worker_memory_bytes").expect("a figure") > 10_000.0);
    assert!(of_web("supd_worker_open_fds").expect("a figure") >= 3.0);
    assert_eq!(figure(&daemon, "supd_app_workers_wanted{app=\"web\"}"), Some(1.0));
    assert!(figure(&daemon, "supd_process_memory_bytes{process=\"keeper\"}").expect("a figure") > 10_000.0);

    daemon.ok(&["signal", "USR1", "web"]);
    until_true("the crash", || of_web("supd_worker_crashes_total") == Some(1.0));
    daemon.until_status(0, "online");
    daemon.ok(&["reload", "web"]);
    assert_eq!(reloads("done"), Some(1.0));
    daemon.kill_supervisor();
    assert_eq!((of_web("supd_worker_crashes_total"), reloads("done")), (Some(1.0), Some(1.0)));
    assert_eq!(figure(&daemon, "supd_supervisor_restarts_total"), Some(1.0));

    daemon.ok(&["stop", "web"]);
    assert_eq!(of_web("supd_worker_up"), Some(0.0));
    assert_eq!(of_web("supd_worker_memory_bytes"), None, "nothing runs");
    assert_eq!(figure(&daemon, "supd_app_workers_wanted{app=\"web\"}"), Some(0.0));
    daemon.ok(&["delete", "web"]);
    assert_eq!(reloads("done"), None);
}

#[test]
fn the_door_is_shut_until_it_is_set_and_stays_where_it_is_set() {
    let daemon = Daemon::start();
    let address = daemon.address(9209);
    assert!(Connection::open(&address).is_err(), "off by default");
    daemon.ok(&["set", "supd:metrics_listen", &address]);
    let host = format!("host: {address}\r\n");
    let own = |path: &str| {
        let mut connection = Connection::open(&address).expect("a connection");
        connection.send_bare("GET", path, &host).expect("an answer").status
    };
    assert_eq!([own("/metrics"), own("/healthz"), own("/readyz")], [200; 3]);
    // Nothing else is to be seen or done there.
    for path in ["/v1/apps", "/v1/daemon", "/v1/settings", "/v1/openapi.json", "/"] {
        assert_eq!(own(path), 404, "{path}");
    }
    for path in ["/v1/daemon/stop", "/metrics", "/readyz"] {
        let mut connection = Connection::open(&address).expect("a connection");
        assert_eq!(connection.send_bare("POST", path, &host).expect("an answer").status, 404, "{path}");
    }
    assert_eq!(knock(&address, "/metrics", "").status, 403, "by another name");
    let mut page = Connection::open(&address).expect("a connection");
    let fields = format!("{host}origin: http://{address}\r\n");
    assert_eq!(page.send_bare("GET", "/metrics", &fields).expect("an answer").status, 403);

    daemon.kill_supervisor();
    until_true("the door of the next supervisor", || Connection::open(&address).is_ok());
    daemon.ok(&["kill"]);
    until_true("the door goes with its daemon", || Connection::open(&address).is_err());
    daemon.ok(&["ping"]);
    until_true("the door of the next daemon", || Connection::open(&address).is_ok());
    assert_eq!(own("/metrics"), 200);

    let elsewhere = daemon.address(9210);
    daemon.ok(&["set", "supd:metrics_listen", &elsewhere]);
    until_true("the old one is shut", || Connection::open(&address).is_err());
    assert!(Connection::open(&elsewhere).is_ok());
    daemon.ok(&["unset", "supd:metrics_listen"]);
    until_true("it is shut", || Connection::open(&elsewhere).is_err());
}

#[test]
fn a_token_is_wanted_at_once_and_beyond_loopback_always() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["set", "supd:metrics_listen", "0.0.0.0:9209"])
        .expect(4)
        .says(&["a token is needed", "supd:metrics_token"]);
    let taken = TcpListener::bind(daemon.address(9209)).expect("a socket");
    daemon
        .ctl(&["set", "supd:metrics_listen", &daemon.address(9209)])
        .expect(5)
        .says(&["Address already in use"]);
    drop(taken);
    assert_eq!(daemon.ok(&["conf", "--json"]).out, "{}\n", "nothing was changed");

    let address = daemon.address(9210);
    let token = "0123456789abcdef";
    daemon.ok(&["multiset", &format!("supd:metrics_listen {address} supd:metrics_token {token}")]);
    assert_eq!(knock(&address, "/metrics", "").status, 401);
    let mut kept = Connection::open(&address).expect("a connection");
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert_eq!(kept.send("GET", "/metrics", &bearer, b"").expect("an answer").status, 200);
    daemon.ok(&["set", "supd:metrics_token", "fedcba9876543210"]);
    assert_eq!(kept.send("GET", "/metrics", &bearer, b"").expect("an answer").status, 401);
    daemon.ctl(&["set", "supd:metrics_token", "short"]).expect(4);
    assert!(!daemon.read("supd.log").contains("fedcba9876543210"));
}

#[test]
fn ready_is_who_serves() {
    let daemon = Daemon::start();
    let readiness = |app: &str| {
        let reply = ask(&daemon, &format!("/readyz{app}"));
        (reply.status, reply.json())
    };
    assert_eq!(readiness("").0, 200, "nothing is wanted");
    daemon.run(&json!([sleeper("web")]));
    let broken = with(shell("broken", "exit 3"), json!({ "max_restarts": 1, "restart_delay": 1 }));
    daemon.ctl(&["start", &daemon.declare(&json!([broken]))]);
    daemon.until_status(1, "errored");
    assert_eq!(readiness("?app=web").0, 200);
    let (status, view) = readiness("?app=broken");
    assert_eq!(
        (status, &view["ok"], &view["wanted"], &view["ready"]),
        (503, &json!(false), &json!(1), &json!(0))
    );
    assert_eq!(view["reasons"][0]["app"], "broken");
    assert_eq!(view["reasons"][0]["status"], "errored");
    assert_eq!(readiness("").0, 503);
    assert_eq!(ask(&daemon, "/healthz?app=web").status, 200);
    assert_eq!(ask(&daemon, "/healthz").status, 503);
    assert_eq!(readiness("?app=wep").0, 404);
    assert_eq!(readiness("?name=web").0, 400);

    daemon.ok(&["stop", "all"]);
    assert_eq!(readiness("").0, 200);
    let (status, view) = readiness("?app=web");
    assert_eq!((status, &view["wanted"]), (503, &json!(0)), "{view}");
    daemon.run(&json!([with(shell("job", "true"), json!({ "job": {} }))]));
    assert_eq!(readiness("?app=job").0, 200, "nobody expects it to run now");
}

#[test]
fn a_browser_follows_events() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("web")]));
    let mut stream = daemon.connect();
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream
        .write_all(b"GET /v1/events HTTP/1.1\r\nhost: supd\r\naccept: text/event-stream\r\n\r\n")
        .expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")));
    let mut seen = |kind: &str| {
        let text = format!("\"kind\":\"{kind}\"");
        lines.find(|line| line.starts_with("data: {") && line.contains(&text)).expect("an event")
    };
    seen("ready");
    process::kill(daemon.pid(0));
    let event: serde_json::Value = serde_json::from_str(&seen("failed")["data: ".len()..]).expect("JSON");
    assert_eq!(event["app"], "web");
}
