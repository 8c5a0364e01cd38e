//! Readiness, liveness, draining and reloads.

use serde_json::{Value, json};
use supd_api::{AppDeclaration, ExecMode};

use super::{Format, Site, json_of};
use crate::config::validate;

/// One app with a port, and these fields.
fn app(site: &Site, fields: Value) -> Result<AppDeclaration, String> {
    site.app(with(json!({"script": "app.js", "port": 3000}), fields))
}

fn with(mut fields: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("fields") };
    fields.as_object_mut().unwrap().extend(more);
    fields
}

/// The warnings for one app, as `place: message`.
fn warnings(site: &Site, fields: Value) -> Vec<String> {
    let fields = with(json!({"script": "app.js", "port": 3000}), fields);
    let loaded = site.text(&fields.to_string(), Format::Json).unwrap_or_else(|bad| panic!("{bad}"));
    loaded.warnings.into_iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect()
}

fn probe(check: Value, more: Value) -> Value {
    let defaults = json!({
        "check": check, "initial_delay": 0, "interval": 1000, "timeout": 1000, "success_threshold": 1,
        "failure_threshold": 3
    });
    with(defaults, more)
}

#[test]
fn each_probe_has_its_defaults() {
    let site = Site::new();
    let http = json!({"http": {"address": null, "path": "/health"}});
    for given in [json!("/health"), json!({"http": "/health"}), json!({"http": "/health", "timeout": null})] {
        let app = app(&site, json!({"ready": given, "startup": given, "live": given})).unwrap();
        let app = json_of(&app);
        assert_eq!(app["ready"]["probe"], probe(http.clone(), json!({})));
        assert_eq!(app["ready"]["startup"], probe(http.clone(), json!({"failure_threshold": 60})));
        assert_eq!(
            app["live"],
            json!({"probe": probe(http.clone(), json!({"interval": 10_000})), "watchdog": null})
        );
    }
}

#[test]
fn each_member_arrives_by_each_of_its_names() {
    let site = Site::new();
    let check = json!({"tcp": {"address": "80"}});
    for (member, value, arrives) in [
        ("initial_delay", json!("5s"), json!({"initial_delay": 5000})),
        ("initialDelay", json!(5), json!({"initial_delay": 5})),
        ("interval", json!(100), json!({"interval": 100})),
        ("period", json!("1m"), json!({"interval": 60_000})),
        // Longer than the interval, as Kubernetes has it: the next check waits for the end of this one.
        ("timeout", json!("2m"), json!({"timeout": 120_000})),
        ("successThreshold", json!("2"), json!({"success_threshold": 2})),
        ("failure_threshold", json!(9), json!({"failure_threshold": 9})),
    ] {
        let app =
            app(&site, json!({"ready": {"tcp": 80, member: value}})).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(json_of(&app)["ready"]["probe"], probe(check.clone(), arrives), "{member}");
    }
}

#[test]
fn checks() {
    let site = Site::new();
    let program = site.program("bin/check", "#!/bin/sh\n");
    let address = |address: &str| json!({"tcp": {"address": address}});
    let exec = |command: &[&str]| json!({"exec": {"command": command}});
    for (given, check) in [
        (json!(8080), address("8080")),
        (json!({"tcp": "${PORT}"}), address("${PORT}")),
        (json!(":1/x"), json!({"http": {"address": ":1", "path": "/x"}})),
        (
            json!({"http": "http://127.0.0.1:${PORT}/health"}),
            json!({"http": {"address": "127.0.0.1:${PORT}", "path": "/health"}}),
        ),
        (json!({"exec": "check 'a b'"}), exec(&["check", "a b"])),
        (json!({"exec": ["check", "a b", 1]}), exec(&["check", "a b", "1"])),
        (json!({"exec": "./bin/check"}), exec(&[program.to_str().unwrap()])),
    ] {
        let app = app(&site, json!({"live": given})).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(json_of(&app)["live"]["probe"]["check"], check, "{given}");
    }
}

#[test]
fn a_watchdog_beside_or_in_place_of_a_probe() {
    let site = Site::new();
    let live = |live: Value| {
        json_of(&app(&site, json!({"live": live})).unwrap_or_else(|bad| panic!("{bad}")))["live"].clone()
    };
    assert_eq!(live(json!({"watchdog": "10s"})), json!({"probe": null, "watchdog": 10_000}));
    assert_eq!(live(json!({"watchdog": 0})), json!({"probe": null, "watchdog": null}));
    assert_eq!(live(json!({"watchdog": "10s", "tcp": 80}))["probe"]["interval"], json!(10_000));
    let bad = app(&site, json!({"live": {"watchdog": "10s", "interval": "1s"}})).unwrap_err();
    assert!(bad.contains("live: the probe checks nothing"), "{bad}");
    let bad = app(&site, json!({"ready": {"tcp": 80, "watchdog": "10s"}})).unwrap_err();
    assert!(bad.contains("ready.watchdog: unknown field"), "{bad}");
}

