use serde_json::{Value, json};
use supd_api::{AppName, Happening, HappeningKind as Kind, Progress};

use super::{ok, refusing};
use crate::ctl::args::Cli;
use crate::ctl::fake::{Answers, Fake, Then, app, worker};
use clap::Parser;

const RELOAD: &str = "/v1/workers/reload";

fn about(app: &str, worker: Option<u32>, kind: Kind) -> Happening {
    let app = AppName::new(app).unwrap();
    let text = "in words".to_owned();
    Happening { at: 1_795_172_403_000, kind, app, worker, text, progress: None, message: None }
}

fn moved(app: &str, kind: Kind, done: u32, of: u32) -> Happening {
    Happening { progress: Some(Progress { done, of }), ..about(app, None, kind) }
}

/// A reload of two workers that goes well.
fn smooth(app: &str) -> Vec<Happening> {
    vec![
        moved(app, Kind::ReloadBegan, 0, 2),
        about(app, Some(0), Kind::Started),
        about("another", None, Kind::ReloadBegan),
        moved("another", Kind::ReloadMoved, 1, 9),
        about(app, Some(0), Kind::Ready),
        moved(app, Kind::ReloadMoved, 1, 2),
        about(app, Some(0), Kind::Draining),
        moved(app, Kind::ReloadMoved, 2, 2),
        moved(app, Kind::ReloadDone, 2, 2),
    ]
}

fn outcomes(failure: Option<&str>) -> Value {
    let outcome = |id| match failure {
        None => json!({ "id": id, "app": "web" }),
        Some(failure) => json!({ "id": id, "app": "web", "failure": failure }),
    };
    json!({ "workers": [outcome(0), outcome(1)] })
}

/// A daemon with an app of two workers, and its answer to reload and rollback.
fn answers(failure: Option<&str>) -> Answers {
    ok([
        ("GET /v1/apps", json!([app("web", vec![worker(0, "web"), worker(1, "web")])])),
        ("GET /v1/workers", json!([])),
        ("POST /v1/workers/reload", outcomes(failure)),
        ("POST /v1/workers/rollback", outcomes(failure)),
    ])
}

/// The same with words of worker 1.
fn with_words(mut answers: Answers, lines: &[&str]) -> Answers {
    let line = |text| json!({ "kind": "line", "app": "web", "worker": 1, "stream": "err", "text": text });
    let title = json!({ "kind": "file", "path": "/l/web-error-1.log", "lines": 30 }).to_string();
    let lines = lines.iter().map(|text| line(text).to_string());
    let body: String = [title].into_iter().chain(lines).map(|line| line + "\n").collect();
    answers.insert("GET /v1/logs?target=1&lines=30&follow=false&stream=err", (200, body));
    answers
}

#[tokio::test]
async fn without_a_terminal_each_step_forward_is_a_line() {
    let fake = Fake::moving(answers(None), RELOAD, smooth("web"), Then::Answer);
    let ran = fake.run("reload web").await;
    assert_eq!(ran.code, 0);
    assert_eq!(ran.err, "web: 0/2 reloaded\nweb: 1/2 reloaded\nweb: 2/2 reloaded\n");
    assert!(ran.out.starts_with("reloaded web (0, 1)\n┌"), "{}", ran.out);
    assert_eq!(
        fake.body("POST /v1/workers/reload"),
        json!({ "targets": ["web"], "no_wait": false, "timeout": null })
    );
}

#[tokio::test]
async fn json_and_silence_show_no_progress() {
    let fake = Fake::moving(answers(None), RELOAD, smooth("web"), Then::Answer);
    let ran = fake.run("reload web --json").await;
    assert_eq!((ran.code, ran.out, ran.err.as_str()), (0, format!("{}\n", outcomes(None)), ""));
    let fake = Fake::moving(answers(None), RELOAD, smooth("web"), Then::Answer);
    let ran = fake.run("reload web --silent").await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
}

#[tokio::test]
async fn a_reload_needs_no_stream() {
    let ran = Fake::serving(answers(None)).run("reload web").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let broken = vec![moved("web", Kind::ReloadBegan, 0, 2), moved("web", Kind::ReloadMoved, 1, 2)];
    let ran = Fake::moving(answers(None), RELOAD, broken, Then::BrokenStream).run("reload web").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, "web: 0/2 reloaded\nweb: 1/2 reloaded\n"));
}

