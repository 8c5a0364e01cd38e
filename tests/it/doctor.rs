//! `supctl doctor` with a real ledger: what it finds before an app would miss it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::daemon::{Daemon, sleeper, with};

/// The findings of one kind about one subject, as `outcome: message`.
fn found(daemon: &Daemon, check: &str, subject: &str) -> Vec<String> {
    // No unit starts the daemon of a test, so there is a failure in any case.
    let told = daemon.ctl(&["doctor", "--json"]).expect(1).json();
    let checks = told["checks"].as_array().expect("checks").clone();
    let of_it = checks.iter().filter(|finding| finding["check"] == check && finding["subject"] == subject);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    of_it.map(|finding| format!("{}: {}", text(&finding["outcome"]), text(&finding["message"]))).collect()
}

#[test]
fn what_runs_is_well_and_what_vanished_is_named() {
    let daemon = Daemon::start();
    let address = daemon.address(8175);
    let program = daemon.file("hello");
    fs::copy(Daemon::hello(), &program).expect("a program");
    fs::create_dir(daemon.file("bin")).expect("a directory");
    let tool = daemon.script("bin/tool", "#!/bin/sh\nexec sleep 1000\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("its mode");
    let bin = daemon.file("bin").display().to_string();
    let path = json!({ "PATH": format!("{bin}:/usr/bin:/bin") });
    daemon.run(&json!([
        { "name": "web", "script": program, "listen": [address], "instances": 2 },
        { "name": "named", "script": tool, "interpreter": "sh", "env": path },
    ]));
    assert_eq!(found(&daemon, "unit", "supd").len(), 1);
    assert_eq!(found(&daemon, "port", "web"), [format!("ok: {address} is held by this daemon")]);
    assert_eq!(found(&daemon, "ledger", "supd").last().expect("a comparison"), "ok: it names what runs");
    for app in ["web", "named"] {
        let program = found(&daemon, "program", app);
        assert!(matches!(program.as_slice(), [told] if told.starts_with("ok: ")), "{program:?}");
    }

    fs::remove_file(&program).expect("removed");
    let told = found(&daemon, "program", "web");
    assert_eq!(told, [format!("failure: {} does not exist", program.display())]);
    fs::remove_file(&tool).expect("removed");
    assert!(found(&daemon, "program", "named")[0].starts_with("failure: "));
    daemon.ok(&["stop", "web"]);
    assert!(found(&daemon, "program", "web").is_empty(), "a stopped app stays stopped");
}

#[test]
fn a_report_tells_everything_but_secrets() {
    let daemon = Daemon::empty();
    assert!(daemon.ok(&["report"]).out.contains("no supd answers in"));
    daemon.ok(&["ping"]);
    let app = with(sleeper("app"), json!({ "env": { "TOKEN": "hunter6" } }));
    daemon.run(&json!([app]));
    daemon.ok(&["set", "web:TOKEN", "hunter6"]);
    let report = daemon.ok(&["report"]).out;
    for part in ["supctl ", "Linux ", "## list", "app 0: ", "## doctor", "supd.log", "supervisor started"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    let document = daemon.json(&["report"]);
    assert_eq!(document["daemon"]["apps"], 1);
    assert!(!report.contains("hunter6") && !document.to_string().contains("hunter6"));
}
