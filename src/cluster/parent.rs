//! A supervisor of the smallest kind, for tests with real Node workers.
//!
//! `SUPD_TEST_NODE` names the binary; without it the `node` found in `PATH` is taken. Without one these tests say so and
//! pass, since supd itself does not need Node.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use supd_api::{AppName, Balance};
use supd_keeper::protocol::RunId;
use tokio::sync::mpsc;

use super::{
    Asker, Bound, Channel, Decision, Delivery, Ended, FromWorker, PortKey, Ports, Seat, ServerQuery,
    ToWorker, bind, preload,
};

pub(super) const LONG: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    pub(super) process: Child,
    pub(super) channel: Option<Channel>,
    /// What the keeper would hold.
    pub(super) kept: UnixStream,
}

/// A supervisor of the smallest kind.
pub(super) struct Parent {
    pub(super) directory: tempfile::TempDir,
    /// Workers get the preload, beside these options of the user.
    pub(super) preload: Option<&'static str>,
    app: AppName,
    balance: Balance,
    ports: Ports,
    pub(super) sockets: HashMap<PortKey, Arc<OwnedFd>>,
    pub(super) workers: HashMap<RunId, Worker>,
    sender: mpsc::UnboundedSender<Delivery>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
}

impl Drop for Parent {
    fn drop(&mut self) {
        for worker in self.workers.values_mut() {
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
    }
}

fn node() -> String {
    std::env::var("SUPD_TEST_NODE").unwrap_or_else(|_| "node".to_owned())
}

/// The first number of its version.
pub(super) fn major() -> u32 {
    let version = Command::new(node()).arg("--version").output().expect("node").stdout;
    let version = String::from_utf8(version).expect("text");
    version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()).expect("a version")
}

pub(super) fn parent(balance: Balance) -> Option<Parent> {
    if Command::new(node()).arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("not tested: there is no `node` in PATH");
        return None;
    }
    let (sender, deliveries) = mpsc::unbounded_channel();
    Some(Parent {
        directory: tempfile::tempdir().expect("directory"),
        preload: None,
        app: AppName::new("web").expect("name"),
        balance,
        ports: Ports::default(),
        sockets: HashMap::new(),
        workers: HashMap::new(),
        sender,
        deliveries,
    })
}

impl Parent {
    /// Starts `script` as run `run` in the seat of the same number, as a cluster worker or with a bare channel.
    pub(super) fn start(&mut self, run: u64, cluster: bool, script: &str) {
        let file = self.directory.path().join("worker.js");
        std::fs::write(&file, script).expect("script");
        self.start_file(run, cluster, &file);
    }

    pub(super) fn start_file(&mut self, run: u64, cluster: bool, file: &Path) {
        let (kept, theirs) = UnixStream::pair().expect("pair");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg("exec \"$1\" \"$0\" 3<&0 </dev/null")
            .arg(file)
            .arg(node())
            .stdin(OwnedFd::from(theirs));
        command.current_dir(&self.directory);
        command.env("NODE_CHANNEL_FD", "3").env("NODE_CHANNEL_SERIALIZATION_MODE", "json");
        if cluster {
            command.env("NODE_UNIQUE_ID", run.to_string());
        }
        if let Some(existing) = self.preload {
            let odd = self.directory.path().join("a \"b\" \\c");
            std::fs::create_dir_all(&odd).expect("directory");
            let file = preload::install(&odd).expect("installed");
            command.env("NODE_OPTIONS", preload::node_options(Some(existing), &file));
        }
        let process = command.spawn().expect("sh");
        self.workers.insert(RunId(run), Worker { process, channel: None, kept });
        self.reopen(run);
    }

    pub(super) fn reopen(&mut self, run: u64) {
        let worker = self.workers.get_mut(&RunId(run)).expect("known");
        let end = worker.kept.try_clone().expect("duplicate").into();
        worker.channel = Some(Channel::open(RunId(run), end, self.sender.clone()).expect("open"));
    }

