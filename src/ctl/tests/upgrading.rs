use serde_json::{Value, json};

use super::{ok, refusing};
use crate::ctl::fake::{Fake, worker};

/// A daemon in which the upgrade that begins has come to this.
fn upgraded(failure: Option<&str>) -> Fake {
    let begun = json!({ "attempt": 3, "from": "1.0.0", "to": "1.1.0" });
    let mut outcome = begun.clone();
    if let Some(why) = failure {
        outcome["failure"] = why.into();
    }
    let daemon = json!({
        "version": "1.1.0", "keeper_pid": 1, "supervisor_pid": 2, "supervisor_restarts": 0, "uptime": 1,
        "home": "/h", "apps": 1, "workers": 2, "last_upgrade": outcome,
    });
    Fake::serving(ok([
        ("GET /v1/workers", json!([worker(0, "web"), worker(1, "web")])),
        ("POST /v1/daemon/upgrade", begun),
        ("GET /v1/daemon", daemon),
    ]))
}

#[tokio::test]
async fn an_upgrade_tells_what_came_of_it() {
    let fake = upgraded(None);
    let ran = fake.run("upgrade /opt/supd").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "upgraded 1.0.0 -> 1.1.0; 2 workers kept\n"), "{}", ran.err);
    assert_eq!(fake.body("POST /v1/daemon/upgrade"), json!({ "binary": "/opt/supd" }));
    let ran = fake.run("upgrade --json").await;
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said, json!({ "attempt": 3, "from": "1.0.0", "to": "1.1.0" }));
}

#[tokio::test]
async fn an_upgrade_that_was_taken_back_is_a_failure() {
    let ran = upgraded(Some("it sulks")).run("upgrade /opt/supd").await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("error: no upgrade to 1.1.0: it sulks\nhint: 1.0.0 goes on"), "{}", ran.err);
    let refused =
        refusing(ok([("GET /v1/workers", json!([]))]), "POST /v1/daemon/upgrade", 400, "invalid", "no supd");
    assert_eq!(Fake::serving(refused).run("upgrade /bin/true").await.code, 4);
}

#[tokio::test]
async fn what_an_upgrade_left_pending_is_asked_of_the_successor() {
    let fake = Fake::serving(ok([
        ("POST /v1/workers/stop", json!({ "workers": [{ "id": 1, "app": "web" }], "pending": [7, 8] })),
        ("POST /v1/requests", json!({ "workers": [{ "id": 0, "app": "web", "failure": "it sulks" }] })),
        ("GET /v1/workers", json!([])),
    ]));
    let ran = fake.run("stop all --json").await;
    assert_eq!(ran.code, 1);
    assert_eq!(fake.body("POST /v1/requests"), json!({ "requests": [7, 8] }));
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    let workers = json!([{ "id": 0, "app": "web", "failure": "it sulks" }, { "id": 1, "app": "web" }]);
    assert_eq!(said, json!({ "workers": workers }));
}
