//! The present state in the words of Prometheus and its kin.
//!
//! Question answered here: *how does the state read to them?* Text, made anew for each look from figures that others have gathered; it may not
//! measure, decide, or know where it is served. `packaging/docs/metrics.md` is the list of names for people.
//!
//! Written by hand: everything is known already when somebody looks, while the known crates keep counters of their own and write OpenMetrics
//! only, which `promtool` and older scrapers do not read.

mod families;
#[cfg(test)]
mod tests;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use supd_api::{AppName, AutoscaleView, ExecMode, PressureView, WorkerView};

pub use families::page;
pub use text::Form;

/// Everything that is told.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Version of the running supervisor.
    pub version: String,
    /// Since the keeper started.
    pub uptime: Duration,
    /// How often the supervisor was started again since then.
    pub supervisor_restarts: u32,
    /// Our own processes.
    pub own: Vec<Own>,
    /// By name.
    pub apps: Vec<App>,
    /// By app and instance.
    pub workers: Vec<Worker>,
}

/// A process of the daemon.
#[derive(Clone, Debug)]
pub struct Own {
    /// `keeper` or `supervisor`.
    pub name: &'static str,
    /// Its process id.
    pub pid: i32,
    /// Processor time it has used.
    pub cpu_time: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Open descriptors; `None`: not known.
    pub open_files: Option<u64>,
}

/// An app.
#[derive(Clone, Debug)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Its namespace.
    pub namespace: String,
    /// Fork or cluster.
    pub exec_mode: ExecMode,
    /// What it calls its own version.
    pub version: Option<String>,
    /// Number of its declaration's present version.
    pub revision: u64,
    /// So many workers shall run.
    pub wanted: u32,
    /// So many of them are ready.
    pub ready: u32,
    /// How its reloads ended.
    pub reloads: Reloads,
    /// How it scales itself; `None`: it does not.
    pub autoscale: Option<AutoscaleView>,
}

/// How the reloads of an app ended, since the daemon was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloads {
    /// Well.
    pub done: u64,
    /// The old version stayed or came back.
    pub failed: u64,
    /// Well at first, and then the version before was brought back.
    pub rolled_back: u64,
}

/// A worker.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The directory of its control group, where it has one of its own.
    pub cgroup: Option<PathBuf>,
    /// For what its processes wait; `None`: not known.
    pub pressure: Option<PressureView>,
    /// As other clients see it.
    pub view: WorkerView,
    /// Ends that nobody asked for, since the daemon was started.
    pub crashes: u64,
    /// Open descriptors of its main process; `None`: not known.
    pub open_files: Option<u64>,
}
