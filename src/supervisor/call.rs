//! What the control API asks of the loop. Each call is answered exactly once.

use std::path::PathBuf;
use std::time::Duration;

use supd_api::{
    Accepted, AppDifference, AppName, AppView, DaemonView, EnvironmentView, Fault, HealthView, HookView,
    InputRequest, MessageRequest, ScaleTo, Settings, Stream, TriggerRequest, Triggered, UpgradeBegun,
    WorkerView,
};
use supd_core::WorkerId;
use tokio::sync::oneshot;

use crate::logs::{Subscription, Wanted};
use crate::metrics::Scene;
use crate::supervisor::report::crashes::Wreckage;
use crate::supervisor::report::events::Follower;
use crate::supervisor::report::health::Question;
use crate::supervisor::settings::Change;
use crate::supervisor::versions::revision::Revision;

/// Where the answer goes. The client may be gone by then.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Fault>>;

/// What to do with workers that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Delete,
}

/// One question or wish.
pub(super) enum Call {
    Daemon(Reply<DaemonView>),
    Scene(Reply<Scene>),
    /// Of these targets; without targets, of all.
    Health(Question, Vec<String>, Reply<HealthView>),
    Workers(Vec<String>, Reply<Vec<WorkerView>>),
    Apps {
        targets: Vec<String>,
        /// With the values of variables.
        values: bool,
        reply: Reply<Vec<AppView>>,
    },
    Environment(u32, Reply<EnvironmentView>),
    Crashes(Vec<String>, Reply<Wreckage>),
    Apply {
        revisions: Vec<Revision>,
        gently: bool,
        pace: Pace,
        reply: Reply<Accepted>,
    },
    /// What these declarations would change, as far as each was accepted.
    Compare(Vec<Accepting>, Reply<Vec<AppDifference>>),
    /// Only what differs.
    ApplyChanges {
        revisions: Vec<Revision>,
        pace: Pace,
        reply: Reply<Accepted>,
    },
    Reload {
        targets: Vec<String>,
        pace: Pace,
        reply: Reply<Accepted>,
    },
    /// A reload or restart, after it was found out where each app's links lead now.
    Found {
        apps: Vec<Found>,
        then: Then,
        reply: Reply<Accepted>,
    },
    Rollback {
        targets: Vec<String>,
        pace: Pace,
        reply: Reply<Accepted>,
    },
    /// Each of these jobs once.
    Run(Vec<String>, Pace, Reply<Accepted>),
    Act(Verb, Vec<String>, Reply<Accepted>),
    Scale(AppName, ScaleTo, Reply<Accepted>),
    /// Counts the restarts of these anew.
    Reset(Vec<String>, Reply<Accepted>),
    /// Watches the files of these no more.
    Unwatch(Vec<String>, Reply<Accepted>),
    Signal {
        targets: Vec<String>,
        signal: i32,
        reply: Reply<Accepted>,
    },
    Input(InputRequest, Reply<Accepted>),
    Message(MessageRequest, Reply<Accepted>),
    Trigger(TriggerRequest, Reply<Triggered>),
    Flush(Vec<String>, Reply<Accepted>),
    Reopen(Reply<Accepted>),
    Hooks(Reply<Vec<HookView>>),
    TestHook(String, Reply<Accepted>),
    Settings(Reply<Settings>),
    ChangeSettings(Change, Reply<Accepted>),
    Events {
        query: EventQuery,
        reply: Reply<Follower>,
    },
    Logs {
        query: LogQuery,
        reply: Reply<Subscription>,
    },
    Stop(Reply<Accepted>),
    /// The new program.
    Upgrade(PathBuf, Reply<UpgradeBegun>),
    /// The outcome of what a predecessor could not answer any more.
    Await(Vec<u64>, Reply<Accepted>),
}

/// An app, and what came of its declaration.
pub(super) type Accepting = (AppName, Result<Revision, Fault>);

/// An app, and its new version if its links lead somewhere else than before.
pub(super) type Found = (supd_core::AppName, Option<Revision>);

/// What is to be done with apps that have been looked at.
pub(super) enum Then {
    /// Move them.
    Reload(Pace),
    /// Restart these workers; those of apps that were looked at are all of them.
    Restart(Vec<WorkerId>),
}

/// How a reload is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Answer when it has begun.
    pub(super) no_wait: bool,
    /// After so long it goes back.
    pub(super) timeout: Option<Duration>,
}

/// Which events a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventQuery {
    pub(super) targets: Vec<String>,
    pub(super) lines: usize,
    pub(super) follow: bool,
    /// What workers say, too.
    pub(super) messages: bool,
}

/// Which lines a reader wants.
#[derive(Clone, Debug)]
pub(super) struct LogQuery {
    pub(super) targets: Vec<String>,
    pub(super) wanted: Wanted,
    /// Of the past, only what this run has written.
    pub(super) run: Option<WhichRun>,
    pub(super) follow: bool,
    /// `None`: both.
    pub(super) stream: Option<Stream>,
}

/// Which run of each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhichRun {
    /// The latest, whether it still goes on or not.
    This,
    /// The latest that has ended.
    Previous,
}