#[test]
fn a_startup_probe_gets_the_time_it_asks_for() {
    let site = Site::new();
    let timeout = |fields| json_of(&app(&site, fields).unwrap())["ready"]["timeout"].clone();
    assert_eq!(timeout(json!({"ready": "/x"})), json!(60_000));
    let slow = json!({"tcp": 80, "initial_delay": "10s", "failure_threshold": 300});
    assert_eq!(timeout(json!({"startup": slow})), json!(60_000 + 10_000 + 300_000));
    assert_eq!(timeout(json!({"startup": slow, "ready_timeout": "5s"})), json!(5000));
}

#[test]
fn with_wait_ready_pm2s_listen_timeout_is_the_limit() {
    let site = Site::new();
    let timeout = |fields| json_of(&app(&site, fields).unwrap())["ready"]["timeout"].clone();
    assert_eq!(timeout(json!({"wait_ready": true, "listen_timeout": 200})), json!(200));
    assert_eq!(timeout(json!({"wait_ready": true})), json!(60_000));
    assert_eq!(timeout(json!({"listen_timeout": 200})), json!(60_000));
    assert_eq!(timeout(json!({"wait_ready": true, "listen_timeout": 200, "ready_timeout": 9})), json!(9));
    let startup = json!({"wait_ready": true, "listen_timeout": 200, "startup": 80});
    assert_eq!(timeout(startup), json!(60_200));
}

#[test]
fn the_same_in_every_format() {
    let site = Site::new();
    let toml = "[[apps]]\nscript = 'app.js'\nready_timeout = '2m'\nport = 1\nready = 8080\n\
        [apps.startup]\nhttp = '/up'\nfailureThreshold = 9\n[apps.live]\nexec = 'node x.js'\nperiod = 500\nwatchdog = '5s'\n";
    let yaml = "apps:\n- script: app.js\n  readyTimeout: 120000\n  port: 1\n  ready: 8080\n  startup: {http: /up, failure_threshold: 9}\n  \
        live:\n    exec: [node, x.js]\n    interval: 500\n    watchdog: 5000\n";
    let json = "{apps: [{script: 'app.js', ready_timeout: '120s', port: 1, ready: {tcp: '8080'}, \
        startup: {http: '/up', failure_threshold: '9'}, live: {exec: 'node x.js', interval: '500ms', watchdog: '5s'}}]}";
    let read = |text: &str, format| {
        let mut loaded = site.text(text, format).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(loaded.warnings, []);
        loaded.apps.remove(0)
    };
    let app = read(toml, Format::Toml);
    assert_eq!(read(yaml, Format::Yaml), app);
    assert_eq!(read(json, Format::Json), app);
    assert_eq!(validate(&app), []);
    // What goes over the socket and into the ledger comes back the same.
    assert_eq!(serde_json::from_value::<AppDeclaration>(json_of(&app)).unwrap(), app);
}

#[test]
fn problems_of_several_fields() {
    let site = Site::new();
    for (fields, part) in [
        (json!({"ready": "/x", "wait_ready": true}), "wait_ready: `wait_ready` and `ready` are two proofs"),
        (json!({"ready": "/x", "port": null}), "ready: nothing says where the worker listens"),
        (
            json!({"ready": {"tcp": "${PROT}"}}),
            "ready.tcp: the app has no variable \"PROT\"\n  help: did you mean `${PORT}`?",
        ),
        (
            json!({"live": {"tcp": 80, "success_threshold": 2}}),
            "live.success_threshold: for `live` it is always 1",
        ),
        (json!({"startup": {"tcp": 80, "success_threshold": 2}}), "for `startup` it is always 1"),
        (json!({"ready": {}}), "ready: the probe checks nothing"),
        (
            json!({"ready": {"tcp": 80, "exec": "node"}}),
            "ready.exec: a probe makes one check, and this one has `tcp` already",
        ),
        (json!({"ready": {"exec": []}}), "ready.exec: the command is empty"),
        (json!({"ready": {"exec": "./gone"}}), "gone\" is not an executable file"),
        (
            json!({"reuse_port": true, "listen": ":80"}),
            "reuse_port: `reuse_port` says that the app binds its port",
        ),
        (json!({"reuse_port": true, "exec_mode": "cluster"}), "reuse_port: `reuse_port` and `exec_mode"),
    ] {
        let bad = app(&site, fields.clone()).expect_err(&fields.to_string());
        assert!(bad.contains(part), "{fields}: {bad}");
        assert_eq!(bad.matches("command line: ").count(), 1, "one problem: {bad}");
    }
}

