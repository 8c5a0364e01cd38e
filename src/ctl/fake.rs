//! A daemon for tests: canned answers on a Unix socket, and a record of what was asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Parser;
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use supd_api::{
    AppDeclaration, AppName, AppView, Balance, Environment, EnvironmentLayer, ExecMode, Happening, Instances,
    Layer, LogPolicy, LogView, Millis, Program, ReadyPolicy, RestartPolicy, RotationView, Secret, Status,
    StopPolicy, WatchPolicy, Watching, WorkerView,
};
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::args::Cli;
use super::client::Client;
use super::launch::Launcher;
use super::output::{Output, Style};
use super::{Session, code, dispatch};
use crate::home::Home;

/// Answers by `"METHOD /path?query"`; a path without its query answers for every query.
pub(crate) type Answers = BTreeMap<&'static str, (u16, String)>;

/// A home with a daemon in it, and the words of a `supctl` run against it.
pub(crate) struct Fake {
    pub(crate) dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

/// What a daemon does when it has told what happened in a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It answers; the stream goes on.
    Answer,
    /// It answers; the stream ends.
    BrokenStream,
    /// It never answers.
    Silence,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Fake {
    /// A home without a daemon.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), asked: Arc::default() }
    }

    /// A home with a daemon that gives these answers and 404 to everything else. Needs a runtime.
    pub(crate) fn serving(answers: Answers) -> Self {
        let fake = Self::empty();
        fake.serve_at(&fake.socket(), answers);
        fake
    }

    /// Lets the daemon listen at another path.
    pub(crate) fn serve_at(&self, socket: &Path, answers: Answers) {
        serve(socket, self.router(answers));
    }

    /// Gives these answers and 404 to everything else.
    fn router(&self, answers: Answers) -> Router {
        let asked = Arc::clone(&self.asked);
        Router::new().fallback(async move |request: Request| answer(request, &answers, &asked).await)
    }

    /// As [`Fake::serving`], but an order to this path is answered only when the happenings have been sent, one by one, to
    /// whoever follows them.
    pub(crate) fn moving(
        answers: Answers,
        order: &'static str,
        happenings: Vec<Happening>,
        then: Then,
    ) -> Self {
        let fake = Self::empty();
        let (ordered, sent) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, told) = (Arc::clone(&ordered), Arc::clone(&sent));
        let stream = async move || {
            let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
            tokio::spawn(async move {
                begin.notified().await;
                for happening in happenings {
                    sender.send_data(format!("{}\n", json!(happening)).into()).await.unwrap();
                }
                if then != Then::Silence {
                    told.notify_one();
                }
                if then != Then::BrokenStream {
                    pending::<()>().await;
                }
            });
            Body::new(body)
        };
        let held = middleware::from_fn(move |request: Request, next: Next| {
            let (ordered, sent) = (Arc::clone(&ordered), Arc::clone(&sent));
            async move {
                if request.method() == Method::POST && request.uri().path() == order {
                    ordered.notify_one();
                    sent.notified().await;
                }
                next.run(request).await
            }
        });
        let router = fake.router(answers).layer(held).route("/v1/events", get(stream));
        serve(&fake.socket(), router);
        fake
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("supd.sock")
    }

    /// `METHOD /path?query` of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }

    /// The body of the first request of this line.
    pub(crate) fn body(&self, line: &str) -> Value {
        self.asked.lock().unwrap().iter().find(|(asked, _)| asked == line).unwrap().1.clone()
    }

    /// Runs a command that may not start a daemon.
    pub(crate) async fn run(&self, words: &str) -> Ran {
        self.run_words(&words.split(' ').collect::<Vec<_>>(), None).await
    }

    /// A client of this home, and what it says on standard output and on standard error.
    pub(crate) fn session(&self, style: Style, launcher: Option<Launcher>) -> (Session, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        let output = Output::new(Box::new(out.clone()), Box::new(err.clone()), style);
        let home = Home::at(self.dir.path()).unwrap();
        (Session { client: Client::new(home, launcher), output }, out, err)
    }

    /// Runs a command.
    pub(crate) async fn run_words(&self, words: &[&str], launcher: Option<Launcher>) -> Ran {
        let Cli { global, command, .. } =
            Cli::try_parse_from(["supctl"].iter().chain(words)).expect("a valid command line");
        let style = Style { json: global.json, silent: global.silent, ..Style::default() };
        let (mut session, out, err) = self.session(style, launcher);
        // A command that never ends is a failed test, not a stuck one.
        let done = timeout(Duration::from_secs(30), dispatch(command, &mut session)).await.expect("an end");
        let code = code(done, &mut session.output);
        Ran { code, out: out.text(), err: err.text() }
    }
}

