//! What happened, as it happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppName, Message};

/// One line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Happening {
    /// Unix time in milliseconds.
    pub at: u64,
    /// What.
    pub kind: HappeningKind,
    /// To which app.
    pub app: AppName,
    /// To which worker; `None`: to the app as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// In words, e.g. `exited with code 1 after 3 s`.
    pub text: String,
    /// How far the reload has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What the worker said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
}

/// How far a reload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// So many workers are where they shall be.
    pub done: u32,
    /// Of so many.
    pub of: u32,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HappeningKind {
    /// A process was started.
    Started,
    /// It is ready.
    Ready,
    /// It ended, or could not be started, unasked.
    Failed,
    /// A run of a job, or one after which nothing follows, has ended with code 0.
    Completed,
    /// A run of a job has ended otherwise, or took too long.
    JobFailed,
    /// A run of a job that was due, or asked for, does not take place: another goes on.
    Skipped,
    /// A run of a job that was due, or asked for, begins when the present one has ended.
    Queued,
    /// It is broken (liveness) and will be replaced.
    Unfit,
    /// It uses more memory than it may and will be replaced.
    Oversize,
    /// It was told to accept nothing more.
    Draining,
    /// It was asked to go.
    Stopping,
    /// It was killed, because it did not go in time.
    Killed,
    /// It has gone as asked.
    Stopped,
    /// The first start waits for another app.
    Held,
    /// The next start waits.
    Waiting,
    /// It is not started again.
    GivenUp,
    /// Its processes are to be replaced, because of a change of its files or by the clock.
    Renewed,
    /// Its load has changed the number of its workers.
    Scaled,
    /// Its load asks for more workers than there can be.
    ScalingHeld,
    /// A reload has begun.
    ReloadBegan,
    /// A reload has come further.
    ReloadMoved,
    /// A reload has ended well.
    ReloadDone,
    /// A reload has failed: the old version stays or comes back.
    ReloadFailed,
    /// A version was taken back after its reload had ended well.
    RolledBack,
    /// A worker said something over its channel. Told only to those who ask for it (`messages=true`), and not remembered.
    Message,
}
