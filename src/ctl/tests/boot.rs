use std::fs;
use std::os::unix::fs::PermissionsExt;

use clap::Parser;
use serde_json::{Value, json};

use super::ok;
use crate::ctl::args::{Cli, Command};
use crate::ctl::fake::{Fake, app, worker};

#[test]
fn startup_has_pm2s_flags() {
    let words = "supctl startup ubuntu -u deploy --hp /home/deploy --service-name web --now --force";
    match Cli::try_parse_from(words.split(' ')).expect("a valid command line").command {
        Command::Startup(args) => {
            assert_eq!(args.boot.platform.as_deref(), Some("ubuntu"));
            assert_eq!(args.boot.user.as_deref(), Some("deploy"));
            assert_eq!(args.boot.hp.as_deref(), Some("/home/deploy".as_ref()));
            assert_eq!(args.boot.service_name.as_deref(), Some("web"));
            assert!(args.now && args.force);
        }
        other => panic!("{other:?}"),
    }
    assert!(Cli::try_parse_from(["supctl", "startup", "--hp", "/a", "--home", "/b"]).is_err());
}

#[tokio::test]
async fn what_is_not_systemd_gets_a_line_to_use_instead() {
    let fake = Fake::empty();
    for (platform, words) in [("openrc", "/etc/local.d/supd.start"), ("launchd", "@reboot SUPD_HOME=")] {
        for command in ["startup", "unstartup"] {
            let ran = fake.run(&format!("{command} {platform}")).await;
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.err.contains(words) && ran.err.contains("--daemon"), "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn an_unknown_user_is_named() {
    let ran = Fake::empty().run("startup -u no-such-user-here").await;
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("there is no user `no-such-user-here`"), "{}", ran.err);
}

/// The machine of a test has no unit for a home that was made a moment ago, and that is what doctor says.
#[tokio::test]
async fn doctor_tells_what_is_missing_and_how_to_mend_it() {
    let view = json!({
        "version": env!("CARGO_PKG_VERSION"), "keeper_pid": 1, "supervisor_pid": 1, "supervisor_restarts": 0,
        "uptime": 1, "home": "/h", "apps": 1, "workers": 1
    });
    let apps = json!([app("web", vec![worker(0, "web")])]);
    let fake = Fake::serving(ok([("GET /v1/daemon", view), ("GET /v1/apps", apps)]));
    fs::set_permissions(fake.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(fake.dir.path().join("ledger.json"), r#"{"version":1,"apps":[]}"#).unwrap();
    let ran = fake.run("doctor").await;
    assert_eq!(ran.code, 1);
    for words in [
        "FAILURE  supd: unit: no unit starts the daemon of ",
        "remedy: `supctl startup` writes and enables one\n",
        "ok       supd: home: ",
        "FAILURE  web: ledger: what runs of it is not what the ledger says",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let ran = fake.run("doctor --json").await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    // How much room the disk of this machine has is not for a test to say.
    let failed = told["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "failure");
    let failed: Vec<&Value> = failed.map(|check| &check["check"]).filter(|check| *check != "space").collect();
    assert_eq!((ran.code, failed), (1, vec![&json!("unit"), &json!("ledger")]));
    let unit = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "unit").unwrap();
    assert_eq!((&unit["outcome"], &unit["subject"]), (&json!("failure"), &json!("supd")));
    assert!(unit["remedy"].as_str().unwrap().contains("supctl startup"));
}

#[tokio::test]
async fn doctor_starts_no_daemon() {
    let fake = Fake::empty();
    let ran = fake.run("doctor").await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("daemon: no daemon runs\n"), "{}", ran.out);
    assert!(!fake.socket().exists());
}
