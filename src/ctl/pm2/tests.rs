//! A whole command against a fake daemon: what it asks, what it says, and how it ends.

use supd_api::{Accepted, AppView, Status, WorkerOutcome};

use serde_json::{Value, json};

use super::*;
use crate::ctl::fake::{Answers, Fake, Ran, app, in_state, worker};

/// Runs `pm2` with these words.
async fn pm2(fake: &Fake, words: &str) -> Ran {
    let line = line::parse(words.split(' ').map(str::to_owned)).expect("a valid command line");
    let style = Style { silent: line.has(Opt::Silent), ..Style::default() };
    let (mut session, out, err) = fake.session(style, None);
    let verb = line.command.expect("a command").verb;
    let code = voice::end(dispatch(verb, &line, &mut session).await, &mut session.output);
    Ran { code, out: out.text(), err: err.text() }
}

fn apps() -> Vec<AppView> {
    let stopped = in_state(worker(2, "api"), Status::Stopped, "stopped by request");
    vec![app("web", vec![worker(0, "web"), worker(1, "web")]), app("api", vec![stopped])]
}

fn accepted(ids: &[(u32, &str, Option<&str>)]) -> String {
    let outcome = |(id, app, failure): &(u32, &str, Option<&str>)| WorkerOutcome {
        id: *id,
        app: supd_api::AppName::new(*app).unwrap(),
        failure: failure.map(str::to_owned),
        exit: None,
    };
    json!(Accepted { workers: ids.iter().map(outcome).collect(), ..Accepted::default() }).to_string()
}

fn answers(more: &[(&'static str, String)]) -> Answers {
    let workers: Vec<_> = apps().into_iter().flat_map(|app| app.workers).collect();
    let mut answers = Answers::from([
        ("GET /v1/apps", (200, json!(apps()).to_string())),
        ("GET /v1/workers", (200, json!(workers).to_string())),
    ]);
    answers.extend(more.iter().map(|(path, body)| (*path, (200, body.clone()))));
    answers
}

#[tokio::test]
async fn restart_tells_what_scripts_search_for() {
    let done = accepted(&[(0, "web", None), (1, "web", None)]);
    let fake = Fake::serving(answers(&[("POST /v1/workers/restart", done)]));
    let ran = pm2(&fake, "restart web").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().take(4).collect();
    assert_eq!(
        lines,
        [
            "Use --update-env to update environment variables",
            "[PM2] Applying action restartProcessId on app [web](ids: [ 0, 1 ])",
            "[PM2] [web](0) ✓",
            "[PM2] [web](1) ✓",
        ]
    );
    assert!(ran.out.contains(
        "│ 2  │ api    │ default     │ 1.2.3   │ cluster │ 0        │ 0      │ 0    │ stopped   │"
    ));
    assert_eq!(fake.body("POST /v1/workers/restart"), json!({ "targets": ["0", "1"] }));
}

#[tokio::test]
async fn a_worker_that_fails_makes_the_command_fail() {
    let failed = accepted(&[(0, "web", None), (1, "web", Some("exited with code 1"))]);
    let fake = Fake::serving(answers(&[("POST /v1/workers/reload", failed)]));
    let ran = pm2(&fake, "reload web").await;
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("[PM2] [web](0) ✓") && !ran.out.contains("(1) ✓"), "{}", ran.out);
    assert_eq!(ran.err, "[PM2][ERROR] [web](1) exited with code 1\n");
}

#[tokio::test]
async fn one_unknown_target_spoils_all_before_anything_is_done() {
    let fake = Fake::serving(answers(&[]));
    let ran = pm2(&fake, "stop web nope").await;
    assert_eq!((ran.code, ran.err.as_str()), (1, "[PM2][ERROR] Process or Namespace nope not found\n"));
    assert!(fake.asked().iter().all(|asked| asked.starts_with("GET")));
    let ran = pm2(&fake, "restart web --env production").await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--env can only be used with a declaration file"));
}

#[tokio::test]
async fn silence_leaves_out_what_is_for_people() {
    let done = accepted(&[(2, "api", None)]);
    let fake = Fake::serving(answers(&[("POST /v1/workers/stop", done)]));
    let ran = pm2(&fake, "-s stop 2").await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let ran = pm2(&fake, "-s jlist").await;
    assert!(ran.out.starts_with("[{\"pid\":4000,\"name\":\"web\"") && ran.out.ends_with("}]"), "{}", ran.out);
    assert_eq!(pm2(&fake, "-s list").await.out, "");
}

#[tokio::test]
async fn numbers_read_as_node_shows_them() {
    let fake = Fake::serving(answers(&[]));
    for (words, out) in [
        ("id web", "[ 0, 1 ]\n"),
        ("id nope", "[]\n"),
        ("pid web", "4000\n4001\n"),
        ("pid", "4000\n4001\n0\n"),
        ("pid nope", "\n"),
    ] {
        let ran = pm2(&fake, words).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, out), "{words}");
    }
    let ran = pm2(&fake, "describe nope").await;
    assert_eq!((ran.code, ran.err.as_str()), (1, "[PM2][WARN] nope doesn't exist\n"));
}