    pub(super) fn send(&self, run: u64, message: ToWorker) {
        self.workers[&RunId(run)].channel.as_ref().expect("open").send(message);
    }

    pub(super) fn disconnect(&mut self, run: u64) {
        self.ports.leave(RunId(run));
        self.send(run, ToWorker::Disconnect);
    }

    pub(super) async fn next(&mut self) -> Delivery {
        tokio::time::timeout(LONG, self.deliveries.recv()).await.expect("in time").expect("open")
    }

    /// One event, handled.
    pub(super) async fn turn(&mut self) -> (u64, FromWorker) {
        let Delivery { run, event, receipt } = self.next().await;
        self.handle(run, &event);
        receipt.sign();
        (run.0, event)
    }

    fn handle(&mut self, run: RunId, event: &FromWorker) {
        match event {
            FromWorker::Query { seq, query } => self.answer(run, *seq, query),
            FromWorker::Closed(key) => {
                if let Some(useless) = self.ports.closed(run, key) {
                    self.sockets.remove(&useless);
                }
            }
            FromWorker::Ended(_) => self.ports.release(run),
            FromWorker::Ready
            | FromWorker::Online
            | FromWorker::Preloaded
            | FromWorker::Listening(_)
            | FromWorker::ExitedAfterDisconnect
            | FromWorker::Message { .. } => {}
        }
    }

    pub(super) fn answer(&mut self, run: RunId, seq: u64, query: &ServerQuery) {
        let seat = Seat(u32::try_from(run.0).expect("small"));
        let asker = Asker { app: &self.app, seat, run, balance: self.balance };
        let got = match self.ports.query(asker, seq, query) {
            Decision::Have(key) => Ok(key),
            Decision::Refuse(errno) => Err(errno),
            Decision::Bind(claim) => bind(&claim.endpoint, claim.balance)
                .map(|Bound { socket, endpoint }| {
                    let key = self.ports.bound(claim, endpoint);
                    self.sockets.insert(key.clone(), Arc::new(socket));
                    key
                })
                .map_err(|error| error.errno),
        };
        let key = got.clone().unwrap_or_else(|_| PortKey::from(String::new()));
        let data = self.ports.data(&key);
        let socket = got.map(|key| self.sockets[&key].clone());
        self.send(run.0, ToWorker::Answer { seq, key, data, socket });
    }

    /// Turns until this run has said something that satisfies `wanted`.
    pub(super) async fn until<T>(&mut self, run: u64, wanted: impl Fn(&FromWorker) -> Option<T>) -> T {
        loop {
            let (from, event) = self.turn().await;
            if from == run
                && let Some(found) = wanted(&event)
            {
                return found;
            }
            assert!(!matches!(event, FromWorker::Ended(_)) || from != run, "run {run} ended");
        }
    }

    pub(super) async fn listening(&mut self, run: u64) -> SocketAddr {
        self.until(run, |event| match event {
            FromWorker::Listening(endpoint) => endpoint.address(),
            _ => None,
        })
        .await
    }

    /// What the script reports by `process.send`.
    pub(super) async fn told(&mut self, run: u64) -> Value {
        self.until(run, |event| match event {
            FromWorker::Message { text, .. } => serde_json::from_str(text).ok(),
            _ => None,
        })
        .await
    }

    /// Until the run has closed its channel and exited by itself.
    pub(super) async fn ended(&mut self, run: u64) -> Option<i32> {
        let ended = self.until(run, |event| match event {
            FromWorker::Ended(ended) => Some(*ended),
            _ => None,
        });
        assert_eq!(ended.await, Ended::Closed);
        let process = &mut self.workers.get_mut(&RunId(run)).expect("known").process;
        let exited = async {
            loop {
                if let Some(status) = process.try_wait().expect("wait") {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LONG, exited).await.expect("in time")
    }

    pub(super) fn pid(&self, run: u64) -> String {
        self.workers[&RunId(run)].process.id().to_string()
    }
}
