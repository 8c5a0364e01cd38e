//! How a worker is proven, watched, replaced and stopped.
//!
//! Fields that a release has added have a default, so that ledgers of earlier ones keep loading.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Instances, Millis};

/// How a worker is stopped: it drains, then gets the signal, then is killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopPolicy {
    /// First signal, by its name (`SIGINT` for Node apps as PM2 sends it, `SIGTERM` otherwise).
    pub kill_signal: String,
    /// From the first signal to SIGKILL.
    pub kill_timeout: Millis,
    /// `true`: the first signal goes to every process of the worker; `false`: to its main process only. What is
    /// still there after the main process has gone is ended in both cases.
    pub treekill: bool,
    /// Send `"shutdown"` over the IPC channel in place of the first signal.
    pub shutdown_with_message: bool,
    /// How long a worker that can be told to stop accepting (Node's cluster mode) may take to finish what it has
    /// accepted, before the first signal. Without a replacement (`stop`, `restart`) at most `kill_timeout`. 0: it is not told.
    #[serde(default = "StopPolicy::default_drain_timeout")]
    pub drain_timeout: Millis,
    /// Load a few lines into Node cluster workers that close kept-alive connections between two requests while draining.
    #[serde(default = "yes")]
    pub node_preload: bool,
}

impl StopPolicy {
    /// As Kubernetes' `terminationGracePeriodSeconds`.
    pub fn default_drain_timeout() -> Millis {
        Millis(30_000)
    }
}

fn yes() -> bool {
    true
}

/// When a worker counts as up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadyPolicy {
    /// Wait for `"ready"` over the IPC channel or `READY=1` over `NOTIFY_SOCKET`; without it in time, the start has failed.
    pub wait_ready: bool,
    /// How long readiness may take. A Node cluster worker that has not listened by then is taken as ready (PM2's rule),
    /// except in a reload, where [`ReadyPolicy::timeout`] counts.
    pub listen_timeout: Millis,
    /// How long a worker may take to prove that it is ready: with a probe, and in a reload.
    #[serde(default = "ReadyPolicy::default_timeout")]
    pub timeout: Millis,
    /// The proof, in place of any other.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// Until this one has passed no other probe is made; when it fails for good, the start has failed.
    #[serde(default)]
    pub startup: Option<Probe>,
}

impl ReadyPolicy {
    /// Ample for most programs; a reload that waits harms nobody.
    pub fn default_timeout() -> Millis {
        Millis(60_000)
    }
}

/// When a worker that was up counts as broken and is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LivePolicy {
    /// Broken when this one fails for good.
    pub probe: Option<Probe>,
    /// Broken when no `WATCHDOG=1` has come over `NOTIFY_SOCKET` for so long. Passed on as `WATCHDOG_USEC`
    /// (sd_watchdog_enabled(3)).
    pub watchdog: Option<Millis>,
}

/// A repeated check of one worker, with the meaning and the defaults that Kubernetes gives to probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What is checked.
    pub check: Check,
    /// From the start of the process to the first check.
    pub initial_delay: Millis,
    /// From one check to the next.
    pub interval: Millis,
    /// A check that takes longer has failed.
    pub timeout: Millis,
    /// So many in a row must pass; at least 1.
    pub success_threshold: u32,
    /// So many in a row must fail until it counts; at least 1.
    pub failure_threshold: u32,
}

/// One check. Addresses are `8080`, `:8080` or `host:8080`; `${NAME}` stands for a variable of the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// `GET` passes with a status of 200 to 399.
    Http {
        /// Where. `None`: the worker itself. A Node cluster worker is handed a connection of its own; any other is
        /// asked at its first `listen` address or at its `PORT`.
        address: Option<String>,
        /// What, from `/` on.
        path: String,
    },
    /// A connection is accepted.
    Tcp {
        /// Where.
        address: String,
    },
    /// A command, run as the worker would be, returns 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// What an app must have come to before one that depends on it is started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// A process of it was executed.
    Started,
    /// One of its workers is ready.
    #[default]
    Ready,
    /// Each of its workers has ended by itself with code 0.
    Completed,
}

/// How workers are moved to another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadPolicy {
    /// So many replacements may be starting beside the full number of workers; at least 1.
    pub max_surge: u32,
    /// So many workers may be on the move, counting those whose predecessor still drains. `None`: 2 where a worker may
    /// have two processes, else 1.
    pub max_parallel: Option<u32>,
    /// After a reload the new version is on probation for so long: if it falls into a crash loop, the old one comes back.
    pub rollback_window: Millis,
    /// The app binds its port with `SO_REUSEPORT` itself, so a worker may have two processes for a moment.
    pub reuse_port: bool,
}

impl Default for ReloadPolicy {
    fn default() -> Self {
        Self { max_surge: 1, max_parallel: None, rollback_window: Millis(30_000), reuse_port: false }
    }
}

/// How an app scales itself by the load of its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoscalePolicy {
    /// Never fewer workers; at least 1.
    pub min: u32,
    /// Never more. Where that is fewer than `min` on a machine, `min` holds.
    pub max: Instances,
    /// What a worker is to use of one processor in the mean, all its processes together, in percent.
    pub cpu: Option<u32>,
    /// What a worker is to use of memory in the mean, all its processes together, in bytes.
    pub memory: Option<u64>,
    /// Fewer workers only when for so long no more were needed.
    pub stabilization: Millis,
}

impl AutoscalePolicy {
    /// As Kubernetes' `stabilizationWindowSeconds` for `scaleDown`.
    pub const DEFAULT_STABILIZATION: Millis = Millis(300_000);

    /// The most workers on a machine with so many processors.
    pub fn most(&self, processors: u32) -> u32 {
        self.max.on(processors).max(self.min)
    }

    /// The nearest number of workers that is allowed there.
    pub fn clamp(&self, count: u32, processors: u32) -> u32 {
        count.max(self.min).min(self.most(processors))
    }
}

/// When workers are replaced by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CronPolicy {
    /// A cron expression.
    pub expression: String,
    /// A name of the IANA time zone database; `None`: local time of the daemon.
    pub time_zone: Option<String>,
}

/// Whether workers are replaced when files change, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchPolicy {
    /// Whether they are.
    pub enabled: bool,
    /// Files, and directories with all that is in them, absolute; empty: the working directory.
    pub paths: Vec<PathBuf>,
    /// What does not count, beside what never does: patterns of gitignore(5) that begin at the working directory, but one
    /// with `/` at its beginning is an absolute path.
    pub ignore: Vec<String>,
    /// A burst of changes is over when nothing has changed for so long.
    pub delay: Millis,
    /// What `.gitignore` files name does not count either.
    pub gitignore: bool,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        let delay = Self::DEFAULT_DELAY;
        Self { enabled: false, paths: Vec::new(), ignore: Vec::new(), delay, gitignore: false }
    }
}

impl WatchPolicy {
    /// Longer than a tool takes from one file to the next, and short for people.
    pub const DEFAULT_DELAY: Millis = Millis(200);

    /// Whether nothing was said about it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