/// PM2's own tests count words in `prettylist`.
#[tokio::test]
async fn words_occur_in_prettylist_as_often_as_in_pm2() {
    let fake = Fake::serving(answers(&[]));
    let text = pm2(&fake, "prettylist").await.out;
    let count = |word: &str| text.matches(word).count();
    for (word, times) in [
        ("online", 2),
        ("stopped", 1),
        ("cluster_mode", 3),
        ("fork_mode", 0),
        ("restart_time: 0", 3),
        ("node_args: []", 3),
        ("pm_id: 1", 2),
        ("name: 'web'", 6),
    ] {
        assert_eq!(count(word), times, "{word}\n{text}");
    }
    // Its name twice, the key in `env`, the paths of three files and the agent's option; here its directory too, twice.
    assert_eq!(count("web"), 2 * (7 + 2), "{text}");
    assert!(
        text.starts_with("[\n  {\n    pid: 4000,\n    name: 'web',\n    pm2_env: {\n      name: 'web',\n"),
        "{text}"
    );
}

#[tokio::test]
async fn scale_does_what_there_is_to_do() {
    let done = accepted(&[(3, "web", None)]);
    let fake = Fake::serving(answers(&[("POST /v1/apps/web/scale", done)]));
    let ran = pm2(&fake, "scale web +1").await;
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some("[PM2] Scaling up application")));
    assert_eq!(fake.body("POST /v1/apps/web/scale"), json!({ "count": 3 }));
    for (words, error) in [
        ("scale web 2", "Nothing to do"),
        ("scale nope 2", "Application nope not found"),
        ("scale web x", "x: expected a number of workers such as `4`, `+2` or `-1`"),
    ] {
        let ran = pm2(&fake, words).await;
        assert_eq!((ran.code, ran.err), (1, format!("[PM2][ERROR] {error}\n")), "{words}");
    }
}

#[tokio::test]
async fn restart_with_flags_changes_only_what_they_name() {
    let mut apps = apps();
    apps[0].declaration.program.script = "/bin/sh".to_owned();
    apps[0].declaration.program.interpreter = None;
    apps[0].declaration.exec_mode = supd_api::ExecMode::Fork;
    apps[0].declaration.cwd = "/".into();
    let before = json!(apps[0].declaration);
    let fake = Fake::serving(answers(&[
        ("GET /v1/apps", json!(apps).to_string()),
        ("POST /v1/apps", accepted(&[(0, "web", None)])),
    ]));
    let ran = pm2(&fake, "restart web --kill-timeout 3000 --max-restarts 5 -- -c x").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sent = fake.body("POST /v1/apps");
    let mut expected: Value = before;
    expected["stop"]["kill_timeout"] = json!(3000);
    expected["restart"]["max_restarts"] = json!(5);
    expected["program"]["args"] = json!(["-c", "x"]);
    assert_eq!((&sent["apps"][0], &sent["reload"]), (&expected, &json!(false)));
}

#[test]
fn the_name_of_the_program_decides() {
    for (name, who) in [
        ("/usr/local/bin/supctl", Personality::Supctl),
        ("pm2", Personality::Pm2),
        ("./bin/pm2", Personality::Pm2),
        ("/x/pm2-runtime", Personality::Runtime),
        ("pm2-docker", Personality::Runtime),
        ("pm2-dev", Personality::Dev),
        ("pm2x", Personality::Supctl),
    ] {
        assert_eq!(Personality::of(Some(OsStr::new(name))), who, "{name}");
    }
    assert_eq!(Personality::of(None), Personality::Supctl);
}