#[tokio::test]
async fn a_failed_reload_quotes_the_worker_that_failed() {
    let reason = "the new one exited with code 1 after 80 ms; the old workers stay";
    let failing = vec![
        moved("web", Kind::ReloadBegan, 0, 2),
        about("web", Some(0), Kind::Ready),
        moved("web", Kind::ReloadMoved, 1, 2),
        about("web", Some(1), Kind::Failed),
        moved("web", Kind::ReloadFailed, 1, 2),
        about("web", Some(0), Kind::Failed),
    ];
    let answers = with_words(answers(Some(reason)), &["\u{1b}[31mError: boom\u{1b}[0m", "\tat main"]);
    let fake = Fake::moving(answers.clone(), RELOAD, failing.clone(), Then::Answer);
    let ran = fake.run("reload web").await;
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err, @r"
    web: 0/2 reloaded
    web: 1/2 reloaded
    error: web: 2 workers: the new one exited with code 1 after 80 ms; the old workers stay
    last lines of web 1's standard error:
      Error: boom
      	at main
    ");
    assert!(ran.out.starts_with('┌'), "{}", ran.out);

    let fake = Fake::moving(answers, RELOAD, failing, Then::Answer);
    let ran = fake.run("reload web --json").await;
    assert_eq!((ran.code, ran.out), (1, format!("{}\n", outcomes(Some(reason)))));
    assert!(ran.err.ends_with("  Error: boom\n  \tat main\n"), "{}", ran.err);
}

#[tokio::test]
async fn the_daemon_may_name_the_worker_itself() {
    let mut failed = moved("web", Kind::ReloadFailed, 0, 2);
    failed.worker = Some(1);
    let failing = vec![moved("web", Kind::ReloadBegan, 0, 2), about("web", Some(0), Kind::GivenUp), failed];
    let answers = with_words(answers(Some("no")), &["boom"]);
    let ran = Fake::moving(answers, RELOAD, failing, Then::Answer).run("reload web").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.ends_with("last lines of web 1's standard error:\n  boom\n"), "{}", ran.err);
}

#[tokio::test]
async fn when_time_runs_out_who_was_started_last_is_quoted() {
    let late = vec![
        about("web", None, Kind::ReloadBegan),
        about("web", Some(0), Kind::Started),
        about("web", Some(0), Kind::Ready),
        about("web", Some(1), Kind::Started),
        about("web", None, Kind::ReloadFailed),
    ];
    let answers = with_words(answers(Some("the new one was not in place in time")), &["boom"]);
    let ran = Fake::moving(answers, RELOAD, late, Then::Answer).run("reload web --timeout 1s").await;
    assert!(ran.err.ends_with("last lines of web 1's standard error:\n  boom\n"), "{}", ran.err);
}

#[tokio::test]
async fn a_failed_start_quotes_the_first_that_failed() {
    let accepted = json!({ "workers": [
        { "id": 0, "app": "web" },
        { "id": 1, "app": "web", "failure": "exited with code 1 after 3 s" },
        { "id": 2, "app": "web", "failure": "exited with code 1 after 3 s" },
        { "id": 3, "app": "web", "failure": "not ready within 3 s" },
    ], "warnings": ["the disk is nearly full"] });
    let answers = ok([("GET /v1/workers", json!([worker(0, "web")])), ("POST /v1/workers/start", accepted)]);
    let fake = Fake::serving(with_words(answers, &["boom"]));
    let ran = fake.run("start web").await;
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err, @r"
    warning: the disk is nearly full
    error: web 1, 2: exited with code 1 after 3 s
    error: web 3: not ready within 3 s
    last lines of web 1's standard error:
      boom
    ");
    assert!(ran.out.starts_with("started web (0)\n┌"), "{}", ran.out);
}

#[tokio::test]
async fn where_there_are_no_last_lines_nothing_is_said_of_them() {
    for answers in [answers(Some("no")), with_words(answers(Some("no")), &[])] {
        let ran = Fake::serving(answers).run("reload web").await;
        assert_eq!((ran.code, ran.err.as_str()), (1, "error: web: 2 workers: no\n"));
    }
}

