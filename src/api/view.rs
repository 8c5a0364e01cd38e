//! The present state, as clients see it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Action, AppDeclaration, AppName, CgroupUse, CgroupView, ExecMode, Layer, Millis, Progress, RotationView,
    Secret,
};

/// A worker's state in PM2's words, and two more for jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Status {
    /// Up and, where readiness is defined, ready.
    #[serde(rename = "online")]
    Online,
    /// Started, not yet ready.
    #[serde(rename = "launching")]
    Launching,
    /// Asked to go, not yet gone.
    #[serde(rename = "stopping")]
    Stopping,
    /// Not running, as wished.
    #[serde(rename = "stopped")]
    Stopped,
    /// Given up, see the reason.
    #[serde(rename = "errored")]
    Errored,
    /// Will be started again, see the reason and the time left.
    #[serde(rename = "waiting restart")]
    Waiting,
    /// A job whose next run is a matter of the clock.
    #[serde(rename = "scheduled")]
    Scheduled,
    /// A job that runs when somebody asks for it.
    #[serde(rename = "idle")]
    Idle,
}

impl Status {
    /// PM2's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Launching => "launching",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Errored => "errored",
            Self::Waiting => "waiting restart",
            Self::Scheduled => "scheduled",
            Self::Idle => "idle",
        }
    }

    /// A word that scripts for PM2 know.
    pub const fn as_pm2(self) -> Self {
        match self {
            Self::Scheduled | Self::Idle => Self::Stopped,
            Self::Online
            | Self::Launching
            | Self::Stopping
            | Self::Stopped
            | Self::Errored
            | Self::Waiting => self,
        }
    }
}

/// One row of `supctl list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerView {
    /// Stable number of the seat (PM2's `pm_id`).
    pub id: u32,
    /// The app.
    pub app: AppName,
    /// The app's namespace.
    pub namespace: String,
    /// Number within the app, from 0 (`NODE_APP_INSTANCE`).
    pub instance: u32,
    /// Fork or cluster.
    pub exec_mode: ExecMode,
    /// The main process; `None` while nothing runs.
    pub pid: Option<i32>,
    /// PM2's word for the state.
    pub status: Status,
    /// Why it is in that state.
    pub reason: String,
    /// What it says about itself (`STATUS=` over `NOTIFY_SOCKET`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What should be known about its app, such as a version that was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// Whether it is replaced when its files change.
    #[serde(default, skip_serializing_if = "Watching::is_off")]
    pub watching: Watching,
    /// Number of the version it runs, or is to run.
    #[serde(default)]
    pub revision: u64,
    /// While waiting, stopping or too large: time left until the restart, the kill or the replacement.
    pub remaining: Option<Millis>,
    /// How long the present process has been up.
    pub uptime: Option<Millis>,
    /// How often it was started again (PM2's `restart_time`).
    pub restarts: u32,
    /// Short lives in a row.
    pub unstable_restarts: u32,
    /// Share of one processor that all its processes had since the previous look, in percent; may exceed 100.
    pub cpu: f64,
    /// Processor time that the processes of the present run have used.
    #[serde(default)]
    pub cpu_time: Millis,
    /// Memory of all its processes in bytes; what they share counts once.
    pub memory: u64,
    /// Name of the user it runs as.
    pub user: String,
    /// Version of the nearest `package.json`, as PM2 shows it.
    pub version: Option<String>,
    /// Unix time in milliseconds when the seat was created.
    pub created_at: u64,
    /// Unix time in milliseconds when the present or last process was started.
    pub started_at: Option<u64>,
    /// How the last process ended.
    pub last_exit: Option<ExitView>,
    /// That one of its processes used more memory than it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_oversize: Option<OversizeView>,
    /// What of it as a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobView>,
    /// File that takes standard output.
    pub out_file: Option<PathBuf>,
    /// File that takes standard error.
    pub error_file: Option<PathBuf>,
    /// File that takes both, in addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<PathBuf>,
    /// What has become of its output.
    #[serde(default)]
    pub logs: LogView,
    /// File that holds the process id while it runs.
    pub pid_file: PathBuf,
    /// What can be triggered in it, as it has announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// What it measures, by name, as it last said (`axm:monitor`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metrics: Map<String, Value>,
    /// Its control group, where it has one of its own. Lists leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupUse>,
}

/// The runs of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Unix time in milliseconds when it is due next; `None`: it is stopped, or not a matter of the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Another run begins when the present one has ended.
    #[serde(default)]
    pub queued: bool,
    /// The last run that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<JobRun>,
    /// How runs ended.
    #[serde(default)]
    pub runs: JobRuns,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRun {
    /// What came of it.
    pub result: JobResult,
    /// How it ended.
    pub exit: Exit,
    /// Unix time in milliseconds of its end.
    pub at: u64,
    /// From its start to its end, or to its time limit.
    pub took: Millis,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobResult {
    /// It ended by itself with code 0.
    Completed,
    /// It ended otherwise.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// It was stopped.
    Stopped,
}

/// How runs ended since the daemon was started; those that were stopped do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRuns {
    /// With code 0.
    pub completed: u64,
    /// Otherwise.
    pub failed: u64,
    /// Because they took too long.
    pub timed_out: u64,
    /// They never began, because another one went on.
    pub skipped: u64,
    /// Unix time in milliseconds when one last ended with code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
}

