use serde_json::{Value, json};
use supd_api::{
    DaemonView, EnvironmentView, Layer, LogTrouble, Millis, Progress, Secret, Source, Status, StreamView,
    VariableView,
};

use super::{ok, refusing};
use crate::ctl::fake::{Fake, app, in_state, secret_layer, worker};

fn daemon() -> Value {
    json!(DaemonView {
        version: "9.9.9".to_owned(),
        keeper_pid: 77,
        supervisor_pid: 78,
        supervisor_restarts: 0,
        uptime: Millis(7_200_000),
        home: "/h".into(),
        apps: 2,
        workers: 3,
        cgroup: None,
        last_upgrade: None,
    })
}

#[tokio::test]
async fn list_is_ordered_and_knows_json() {
    let fake = Fake::serving(ok([(
        "GET /v1/workers",
        json!([worker(2, "web"), worker(0, "web"), worker(1, "api")]),
    )]));
    let ran = fake.run("list").await;
    let ids: Vec<&str> = ran.out.lines().skip(3).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!((ran.code, ids), (0, vec!["1", "0", "2"]));
    let ran = fake.run("ls --json").await;
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(listed[0]["app"], "api");
}

#[tokio::test]
async fn an_empty_list_has_a_hint_aside() {
    let ran = Fake::serving(ok([("GET /v1/workers", json!([]))])).run("list").await;
    assert_eq!(ran.out.lines().count(), 4);
    assert_eq!(ran.err, "nothing here yet: `supctl start app.js`, or `supctl init` for a declaration file\n");
}

#[tokio::test]
async fn jlist_prints_one_array_and_nothing_else() {
    let fake = Fake::serving(ok([("GET /v1/apps", json!([app("web", vec![worker(0, "web")])]))]));
    let ran = fake.run("jlist").await;
    let list: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list[0]["pm2_env"]["status"], "online");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[tokio::test]
async fn an_unknown_target_is_code_3_with_the_daemons_hint() {
    let all = ok([("GET /v1/workers", json!([worker(0, "web")]))]);
    let fake =
        Fake::serving(refusing(all, "GET /v1/workers?target=wbe", 404, "not_found", "`wbe` is not known"));
    for command in ["describe wbe", "env wbe", "id wbe", "pid wbe"] {
        let ran = fake.run(command).await;
        assert_eq!(ran.code, 3, "{command}");
        assert_eq!(ran.err, "error: `wbe` is not known\nhint: did you mean `web`?\n");
        assert_eq!(ran.out, "");
    }
    let ran = fake.run("id wbe --json").await;
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    let fault = json!({ "fault": {
        "code": "not_found", "message": "`wbe` is not known", "hint": "did you mean `web`?"
    } });
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), fault);
}