#[test]
fn reported_fields_lead_to_no_false_conclusions() {
    let site = Site::new();
    for fields in [
        json!({"ready": "/x", "port": "x"}),
        json!({"ready": "${A}/x", "env": {"A": null}}),
        json!({"ready": {"htpp": "/x"}}),
        json!({"ready": {"httpGet": {}}}),
        json!({"live": {"watchdogg": 1}}),
        json!({"listen": "x", "reuse_port": true}),
    ] {
        let bad = app(&site, fields.clone()).expect_err(&fields.to_string());
        assert_eq!(bad.matches("command line: ").count(), 1, "{bad}");
    }
}

#[test]
fn an_app_that_shares_its_port_itself_is_no_cluster() {
    let site = Site::new();
    let mode = |fields| app(&site, fields).unwrap().exec_mode;
    assert_eq!(mode(json!({"instances": 2})), ExecMode::Cluster);
    assert_eq!(mode(json!({"instances": 2, "reuse_port": true})), ExecMode::Fork);
}

const SHARED: &str = "any worker may answer there";
const NO_EFFECT: &str = "the field has no effect";

#[test]
fn advice() {
    let site = Site::new();
    let cluster = |more| with(json!({"exec_mode": "cluster"}), more);
    for (fields, place, part) in [
        (json!({"drain_timeout": "5s"}), "drain_timeout", NO_EFFECT),
        (json!({"node_preload": true}), "node_preload", NO_EFFECT),
        (json!({"max_surge": 2}), "max_surge", NO_EFFECT),
        (cluster(json!({"max_surge": 3, "max_parallel": 2})), "max_parallel", "less than `max_surge` (3)"),
        (json!({"ready": "/x", "listen_timeout": 1}), "listen_timeout", NO_EFFECT),
        (
            json!({"startup": "/x", "ready_timeout": "59s"}),
            "ready_timeout",
            "shorter than what `startup` grants",
        ),
        (
            json!({"ready": {"tcp": 80, "initial_delay": "1m"}}),
            "ready.initial_delay",
            "no check is ever made",
        ),
        (json!({"ready": {"tcp": 80, "timeout": 5}}), "ready.timeout", "longer than 5 ms"),
        (json!({"live": {"exec": "node $PORT"}}), "live.exec", "no shell reads this command"),
        (json!({"live": {"exec": "node a | node b"}}), "live.exec", "no shell reads this command"),
        (cluster(json!({"ready": 3000})), "ready", SHARED),
        (cluster(json!({"live": "http://localhost:${PORT}/x"})), "live", SHARED),
        (cluster(json!({"port": null, "startup": {"tcp": ":80"}})), "startup.tcp", SHARED),
        (json!({"listen": ":80", "ready": "/x"}), "ready", SHARED),
        (json!({"listen": ":80", "ready": {"tcp": "127.0.0.1:80"}}), "ready.tcp", SHARED),
        (json!({"reuse_port": true, "live": "/x"}), "live", SHARED),
    ] {
        let told = warnings(&site, fields.clone());
        assert_eq!(told.len(), 1, "{fields}: {told:?}");
        assert!(told[0].starts_with(&format!("{place}: ")) && told[0].contains(part), "{fields}: {told:?}");
    }
}

#[test]
fn no_advice_where_all_is_well() {
    let site = Site::new();
    site.program("bin/sh", "\0binary");
    let cluster = |more| with(json!({"exec_mode": "cluster"}), more);
    for fields in [
        cluster(json!({"drain_timeout": "5s", "node_preload": true, "max_surge": 2, "max_parallel": 2})),
        cluster(json!({"ready": "/x", "live": "/x", "startup": "/x", "shutdown_with_message": true})),
        cluster(json!({"live": 9229})),
        cluster(json!({"live": {"tcp": "db.internal:3000"}})),
        cluster(json!({"live": "${PORT}/x", "increment_var": "PORT"})),
        json!({"drain_timeout": 0, "node_preload": false}),
        json!({"ready": "/x", "live": 3000}),
        json!({"listen": ":80", "live": 9000}),
        json!({"reuse_port": true, "max_surge": 2, "live": "/x", "increment_var": "PORT"}),
        json!({"live": {"exec": ["sh", "-c", "echo $PORT | cat"]}}),
        json!({"startup": "/x", "wait_ready": true, "listen_timeout": 5}),
        json!({"listen_timeout": 5, "ready_timeout": 9}),
    ] {
        assert_eq!(warnings(&site, fields.clone()), Vec::<String>::new(), "{fields}");
    }
    assert_eq!(warnings(&site, json!({})), Vec::<String>::new());
}
