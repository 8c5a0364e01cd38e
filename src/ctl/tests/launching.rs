use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use super::ok;
use crate::ctl::fake::{Fake, Ran};
use crate::ctl::launch::Launcher;

/// Runs `supctl list --json` where `supd` is this shell script.
async fn list(fake: &Fake, script: &str, limit: Duration) -> Ran {
    // Written by a rename, so that no process forked meanwhile by another test holds it open for writing (ETXTBSY).
    let program = fake.dir.path().join("supd");
    fs::write(fake.dir.path().join("supd.new"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(fake.dir.path().join("supd.new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(fake.dir.path().join("supd.new"), &program).unwrap();
    let launcher = Launcher { program: Some(program), announce: false, limit };
    fake.run_words(&["list", "--json"], Some(launcher)).await
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_daemon_is_started_with_its_home_and_then_asked() {
    let fake = Fake::empty();
    let hidden = fake.dir.path().join("hidden");
    fake.serve_at(&hidden, ok([("GET /v1/workers", json!([]))]));
    let script = r#"[ "$1" = --daemon ] && mv "$SUPD_HOME/hidden" "$SUPD_HOME/supd.sock""#;
    let ran = list(&fake, script, LONG).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "[]\n", ""));
}

#[tokio::test]
async fn losing_the_race_is_success() {
    let fake = Fake::empty();
    let hidden = fake.dir.path().join("hidden");
    fake.serve_at(&hidden, ok([("GET /v1/workers", json!([]))]));
    let script =
        r#"mv "$SUPD_HOME/hidden" "$SUPD_HOME/supd.sock"; echo "another one was faster" >&2; exit 5"#;
    assert_eq!(list(&fake, script, LONG).await.code, 0);
}

#[tokio::test]
async fn a_daemon_that_refuses_is_quoted() {
    let ran = list(&Fake::empty(), "echo 'error: no lock' >&2; exit 1", LONG).await;
    assert_eq!(ran.code, 7);
    assert!(ran.out.contains("the daemon did not start: no lock"), "{}", ran.out);
}

#[tokio::test]
async fn a_daemon_that_never_answers_is_given_up_with_the_end_of_its_log() {
    for script in ["exit 0", r#"while [ -e "$0" ]; do sleep 0.1; done"#] {
        let fake = Fake::empty();
        fs::write(fake.dir.path().join("supd.log"), "first\nlast words\n").unwrap();
        let ran = list(&fake, script, Duration::from_millis(300)).await;
        assert_eq!(ran.code, 7);
        assert!(
            ran.out.contains("does not answer after 0.3 s; the end of its log:\\nfirst\\nlast words"),
            "{}",
            ran.out
        );
    }
}

#[tokio::test]
async fn a_supd_that_cannot_be_run_is_named() {
    let fake = Fake::empty();
    let launcher = Launcher { program: Some("/no/such/supd".into()), announce: false, limit: LONG };
    let ran = fake.run_words(&["list"], Some(launcher)).await;
    assert_eq!(ran.code, 7);
    assert!(ran.err.starts_with("error: cannot run /no/such/supd: No such file"), "{}", ran.err);
}
