//! What a client may ask for, and what it gets back.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppDeclaration, AppName, Exit, Millis, StdoutForm};

/// Body of `POST /v1/apps`: apps that run already are restarted with the new declaration, others are started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartApps {
    /// Complete declarations.
    pub apps: Vec<AppDeclaration>,
    /// `true`: an app that runs already is moved over worker by worker, keeping the old one until the new is ready.
    #[serde(default)]
    pub reload: bool,
    /// Answer when the reload has begun.
    #[serde(default)]
    pub no_wait: bool,
    /// A reload that has not ended by then goes back, as if a replacement had failed.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// What a daemon is told at its start that lives in the foreground and no longer than its apps, as in a container. It travels by
/// standard input, from `supctl runtime` to the `supd` that it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Complete declarations, of different names.
    pub apps: Vec<AppDeclaration>,
    /// End when all of them have ended.
    pub auto_exit: bool,
    /// What lines of apps look like on the daemon's standard streams, where an app does not declare a sink of its own.
    pub lines: StdoutForm,
    /// Keep the files, too, that output goes to by default.
    pub files: bool,
}

/// Body of `POST /v1/workers/reload` and `POST /v1/workers/rollback`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// As in [`TargetRequest::targets`]; the whole app of each worker is concerned.
    pub targets: Vec<String>,
    /// Answer when the reload has begun.
    #[serde(default)]
    pub no_wait: bool,
    /// A reload that has not ended by then goes back, as if a replacement had failed.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// Body of `POST /v1/workers/{start,stop,restart,delete,reset}` and `POST /v1/logs/flush`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetRequest {
    /// App names, worker ids, namespaces, `/regex/` on the name, or `all`.
    pub targets: Vec<String>,
}

/// Body of `POST /v1/workers/signal`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// As in [`TargetRequest::targets`].
    pub targets: Vec<String>,
    /// `SIGUSR2`, `USR2` or `12`. It goes to the main process only.
    pub signal: String,
}

/// Body of `POST /v1/apps/{name}/scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleTo {
    /// Exactly so many workers.
    Count(u32),
    /// So many more.
    Up(u32),
    /// So many fewer.
    Down(u32),
}

/// What came of a request that changes something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// One entry for each worker concerned, in order of their ids.
    pub workers: Vec<WorkerOutcome>,
    /// What did not stop the request but should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Numbers of what is still in progress while this supervisor makes way for another one, which will know the outcome:
    /// `POST /v1/requests`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<u64>,
}

/// Body of `POST /v1/requests`: waits for the outcome of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PendingRequests {
    /// As in [`Accepted::pending`].
    pub requests: Vec<u64>,
}

/// Body of `POST /v1/daemon/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The new `supd`; an absolute path.
    pub binary: PathBuf,
}

/// The new program has been checked, and the change begins. Its outcome is told by `GET /v1/daemon`, in an
/// [`UpgradeView`](crate::UpgradeView) of this number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradeBegun {
    /// Which attempt this is.
    pub attempt: u32,
    /// The version that serves now.
    pub from: String,
    /// The version that is to serve.
    pub to: String,
}

/// What came of it for one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerOutcome {
    /// The worker's id (PM2's `pm_id`).
    pub id: u32,
    /// Its app.
    pub app: AppName,
    /// `None`: done. Otherwise why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How the run of a job ended that was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// Body of `POST /v1/workers/run`: runs jobs once, and answers when they have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// As in [`TargetRequest::targets`]; jobs only.
    pub targets: Vec<String>,
    /// Answer when they have been asked for.
    #[serde(default)]
    pub no_wait: bool,
}