/// Whether the files of an app are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Watching {
    /// It is not declared.
    #[default]
    Off,
    /// They are while it is to run.
    On,
    /// They are not although they should be, for this reason.
    Failed(String),
}

impl Watching {
    /// Whether nobody asked for it.
    pub fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// What has become of a worker's output, all its processes together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogView {
    /// Standard output.
    pub out: StreamView,
    /// Standard error.
    pub error: StreamView,
    /// Which of its files cannot be written now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<LogTrouble>,
}

/// What has become of one stream, since the daemon was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamView {
    /// Bytes of output that are in its file, or with the sink in place of files.
    pub written: u64,
    /// Lines that were dropped because a file took nothing. A marker in that file tells of them too.
    #[serde(default)]
    pub lost_lines: u64,
    /// The bytes of these lines, and of parts of lines.
    #[serde(default)]
    pub lost_bytes: u64,
    /// Unix time in milliseconds when the first of them was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<u64>,
}

/// A file that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogTrouble {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub text: String,
    /// Unix time in milliseconds.
    pub since: u64,
}

/// One app with its declaration (`supctl describe`). Values of variables are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppView {
    /// As declared; the layers' values are empty here, `GET /v1/workers/{id}/env` has them.
    pub declaration: AppDeclaration,
    /// Number of the declaration's present version.
    pub revision: u64,
    /// Number of the version before it, to which `supctl rollback` returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_revision: Option<u64>,
    /// How its output is rotated.
    #[serde(default)]
    pub rotation: RotationView,
    /// Unix time in milliseconds when its workers are next replaced by the clock, while it is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cron: Option<u64>,
    /// How it scales itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<AutoscaleView>,
    /// How far a reload in progress has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its workers in order of their instance numbers.
    pub workers: Vec<WorkerView>,
}

/// What an app that scales itself has come to; its targets are in the declaration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AutoscaleView {
    /// Never fewer workers.
    pub min: u32,
    /// Never more, on this machine.
    pub max: u32,
    /// So many workers it has.
    pub workers: u32,
    /// Unix time in milliseconds since when; 0: not known.
    pub since: u64,
    /// Percent of one processor that a worker uses in the mean, as last seen; `None`: not known, or it has no target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Bytes of memory that a worker uses in the mean, as last seen; `None`: not known, or it has no target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// So many workers would bring the load to its target, whatever is allowed; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
    /// Why there are not as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started, for this reason.
    NotStarted(String),
    /// It was stopped because it took longer than a run of its job may.
    TimedOut(Millis),
    /// It ended while nobody could look.
    Unknown,
}

/// The end of a process and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitView {
    /// How.
    pub exit: Exit,
    /// In words, e.g. `killed by SIGKILL after 3 s`.
    pub text: String,
    /// Unix time in milliseconds.
    pub at: u64,
}

/// That a worker was found to use more memory than it may, and when. It was replaced, or is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OversizeView {
    /// In words, with both figures.
    pub text: String,
    /// Unix time in milliseconds.
    pub at: u64,
}

/// The environment of one worker, variable by variable (`supctl env`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentView {
    /// The worker.
    pub worker: u32,
    /// Sorted by name.
    pub variables: Vec<VariableView>,
}

/// One variable and the layer that set it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VariableView {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// Which layer set it.
    pub layer: Layer,
}

/// The daemon itself (`GET /v1/daemon`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonView {
    /// Version of the running supervisor.
    pub version: String,
    /// Process id of the keeper, which is the daemon's main process.
    pub keeper_pid: i32,
    /// Process id of the supervisor.
    pub supervisor_pid: i32,
    /// How often the supervisor was started again since the keeper started.
    pub supervisor_restarts: u32,
    /// Since the keeper started.
    pub uptime: Millis,
    /// `SUPD_HOME`.
    pub home: PathBuf,
    /// How many apps it has.
    pub apps: u32,
    /// How many workers.
    pub workers: u32,
    /// Whether workers have control groups of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupView>,
    /// What came of the latest upgrade since the keeper started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_upgrade: Option<UpgradeView>,
}

/// What came of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpgradeView {
    /// Counts the attempts since the keeper started, from 1.
    pub attempt: u32,
    /// The version before.
    pub from: String,
    /// The version that was to take its place.
    pub to: String,
    /// `None`: it does. Otherwise why `from` went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
