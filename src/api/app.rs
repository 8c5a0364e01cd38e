//! An app as the supervisor takes it: every default filled in, every path absolute.
//!
//! What users write is looser (`config` in the root package turns that into this).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{
    AutoscalePolicy, Condition, CronPolicy, JobPolicy, LivePolicy, ReadyPolicy, ReloadPolicy, StopPolicy,
    WatchPolicy,
};
use crate::{CgroupPolicy, ListenAddress, LogPolicy, Millis, ProcessPolicy};

/// The name of an app; unique within one supervisor. 1 to 128 characters, no control characters, no `/`,
/// not `all` and not made of digits only (those mean something else as a target).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct AppName(String);

/// Why a text cannot name an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot name an app: {reason}", name = .name.escape_debug())]
pub struct BadName {
    name: String,
    reason: &'static str,
}

impl AppName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadName`] says which rule it breaks.
    pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
        let name = name.into();
        let reason = match name.as_str() {
            "" => "it is empty",
            "all" => "`all` means every app",
            "-" => "`-` means standard input",
            n if n.chars().count() > 128 => "it is longer than 128 characters",
            n if n.starts_with('/') || n.split('/').any(|part| matches!(part, "" | "." | "..")) => {
                "it would be a path"
            }
            n if n.chars().any(char::is_control) => "it contains a control character",
            n if n.trim() != n => "it begins or ends with a space",
            n if n.bytes().all(|b| b.is_ascii_digit()) => "only digits would be taken for a worker's id",
            _ => return Ok(Self(name)),
        };
        Err(BadName { name, reason })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

impl TryFrom<String> for AppName {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        Self::new(name)
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

/// A text that must not appear in logs or in `Debug` output: the value of an environment variable.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// One app, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppDeclaration {
    /// What the app is called.
    pub name: AppName,
    /// Groups apps for commands; PM2's default is `default`.
    pub namespace: String,
    /// The declaration file this came from; `None` for an app given on the command line.
    pub source: Option<Source>,
    /// What to execute.
    pub program: Program,
    /// Working directory, absolute. Symbolic links are kept, so that a `current` link is followed anew at each start.
    pub cwd: PathBuf,
    /// User name or numeric id to run as; `None`: the daemon's own.
    pub user: Option<String>,
    /// Group name or numeric id; `None`: the user's primary group.
    pub group: Option<String>,
    /// What its processes may do and how they rank.
    #[serde(default, skip_serializing_if = "ProcessPolicy::is_default")]
    pub process: ProcessPolicy,
    /// What all processes of a worker may use together.
    #[serde(default, skip_serializing_if = "CgroupPolicy::is_default")]
    pub cgroup: CgroupPolicy,
    /// Whether Node workers share listening sockets through Node's cluster protocol.
    pub exec_mode: ExecMode,
    /// How many workers; with `autoscale`, how many it begins with.
    pub instances: Instances,
    /// How it scales itself; `None`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscale: Option<AutoscalePolicy>,
    /// Where each variable comes from.
    pub environment: Environment,
    /// Sockets bound by the supervisor and passed as `LISTEN_FDS` (sd_listen_fds(3)).
    pub listen: Vec<ListenAddress>,
    /// How workers share those sockets and the ones Node cluster workers ask for.
    pub balance: Balance,
    /// What a worker reads from its standard input.
    #[serde(default)]
    pub stdin: Stdin,
    /// An IPC channel also where nothing else asks for one.
    #[serde(default)]
    pub ipc: bool,
    /// `false`: registered, but not started until asked.
    pub autostart: bool,
    /// What must be so before its workers are started for the first time: by app, declared here or elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub depends_on: BTreeMap<AppName, Condition>,
    /// What happens after an exit nobody asked for.
    pub restart: RestartPolicy,
    /// How a worker is stopped.
    pub stop: StopPolicy,
    /// When a worker counts as up.
    pub ready: ReadyPolicy,
    /// When a worker that was up counts as broken.
    #[serde(default)]
    pub live: LivePolicy,
    /// How workers are moved to another version.
    #[serde(default)]
    pub reload: ReloadPolicy,
    /// Whether workers are replaced when files change.
    #[serde(default, skip_serializing_if = "WatchPolicy::is_default")]
    pub watch: WatchPolicy,
    /// When workers are replaced by the clock; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<CronPolicy>,
    /// It is a job: it runs to its end, when it is its time or when asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobPolicy>,
    /// Where output goes.
    pub logs: LogPolicy,
    /// File that holds the pid of a worker while it runs, absolute; its id goes before `.pid`. `None`: one in the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
}

/// The declaration file of an app, so that `reload` can read it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Absolute path.
    pub file: PathBuf,
    /// The `NAME` of `--env NAME`, which chose `env_NAME`.
    pub env_name: Option<String>,
    /// It was read as PM2 reads it: relative paths begin here, where the command was typed. `None`: at its own directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
}

/// What to execute: `interpreter interpreter_args… script args…`, or `script args…` without an interpreter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Absolute path of the script, or a program to look up in the worker's `PATH`.
    pub script: String,
    /// A program to look up in the worker's `PATH`, or a path; `None`: the script is executed itself.
    pub interpreter: Option<String>,
    /// Arguments before the script (PM2's `node_args`).
    pub interpreter_args: Vec<String>,
    /// Arguments after the script.
    pub args: Vec<String>,
}

/// PM2's two modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExecMode {
    /// Each worker on its own; sockets, if any, come from `listen`.
    #[default]
    #[serde(rename = "fork_mode")]
    Fork,
    /// Node's cluster protocol: `server.listen()` of every worker shares one socket.
    #[serde(rename = "cluster_mode")]
    Cluster,
}

/// How many workers an app has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Instances {
    /// That many (1 to [`Instances::LIMIT`]).
    Count(u32),
    /// One per processor less that many, but at least one. `max` and `0` are `AllBut(0)`, `-2` is `AllBut(2)`.
    AllBut(u32),
}

impl Instances {
    /// More workers than this are refused as a mistake.
    pub const LIMIT: u32 = 1000;

    /// The number of workers on a machine with so many processors.
    pub fn on(self, processors: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::AllBut(spare) => processors.saturating_sub(spare).max(1),
        }
    }
}

/// The variables a declaration brings; later layers win over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// In rising precedence.
    pub layers: Vec<EnvironmentLayer>,
    /// Name of the variable that holds a worker's instance number; PM2's default is `NODE_APP_INSTANCE`.
    pub instance_var: String,
    /// Name of a variable that counts up from its declared value with the instance number.
    pub increment_var: Option<String>,
}

/// Variables of one origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentLayer {
    /// Where they come from.
    pub layer: Layer,
    /// Name to value.
    pub variables: BTreeMap<String, Secret>,
}

/// Where a variable comes from, in rising precedence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The clean base every worker gets: `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`, `TZ`.
    Base,
    /// The environment of whoever typed the command (`--inherit-env`, or a script started as with PM2).
    Caller,
    /// `env_file`, by path.
    EnvFile(PathBuf),
    /// `env` of the declaration.
    Env,
    /// `env_NAME`, by that name.
    EnvNamed(String),
    /// `supctl set APP:NAME VALUE`, whatever the declaration says.
    Setting,
    /// Set by supd for each worker: the instance number, PM2's variables, `LISTEN_FDS`, …
    Supd,
}

/// How several workers share one listening socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One accept queue: an idle worker takes the next connection. The best tail when some requests are slow.
    #[default]
    Shared,
    /// One `SO_REUSEPORT` socket per worker, kept by supd: connections are spread evenly.
    Reuseport,
}

/// What a worker reads from its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`: its end, at once. What an app has whose declaration was written down before there was a choice.
    #[default]
    Null,
    /// What `send` and `attach` write; it never comes to an end.
    Pipe,
}