#[tokio::test]
async fn who_does_not_wait_is_not_told_that_it_is_done() {
    let fake = Fake::serving(answers(None));
    let ran = fake.run("reload web --no-wait --timeout 2m").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.starts_with("the reload of web has begun; `supctl events` shows how it ends\n"),
        "{}",
        ran.out
    );
    let body = json!({ "targets": ["web"], "no_wait": true, "timeout": 120_000 });
    assert_eq!(fake.body("POST /v1/workers/reload"), body);
    assert!(!fake.asked().iter().any(|asked| asked.contains("events")));
}

#[test]
fn a_timeout_has_a_unit_and_is_not_nothing() {
    for (text, complaint) in [("30", "expected a unit"), ("0s", "more than nothing"), ("soon", "units: ms")] {
        let error = Cli::try_parse_from(["supctl", "reload", "web", "--timeout", text]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(complaint), "{error}");
    }
}

#[tokio::test]
async fn a_file_is_applied_as_a_reload_with_the_same_patience() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ecosystem.toml");
    std::fs::write(&file, "[[apps]]\nname = \"web\"\nscript = \"/bin/sleep\"\nargs = [\"9\"]\n").unwrap();
    let mut answers = answers(None);
    answers.insert("POST /v1/apps", (200, outcomes(None).to_string()));
    let fake = Fake::moving(answers, "/v1/apps", smooth("web"), Then::Answer);
    let ran = fake.run_words(&["reload", file.to_str().unwrap(), "--timeout", "500ms"], None).await;
    assert_eq!((ran.code, ran.err.lines().count()), (0, 3), "{}", ran.err);
    let body = fake.body("POST /v1/apps");
    assert_eq!(
        (&body["reload"], &body["no_wait"], &body["timeout"]),
        (&json!(true), &json!(false), &json!(500))
    );
}

#[tokio::test]
async fn a_rollback_looks_like_a_reload() {
    let fake = Fake::moving(answers(None), "/v1/workers/rollback", smooth("web"), Then::Answer);
    let ran = fake.run("rollback 0").await;
    assert_eq!((ran.code, ran.err.lines().last()), (0, Some("web: 2/2 rolled back")), "{}", ran.err);
    assert!(ran.out.starts_with("rolled back web (0, 1)\n"), "{}", ran.out);
    assert_eq!(fake.body("POST /v1/workers/rollback")["targets"], json!(["web"]));
}

#[tokio::test]
async fn a_rollback_to_nothing_changes_nothing() {
    let refused = "web has no earlier version";
    let fake = Fake::serving(refusing(answers(None), "POST /v1/workers/rollback", 409, "conflict", refused));
    let ran = fake.run("rollback web").await;
    assert_eq!((ran.code, ran.out.as_str()), (5, ""));
    assert_eq!(ran.err, "error: web has no earlier version\n");
}

#[tokio::test]
async fn events_are_shown_and_followed_over_a_restart() {
    let line = json!(about("web", Some(0), Kind::Failed)).to_string();
    let mut answers = ok([]);
    answers
        .insert("GET /v1/events?target=web&follow=true&lines=15&messages=true", (200, format!("{line}\n")));
    answers.insert("GET /v1/events?follow=false", (200, format!("{line}\n")));
    answers.insert("GET /v1/events?follow=false&lines=3", (200, String::new()));
    let again = "GET /v1/events?target=web&follow=true&lines=0&messages=true";
    let fake = Fake::serving(refusing(answers, again, 404, "not_found", "`web` is gone"));
    let ran = fake.run("events web").await;
    assert_eq!(ran.code, 3);
    assert!(ran.out.ends_with("  web 0       in words\n"), "{}", ran.out);
    assert!(ran.err.starts_with("the connection to the supervisor ended: following again"), "{}", ran.err);
    let ran = fake.run("events --nostream --json").await;
    assert_eq!((ran.code, ran.out, ran.err.as_str()), (0, format!("{line}\n"), ""));
    assert_eq!(fake.run("events --nostream --lines 3").await.code, 0);
}

#[tokio::test]
async fn an_event_of_another_version_is_explained() {
    let mut answers = ok([]);
    answers.insert("GET /v1/events?follow=false", (200, "{\"kind\":\"sung\"}\n".to_owned()));
    let ran = Fake::serving(answers).run("events --nostream").await;
    assert_eq!(ran.code, 70);
    assert!(ran.err.ends_with("hint: is it of another version? See `supctl version`\n"), "{}", ran.err);
}
