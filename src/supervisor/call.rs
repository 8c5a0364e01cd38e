//! What the control API asks of the loop. Each call is answered exactly once.

use supd_api::{Accepted, AppName, AppView, DaemonView, EnvironmentView, Fault, ScaleTo, Stream, WorkerView};
use tokio::sync::oneshot;

use super::revision::Revision;
use crate::logs::Subscription;

/// Where the answer goes. The client may be gone by then.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Fault>>;

/// What to do with workers that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Delete,
}

/// One question or wish.
pub(super) enum Call {
    Daemon(Reply<DaemonView>),
    Workers(Vec<String>, Reply<Vec<WorkerView>>),
    Apps(Vec<String>, Reply<Vec<AppView>>),
    Environment(u32, Reply<EnvironmentView>),
    Apply { revisions: Vec<Revision>, gently: bool, reply: Reply<Accepted> },
    Act(Verb, Vec<String>, Reply<Accepted>),
    Scale(AppName, ScaleTo, Reply<Accepted>),
    Signal { targets: Vec<String>, signal: i32, reply: Reply<Accepted> },
    Flush(Vec<String>, Reply<Accepted>),
    Logs { query: LogQuery, reply: Reply<Subscription> },
    Stop(Reply<Accepted>),
}

/// Which lines a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogQuery {
    pub(super) targets: Vec<String>,
    pub(super) lines: usize,
    pub(super) follow: bool,
    /// `None`: both.
    pub(super) stream: Option<Stream>,
}
