use serde_json::{Value, json};
use supd_api::Status;

use super::{ok, refusing};
use crate::ctl::fake::{Fake, app, in_state, worker};

#[tokio::test]
async fn all_targets_travel_in_one_request_and_the_table_follows() {
    let accepted = json!({ "workers": [{ "id": 0, "app": "web" }, { "id": 1, "app": "web" }, { "id": 2, "app": "api" }] });
    let answers = ok([("POST /v1/workers/stop", accepted), ("GET /v1/workers", json!([worker(0, "web")]))]);
    let fake = Fake::serving(answers);
    let ran = fake.run("stop web 2 /x/").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.starts_with("stopped web (0, 1)\nstopped api (2)\n┌"), "{}", ran.out);
    assert_eq!(fake.body("POST /v1/workers/stop"), json!({ "targets": ["web", "2", "/x/"] }));
}

#[tokio::test]
async fn a_partial_failure_is_code_1_with_a_line_for_each_worker() {
    let accepted = json!({
        "workers": [{ "id": 0, "app": "web" }, { "id": 1, "app": "web", "failure": "still there after SIGKILL" }],
        "warnings": ["the disk is nearly full"]
    });
    let fake =
        Fake::serving(ok([("POST /v1/workers/delete", accepted.clone()), ("GET /v1/workers", json!([]))]));
    let ran = fake.run("del web -s").await;
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, "");
    assert_eq!(ran.err, "warning: the disk is nearly full\nerror: web 1: still there after SIGKILL\n");
    let ran = fake.run("delete web --json").await;
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), accepted);
}

#[tokio::test]
async fn scale_signal_and_flush_name_their_wish() {
    let none = json!({ "workers": [] });
    let fake = Fake::serving(ok([
        ("POST /v1/apps/my%20app/scale", none.clone()),
        ("POST /v1/workers/signal", none.clone()),
        ("POST /v1/logs/flush", none),
    ]));
    for words in [&["scale", "my app", "-1", "-s"][..], &["signal", "USR2", "web", "-s"], &["flush", "-s"]] {
        assert_eq!(fake.run_words(words, None).await.code, 0, "{words:?}");
    }
    assert_eq!(fake.body("POST /v1/apps/my%20app/scale"), json!({ "down": 1 }));
    assert_eq!(fake.body("POST /v1/workers/signal"), json!({ "targets": ["web"], "signal": "USR2" }));
    assert_eq!(fake.body("POST /v1/logs/flush"), json!({ "targets": ["all"] }));
}

#[tokio::test]
async fn start_of_something_known_starts_that() {
    let fake = Fake::serving(ok([
        ("GET /v1/workers", json!([worker(0, "web")])),
        ("POST /v1/workers/start", json!({ "workers": [{ "id": 0, "app": "web" }] })),
    ]));
    let ran = fake.run("start web 0 default --json").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fake.body("POST /v1/workers/start"), json!({ "targets": ["web", "0", "default"] }));
    let ran = fake.run("start web -i 2").await;
    assert_eq!(ran.code, 5);
    assert!(
        ran.err.starts_with(
            "error: `web` exists already and keeps its declaration; `instances` cannot be given"
        )
    );
    let ran = fake.run("start wbe").await;
    assert_eq!(ran.code, 3);
    assert_eq!(ran.err, "error: `wbe` is no file, program or known app\nhint: did you mean `web`?\n");
}

#[tokio::test]
async fn nothing_is_done_when_one_target_means_nothing() {
    let fake = Fake::serving(ok([("GET /v1/workers", json!([worker(0, "web")]))]));
    assert_eq!(fake.run("start web no-such-thing").await.code, 3);
    assert_eq!(fake.asked(), ["GET /v1/workers"]);
}

#[tokio::test]
async fn reload_of_an_app_without_a_file_goes_by_name() {
    let fake = Fake::serving(ok([
        ("GET /v1/apps", json!([app("web", vec![worker(0, "web")])])),
        ("POST /v1/workers/reload", json!({ "workers": [] })),
    ]));
    assert_eq!(fake.run("reload 0 -s").await.code, 0);
    assert_eq!(
        fake.body("POST /v1/workers/reload"),
        json!({ "targets": ["web"], "no_wait": false, "timeout": null })
    );
}

#[tokio::test]
async fn reload_of_an_app_whose_file_cannot_be_read_changes_nothing() {
    let mut view = app("web", vec![worker(0, "web")]);
    view.declaration.source =
        Some(supd_api::Source { file: "/no/such/ecosystem.toml".into(), env_name: None, base: None });
    let fake = Fake::serving(ok([("GET /v1/apps", json!([view]))]));
    assert_eq!(fake.run("reload web").await.code, 4);
    assert_eq!(fake.asked(), ["GET /v1/apps?target=web"]);
}

#[tokio::test]
async fn a_refused_order_shows_the_hint() {
    let known = ok([("GET /v1/workers", json!([in_state(worker(0, "web"), Status::Stopped, "")]))]);
    let fake =
        Fake::serving(refusing(known, "POST /v1/workers/restart", 404, "not_found", "`wbe` is not known"));
    let ran = fake.run("restart wbe").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert_eq!(ran.err, "error: `wbe` is not known\nhint: did you mean `web`?\n");
}

#[tokio::test]
async fn flags_for_files_need_a_file() {
    let fake = Fake::serving(ok([]));
    for command in ["restart web --env production", "stop web --only a", "start web --env production"] {
        let ran = fake.run(command).await;
        assert_eq!(ran.code, 4, "{command}");
        assert!(ran.err.contains("needs a declaration file"), "{}", ran.err);
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn init_writes_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ecosystem.toml");
    let words = ["init", dir.path().to_str().unwrap()];
    let fake = Fake::empty();
    assert_eq!(fake.run_words(&words, None).await.code, 0);
    std::fs::write(&file, "mine").unwrap();
    let ran = fake.run_words(&words, None).await;
    assert_eq!(ran.code, 5);
    assert!(ran.err.ends_with("exists already\nhint: --force overwrites it\n"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(fake.run_words(&[&words[..], &["--force"]].concat(), None).await.code, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), crate::config::sample());
}