/// What happens after an exit nobody asked for.
///
/// When none of `min_uptime`, `max_restarts`, `restart_delay` and `exp_backoff_restart_delay` is given: at once
/// after a healthy run, then 1, 2, 4 … 60 s with jitter, for ever. When one is given, PM2's rules with PM2's
/// defaults for the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartPolicy {
    /// `false`: an exit ends it.
    pub autorestart: bool,
    /// Exit codes that end it. Death by a signal is never an exit code.
    pub stop_exit_codes: Vec<i32>,
    /// A shorter life is unstable. PM2's default: 1000.
    pub min_uptime: Option<Millis>,
    /// So many unstable lives in a row make the worker `errored`. PM2's default: 16.
    pub max_restarts: Option<u32>,
    /// Fixed delay before each restart.
    pub restart_delay: Option<Millis>,
    /// First delay of a series that grows by half up to 15 s.
    pub exp_backoff_restart_delay: Option<Millis>,
    /// A worker that uses more memory than so many bytes, all its processes together, is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_restart: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["web", "my app:x", "é", "1a", "a.b-c_d", "@org/api", "a/b/c"] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "all",
            "12",
            "..",
            "/a",
            "a/",
            "/a/",
            "a//b",
            "../a",
            "a/./b",
            "a\nb",
            "a\0",
            " a",
            "-",
            &"x".repeat(129),
        ] {
            assert!(AppName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        let layer = EnvironmentLayer {
            layer: Layer::Env,
            variables: BTreeMap::from([("TOKEN".to_owned(), Secret::from("hunter2"))]),
        };
        assert!(!format!("{layer:?}").contains("hunter2"));
    }

    #[test]
    fn instances_on_a_machine() {
        assert_eq!(Instances::AllBut(0).on(8), 8);
        assert_eq!(Instances::AllBut(2).on(8), 6);
        assert_eq!(Instances::AllBut(9).on(8), 1);
        assert_eq!(Instances::Count(3).on(8), 3);
    }
}