fn serve(socket: &Path, router: Router) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn answer(request: Request, answers: &Answers, asked: &Mutex<Vec<(String, Value)>>) -> Response {
    let (parts, body) = request.into_parts();
    let line = format!("{} {}", parts.method, parts.uri);
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    asked.lock().unwrap().push((line.clone(), serde_json::from_slice(&body).unwrap_or(Value::Null)));
    let any_query = line.split('?').next().unwrap_or_default();
    match answers.get(line.as_str()).or_else(|| answers.get(any_query)) {
        Some((status, body)) => (StatusCode::from_u16(*status).unwrap(), body.clone()).into_response(),
        None => {
            let fault = json!({ "code": "not_found", "message": format!("nothing at {line}") });
            (StatusCode::NOT_FOUND, fault.to_string()).into_response()
        }
    }
}

/// A stream that a test can read again.
#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An online worker; its number within the app is its id.
pub(crate) fn worker(id: u32, app: &str) -> WorkerView {
    WorkerView {
        id,
        job: None,
        app: AppName::new(app).unwrap(),
        namespace: "default".to_owned(),
        instance: id,
        exec_mode: ExecMode::Cluster,
        pid: Some(4000 + id as i32),
        status: Status::Online,
        reason: "ready".to_owned(),
        message: None,
        notice: None,
        watching: Watching::Off,
        revision: 1,
        remaining: None,
        uptime: Some(Millis(7_200_000)),
        restarts: 0,
        unstable_restarts: 0,
        cpu: 0.3,
        cpu_time: Millis(1_500),
        memory: 53_792_000,
        user: "deploy".to_owned(),
        version: Some("1.2.3".to_owned()),
        created_at: 1_700_000_000_000,
        started_at: Some(1_700_000_100_000),
        last_exit: None,
        last_oversize: None,
        out_file: Some(format!("/home/u/.supd/logs/{app}-out-{id}.log").into()),
        error_file: Some(format!("/home/u/.supd/logs/{app}-error-{id}.log").into()),
        log_file: None,
        logs: LogView::default(),
        pid_file: format!("/home/u/.supd/pids/{app}-{id}.pid").into(),
        actions: Vec::new(),
        metrics: Default::default(),
        cgroup: None,
    }
}

/// The same worker in another state.
pub(crate) fn in_state(worker: WorkerView, status: Status, reason: &str) -> WorkerView {
    WorkerView { pid: None, uptime: None, cpu: 0.0, memory: 0, status, reason: reason.to_owned(), ..worker }
}

/// An app from the command line.
pub(crate) fn app(name: &str, workers: Vec<WorkerView>) -> AppView {
    AppView {
        declaration: declaration(name),
        revision: 1,
        previous_revision: None,
        rotation: RotationView::default(),
        progress: None,
        autoscale: None,
        next_cron: None,
        workers,
    }
}

/// A declaration of `/srv/NAME/app.js`.
pub(crate) fn declaration(name: &str) -> AppDeclaration {
    AppDeclaration {
        name: AppName::new(name).unwrap(),
        namespace: "default".to_owned(),
        source: None,
        program: Program {
            script: format!("/srv/{name}/app.js"),
            interpreter: Some("node".to_owned()),
            interpreter_args: Vec::new(),
            args: vec!["--greeting".to_owned(), "it's me".to_owned()],
        },
        cwd: format!("/srv/{name}").into(),
        user: None,
        group: None,
        process: supd_api::ProcessPolicy::default(),
        cgroup: supd_api::CgroupPolicy::default(),
        exec_mode: ExecMode::Cluster,
        instances: Instances::Count(2),
        environment: Environment {
            layers: Vec::new(),
            instance_var: "NODE_APP_INSTANCE".to_owned(),
            increment_var: None,
        },
        listen: Vec::new(),
        balance: Balance::Shared,
        stdin: Default::default(),
        ipc: false,
        autostart: true,
        depends_on: BTreeMap::new(),
        autoscale: None,
        pid_file: None,
        restart: RestartPolicy {
            autorestart: true,
            stop_exit_codes: Vec::new(),
            min_uptime: None,
            max_restarts: None,
            restart_delay: None,
            exp_backoff_restart_delay: None,
            max_memory_restart: None,
        },
        stop: StopPolicy {
            kill_signal: "SIGINT".to_owned(),
            kill_timeout: Millis(1600),
            treekill: true,
            shutdown_with_message: false,
            drain_timeout: StopPolicy::default_drain_timeout(),
            node_preload: true,
        },
        ready: ReadyPolicy {
            wait_ready: false,
            listen_timeout: Millis(3000),
            timeout: ReadyPolicy::default_timeout(),
            probe: None,
            startup: None,
        },
        live: Default::default(),
        reload: Default::default(),
        cron: None,
        job: None,
        watch: WatchPolicy::default(),
        logs: LogPolicy::default(),
    }
}

/// A layer with one variable.
pub(crate) fn secret_layer(name: &str, value: &str) -> EnvironmentLayer {
    EnvironmentLayer {
        layer: Layer::Env,
        variables: BTreeMap::from([(name.to_owned(), Secret::from(value))]),
    }
}