#[tokio::test]
async fn describe_shows_a_block_for_each_worker() {
    let mut stopped = in_state(worker(1, "web"), Status::Errored, "gave up after 16 short lives");
    stopped.message = Some("shutting down".to_owned());
    stopped.notice = Some("rolled back to revision 1".to_owned());
    let mut view = app("web", vec![worker(0, "web"), stopped.clone()]);
    view.declaration.environment.layers = vec![secret_layer("TOKEN", "")];
    view.declaration.source = Some(Source { file: "/srv/ecosystem.toml".into(), env_name: None, base: None });
    view.declaration.listen = vec!["127.0.0.1:8175".parse().unwrap()];
    (view.revision, view.previous_revision) = (2, Some(1));
    view.progress = Some(Progress { done: 1, of: 2 });
    let fake = Fake::serving(ok([("GET /v1/workers", json!([stopped])), ("GET /v1/apps", json!([view]))]));
    let ran = fake.run("describe 1").await;
    // The age of the worker depends on the day of the test.
    let steady: Vec<&str> = ran.out.lines().filter(|line| !line.contains(" created ")).collect();
    insta::assert_snapshot!(steady.join("\n"), @r"
    Worker 1 of web
    ┌────────────────────┬─────────────────────────────────────────────────────────────┐
    │ status             │ errored                                                     │
    │ reason             │ gave up after 16 short lives                                │
    │ message            │ shutting down                                               │
    │ notice             │ rolled back to revision 1                                   │
    │ name               │ web                                                         │
    │ namespace          │ default                                                     │
    │ version            │ 1.2.3                                                       │
    │ instance           │ 1                                                           │
    │ pid                │ N/A                                                         │
    │ restarts           │ 0                                                           │
    │ unstable restarts  │ 0                                                           │
    │ uptime             │ 0                                                           │
    │ last exit          │ none                                                        │
    │ cpu                │ 0%                                                          │
    │ memory             │ 0b                                                          │
    │ command line       │ node /srv/web/app.js --greeting 'it'\''s me'                │
    │ script path        │ /srv/web/app.js                                             │
    │ script args        │ --greeting 'it'\''s me'                                     │
    │ interpreter        │ node                                                        │
    │ interpreter args   │ none                                                        │
    │ error log path     │ /home/u/.supd/logs/web-error-1.log                          │
    │ out log path       │ /home/u/.supd/logs/web-out-1.log                            │
    │ pid path           │ /home/u/.supd/pids/web-1.pid                                │
    │ log written        │ 0b out, 0b error                                            │
    │ rotation           │ at 10.0mb, 30 kept, at most 1.0gb in all, 256.0mb left free │
    │ exec cwd           │ /srv/web                                                    │
    │ exec mode          │ cluster                                                     │
    │ user               │ deploy                                                      │
    │ readiness          │ it listens, or after 3 s (in a reload 1 min)                │
    │ liveness           │ its process exists                                          │
    │ stop               │ drains for 30 s at most, then SIGINT, SIGKILL after 1.6 s   │
    │ reload             │ new before old, max_surge 1, on probation for 30 s          │
    │ watch              │ no                                                          │
    │ cron restart       │ never                                                       │
    │ listen             │ 127.0.0.1:8175                                              │
    │ environment        │ 1 declared variables, see `supctl env 1`                    │
    │ declared in        │ /srv/ecosystem.toml                                         │
    │ revision           │ 1, the app's is 2                                           │
    │ previous revision  │ 1, see `supctl rollback web`                                │
    │ reload in progress │ 1 of 2 workers moved                                        │
    └────────────────────┴─────────────────────────────────────────────────────────────┘
    ");
    let json = fake.run("show 1 --json").await;
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()[0]["workers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn describe_tells_where_output_goes_and_what_became_of_it() {
    let mut view = worker(0, "web");
    view.log_file = Some("/home/u/.supd/logs/web.log".into());
    // After any day on which this runs: no time has passed since.
    let now = u64::MAX;
    view.logs.out = StreamView { written: 2048, lost_lines: 3, lost_bytes: 200, lost_since: Some(now) };
    let (path, text) = ("/home/u/.supd/logs/web.log".into(), "No space left on device".to_owned());
    view.logs.trouble = vec![LogTrouble { path, text, since: now }];
    let apps = json!([app("web", vec![view.clone()])]);
    let fake = Fake::serving(ok([("GET /v1/workers", json!([view])), ("GET /v1/apps", apps)]));
    let ran = fake.run("describe 0").await;
    let rows: Vec<&str> = ran.out.lines().filter(|line| line.contains("log ")).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    │ error log path    │ /home/u/.supd/logs/web-error-0.log                                           │
    │ out log path      │ /home/u/.supd/logs/web-out-0.log                                             │
    │ entire log path   │ /home/u/.supd/logs/web.log                                                   │
    │ log written       │ 2.0kb out, 0b error                                                          │
    │ log trouble       │ /home/u/.supd/logs/web.log cannot be written for 0s: No space left on device │
    │ log lost          │ 3 lines (200 bytes) of out dropped, the first 0s ago                         │
    ");
}

#[tokio::test]
async fn env_prints_lines_that_a_shell_can_read() {
    let variable = |name: &str, value: &str, layer| VariableView {
        name: name.to_owned(),
        value: Secret::from(value),
        layer,
    };
    let variables = vec![variable("A", "1 2", Layer::Env), variable("PATH", "/bin", Layer::Base)];
    let fake = Fake::serving(ok([
        ("GET /v1/workers", json!([worker(4, "web")])),
        ("GET /v1/workers/4/env", json!(EnvironmentView { worker: 4, variables })),
    ]));
    assert_eq!(fake.run("env web").await.out, "A=1 2\nPATH=/bin\n");
    assert!(fake.run("env web --json").await.out.contains("\"layer\":\"base\""));
}

#[tokio::test]
async fn ids_and_pids_are_one_a_line() {
    let workers = json!([worker(0, "web"), in_state(worker(3, "web"), Status::Stopped, "")]);
    let fake = Fake::serving(ok([("GET /v1/workers", workers)]));
    assert_eq!(fake.run("id web").await.out, "0\n3\n");
    assert_eq!(fake.run("pid").await.out, "4000\n0\n");
    assert_eq!(fake.run("pid --json").await.out, "[4000,0]\n");
}

#[tokio::test]
async fn ping_and_version() {
    let fake = Fake::serving(ok([("GET /v1/daemon", daemon())]));
    assert_eq!(fake.run("ping").await.out, "pong: supd 9.9.9, process 77, up 2h, apps 2, workers 3\n");
    let ran = fake.run("version").await;
    assert_eq!(
        ran.out,
        concat!("supctl ", env!("CARGO_PKG_VERSION"), "\nsupd 9.9.9 (running, process 77)\n")
    );
    assert!(ran.err.starts_with("hint: the daemon is of another version"));
    let ran = Fake::empty().run("version --json").await;
    assert_eq!(ran.out, concat!("{\"supctl\":\"", env!("CARGO_PKG_VERSION"), "\",\"supd\":null}\n"));
}

#[tokio::test]
async fn logs_are_printed_and_go_on_where_they_were_after_a_restart() {
    let line =
        |text: &str| json!({ "kind": "line", "app": "web", "worker": 0, "stream": "out", "text": text });
    let place = |place: &str| json!({ "kind": "position", "path": "/l/web", "place": place });
    let mut answers = ok([]);
    answers.insert(
        "GET /v1/logs?target=web&follow=true&positions=true",
        (200, format!("{}\n{}\n{}\n", place("1.2.3"), line("one"), place("1.2.7"))),
    );
    answers.insert(
        "GET /v1/logs?target=web&follow=false&stream=err&lines=2",
        (200, format!("{}\n", line("two"))),
    );
    let again = "GET /v1/logs?target=web&follow=true&positions=true&from=1.2.7";
    answers = refusing(answers, again, 404, "not_found", "`web` is gone");
    let fake = Fake::serving(answers);
    let ran = fake.run("logs web").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, "0|web     | one\n"));
    let ran = fake.run("logs web --json").await;
    assert_eq!(ran.out.lines().next(), Some(line("one").to_string().as_str()));
    let ran = fake.run("logs web --nostream --lines 2 --err --raw").await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "two\n", ""));
    let ran = fake.run("logs nobody").await;
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
}

#[tokio::test]
async fn what_is_wanted_of_the_logs_is_asked_of_the_daemon() {
    for (words, path) in [
        ("logs a b", "?target=a&target=b&follow=true&positions=true"),
        ("logs --grep a+b --out -f", "?follow=true&positions=true&stream=out&grep=a%2Bb"),
        ("logs --since 1970-01-01T00:00:01Z", "?follow=true&positions=true&since=1000"),
        ("logs --until 1970-01-01T00:00:02Z --lines 0", "?follow=false&lines=0&until=2000"),
        ("logs web --this-run", "?target=web&follow=true&positions=true&run=this"),
        ("logs web --previous --err", "?target=web&follow=false&stream=err&run=previous"),
    ] {
        let fake = Fake::serving(ok([]));
        fake.run(words).await;
        assert_eq!(fake.asked(), [format!("GET /v1/logs{path}")], "{words}");
    }
}
