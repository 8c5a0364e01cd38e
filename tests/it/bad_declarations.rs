//! Declarations that make no sense: all problems at once, exit code 4, and nothing that runs is touched.

use std::fs;

use serde_json::json;

use crate::daemon::{Daemon, sleeper};

#[test]
fn every_problem_is_told_with_its_place() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("running")]));
    let pids = daemon.pids();
    let file = daemon.file("bad.toml");
    let text = "\
[[apps]]
name = \"running\"
script = \"sleep\"
max_restart = 3
kill_timeout = -5
instances = 100000

[[apps]]
name = \"running\"
script = \"/no/such/script\"
autorestart = \"perhaps\"
listen = [\"example.com\"]
";
    fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    for command in ["start", "check", "reload", "restart"] {
        daemon.ctl(&[command, &file]).expect(4).says(&[
            &file,
            "max_restart",
            "max_restarts",
            "kill_timeout",
            "instances",
            "already the name",
            "/no/such/script",
            "autorestart",
            "example.com",
        ]);
    }
    assert_eq!(daemon.pids(), pids);
    let checked = daemon.ctl(&["check", &file, "--json"]).expect(4).json();
    assert!(checked["problems"].as_array().is_some_and(|problems| problems.len() >= 7), "{checked:#}");
}

#[test]
fn what_is_no_declaration_at_all_is_refused() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("running")]));
    let pids = daemon.pids();
    let refuse = |name: &str, content: &[u8]| {
        let file = daemon.file(name);
        fs::write(&file, content).expect("a file");
        let output = daemon.ctl(&["start", &file.display().to_string()]).expect(4);
        assert!(output.err.contains(name) && output.out.is_empty(), "{output:#?}");
    };
    refuse("empty.toml", b"");
    refuse("empty.json", b"");
    refuse("noise.toml", b"\xff\xfe\x00\x01");
    refuse("noise.json", b"\xff\xfe\x00\x01");
    refuse("nul.yaml", b"apps:\n  - name: a\0b\n    script: sleep\n");
    refuse("bomb.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\napps: &c [*b, *c]\n");
    refuse("deep.json", "[".repeat(100_000).as_bytes());
    refuse("path.json", b"{\"apps\":[{\"name\":\"../../etc\",\"script\":\"sleep\"}]}");
    refuse("all.json", b"{\"apps\":[{\"name\":\"all\",\"script\":\"sleep\"}]}");
    refuse("none.json", b"{\"apps\":[]}");
    refuse("number.json", b"{\"apps\":[{\"name\":\"a\",\"script\":\"sleep\",\"instances\":1e99}]}");
    daemon.ctl(&["start", "/no/such/ecosystem.toml"]).expect(4);
    daemon.ctl_with(&["start", "-"], b"{\"apps\":[{\"nome\":1}]}").expect(4).says(&["nome", "name"]);
    assert_eq!((daemon.pids(), daemon.list().len()), (pids, 1));
}

#[test]
fn the_daemon_checks_again_what_a_client_sends() {
    let daemon = Daemon::start();
    daemon.run(&json!([sleeper("good")]));
    let pids = daemon.pids();
    let mut connection = crate::http::Connection::over(daemon.connect());
    let apps = connection.get("/v1/apps").expect("a reply").json();
    let sound = &apps[0]["declaration"];
    for (field, value) in [
        ("name", json!("../b")),
        ("cwd", json!("relative")),
        ("instances", json!({ "count": 0 })),
        ("instances", json!({ "count": 4_000_000_000_u32 })),
        ("program", json!({ "script": "a\u{0}b", "interpreter": null, "interpreter_args": [], "args": [] })),
        ("user", json!("no-such-user")),
        (
            "stop",
            json!({ "kill_signal": "SIGNOPE", "kill_timeout": 1, "treekill": true, "shutdown_with_message": false }),
        ),
        ("surprise", json!(1)),
    ] {
        let mut bad = sound.clone();
        bad[field] = value.clone();
        let body = json!({ "apps": [bad] }).to_string();
        let reply = connection.send("POST", "/v1/apps", "", body.as_bytes()).expect("a reply");
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!("invalid")), "{field} = {value}");
    }
    let twice = json!({ "apps": [sound, sound] }).to_string();
    assert_eq!(connection.send("POST", "/v1/apps", "", twice.as_bytes()).expect("a reply").status, 400);
    assert_eq!(daemon.pids(), pids);
}

#[test]
fn a_declaration_may_come_on_standard_input() {
    let daemon = Daemon::start();
    daemon.ctl_with(&["start", "-"], json!({ "apps": [sleeper("piped")] }).to_string().as_bytes()).expect(0);
    let toml = b"[[apps]]\nname = \"two\"\nscript = \"sleep\"\nargs = [\"1000\"]\n";
    daemon.ctl_with(&["start", "-", "--format", "toml"], toml).expect(0);
    assert_eq!(daemon.pids().len(), 2);
}
