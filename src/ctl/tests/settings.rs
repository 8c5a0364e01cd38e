use serde_json::json;
use supd_api::{Compression, DeclaredRotation, RotationField, Status};

use super::{ok, refusing};
use crate::ctl::fake::{Fake, app, in_state, worker};
use crate::ctl::policy;

#[tokio::test]
async fn a_setting_travels_and_its_app_is_restarted_if_it_runs() {
    let stopped = in_state(worker(7, "web"), Status::Stopped, "by `supctl stop`");
    let fake = Fake::serving(ok([
        ("PUT /v1/settings", json!({ "workers": [], "warnings": ["no effect"] })),
        ("GET /v1/workers", json!([worker(0, "web"), worker(1, "api"), stopped])),
        ("POST /v1/workers/restart", json!({ "workers": [{ "id": 0, "app": "web" }] })),
    ]));
    let ran = fake.run("set pm2-logrotate:max_size 10M").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "set pm2-logrotate:max_size\n"));
    assert_eq!(ran.err, "warning: no effect\n");
    let body = json!({ "settings": { "pm2-logrotate:max_size": "10M" } });
    assert_eq!(fake.body("PUT /v1/settings"), body);
    assert!(!fake.asked().contains(&"POST /v1/workers/restart".to_owned()));
    assert_eq!(fake.run("set web.A -1").await.code, 0);
    assert_eq!(fake.body("POST /v1/workers/restart"), json!({ "targets": ["0"] }));
}

#[tokio::test]
async fn several_are_one_request() {
    let answers = ok([("PUT /v1/settings", json!({ "workers": [] })), ("GET /v1/workers", json!([]))]);
    let fake = Fake::serving(answers);
    assert_eq!(fake.run_words(&["multiset", "a 1 b 2"], None).await.code, 0);
    assert_eq!(fake.body("PUT /v1/settings"), json!({ "settings": { "a": "1", "b": "2" } }));
    assert_eq!(fake.run_words(&["multiset", "a 1 b"], None).await.code, 4);
    assert_eq!(fake.asked().iter().filter(|line| line.starts_with("PUT")).count(), 1);
}

#[tokio::test]
async fn what_is_asked_for_is_printed_and_nothing_else() {
    let fake = Fake::serving(ok([("GET /v1/settings", json!({ "settings": { "a:B": "1 2", "c": "3" } }))]));
    assert_eq!(fake.run("get a:B").await.out, "1 2\n");
    assert_eq!(fake.run("conf a:B").await.out, "1 2\n");
    assert_eq!(fake.run("get a.B").await.out, "1 2\n");
    assert_eq!(fake.run("get a --json").await.out, "{\"a:B\":\"1 2\"}\n");
    let ran = fake.run("get nope").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    for command in ["get --json", "conf --json", "config --json"] {
        assert_eq!(fake.run(command).await.out, "{\"a:B\":\"1 2\",\"c\":\"3\"}\n");
    }
    assert!(fake.run("conf").await.out.contains("a:B"));
}

#[tokio::test]
async fn all_or_some_are_removed_by_their_keys() {
    let answers = ok([
        ("DELETE /v1/settings", json!({ "workers": [] })),
        ("DELETE /v1/settings?key=a%3AB&key=c", json!({ "workers": [] })),
    ]);
    let answers = refusing(answers, "DELETE /v1/settings?key=x", 404, "not_found", "`x` is not set");
    let fake = Fake::serving(answers);
    assert_eq!(fake.run("unset a:B c").await.code, 0);
    assert_eq!(fake.run("unset all").await.code, 0);
    assert_eq!(fake.run("unset x").await.code, 3);
    let asked = ["DELETE /v1/settings?key=a%3AB&key=c", "DELETE /v1/settings", "DELETE /v1/settings?key=x"];
    assert_eq!(fake.asked(), asked);
}

#[test]
fn rotation_reads_with_its_origins() {
    let mut app = app("web", vec![]);
    assert_eq!(policy::rotation(&app), "at 10.0mb, 30 kept, at most 1.0gb in all, 256.0mb left free");
    app.declaration.logs.rotation = DeclaredRotation { keep: Some(None), ..DeclaredRotation::default() };
    app.rotation.policy.keep = None;
    (app.rotation.policy.size, app.rotation.policy.min_free) = (None, None);
    app.rotation.policy.compress = Some(Compression::Gzip);
    for (field, key) in [(RotationField::Size, "supd:rotate_size"), (RotationField::Compress, "c")] {
        app.rotation.settings.insert(field, key.to_owned());
    }
    let text = "never (supd:rotate_size), all kept (declared), at most 1.0gb in all, nothing left free, packed by gzip (c)";
    assert_eq!(policy::rotation(&app), text);
}
