use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::ok;
use crate::ctl::fake::{Fake, Ran};
use crate::ctl::launch::Launcher;

async fn list(fake: &Fake, script: &str, limit: Duration) -> Ran {
    fake.run_words(&["list", "--json"], Some(launcher(fake, script, limit))).await
}

/// A launcher whose `supd` is this shell script.
fn launcher(fake: &Fake, script: &str, limit: Duration) -> Launcher {
    // Written by a rename, so that no process forked meanwhile by another test holds it open for writing (ETXTBSY).
    let program = fake.dir.path().join("supd");
    fs::write(fake.dir.path().join("supd.new"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(fake.dir.path().join("supd.new"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(fake.dir.path().join("supd.new"), &program).unwrap();
    Launcher { program: Some(program), announce: false, limit }
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

#[tokio::test]
async fn following_logs_does_not_bring_back_a_daemon_that_was_ended() {
    let fake = Fake::empty();
    let socket = fake.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        fs::remove_file(socket).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        // The command hangs up when it has read to the end.
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let launcher = launcher(&fake, r#"touch "$SUPD_HOME/started""#, LONG);
    let ran = fake.run_words(&["logs"], Some(launcher)).await;
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("error: no daemon runs in "), "{}", ran.err);
    assert!(!fake.dir.path().join("started").exists());
    server.await.unwrap();
}
