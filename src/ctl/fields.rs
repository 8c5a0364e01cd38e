//! Which fields of a declaration do the flags of `supctl start` set?
//!
//! The flags serialise to a document of one app with PM2's field names; `config` gives them their meaning.

use std::convert::Infallible;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

/// Flags that describe a new app. Names of fields are PM2's.
#[derive(Clone, Debug, Default, Serialize, Args)]
#[command(next_help_heading = "For scripts and command lines")]
#[serde(default)]
pub(crate) struct FieldFlags {
    /// Name of the app [default: the script's, without its extension]
    #[arg(short, long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Number of workers: 4, `max` (one per processor) or -1 (one less than that)
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Quantity>,
    /// What runs the script; `none`: the script itself [default: by extension]
    #[arg(long, value_name = "PROGRAM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    interpreter: Option<String>,
    /// Arguments before the script
    #[arg(long, visible_alias = "node-args", value_name = "ARGS", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    node_args: Option<String>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    /// Group of apps it belongs to
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// File for standard output
    #[arg(short, long = "output", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    out_file: Option<String>,
    /// File for standard error
    #[arg(short, long = "error", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    error_file: Option<String>,
    /// File for both, in addition
    #[arg(short, long = "log", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_file: Option<String>,
    /// Begin every line of output with the time
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    time: bool,
    /// Begin every line with the time in this format, as in "YYYY-MM-DD HH:mm:ss Z"
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_date_format: Option<String>,
    /// `json`: make an object of every line
    #[arg(long, value_name = "TYPE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_type: Option<String>,
    /// One log file for all workers
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    merge_logs: bool,
    /// Throw output away
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    disable_logs: bool,
    /// Milliseconds from the stop signal to SIGKILL
    #[arg(short, long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kill_timeout: Option<Quantity>,
    /// Stop signal
    #[arg(long, value_name = "SIGNAL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kill_signal: Option<String>,
    /// Milliseconds until a worker of a cluster must listen, or with --wait-ready be ready
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen_timeout: Option<Quantity>,
    /// Ready means that the app sent "ready"
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    wait_ready: bool,
    /// Stop by the message "shutdown" in place of a signal
    #[arg(long)]
    #[serde(skip_serializing_if = "is_false")]
    shutdown_with_message: bool,
    /// Milliseconds before each restart
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_delay: Option<Quantity>,
    /// First of a series of growing delays before a restart, in milliseconds
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    exp_backoff_restart_delay: Option<Quantity>,
    /// Replace a worker that uses more memory: bytes, or 300M, 1.5G
    #[arg(long, value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_memory_restart: Option<Quantity>,
    /// Give up after so many short lives in a row
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_restarts: Option<Quantity>,
    /// A life shorter than so many milliseconds is short
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_uptime: Option<Quantity>,
    /// Exit codes after which it is not started again; several by commas
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_exit_codes: Vec<Quantity>,
    /// Do not start it again when it ends
    #[arg(long)]
    #[serde(rename = "autorestart", serialize_with = "negated", skip_serializing_if = "is_false")]
    no_autorestart: bool,
    /// Register it without starting it
    #[arg(long)]
    #[serde(rename = "autostart", serialize_with = "negated", skip_serializing_if = "is_false")]
    no_autostart: bool,
    /// Send the stop signal to the main process only
    #[arg(long)]
    #[serde(rename = "treekill", serialize_with = "negated", skip_serializing_if = "is_false")]
    no_treekill: bool,
    /// Replace workers when a file in the working directory changes; or when one of these does, several by commas
    #[arg(long, value_name = "PATHS", num_args = 0..=1, require_equals = true, default_missing_value = ".", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    watch: Vec<String>,
    /// What --watch leaves out, in the patterns of .gitignore; several by commas
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore_watch: Vec<String>,
    /// Milliseconds without a change until workers are replaced
    #[arg(long, value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    watch_delay: Option<Quantity>,
    /// Replace workers at these times: daily, or a cron expression as in "0 3 * * *"
    #[arg(long, value_name = "WHEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cron_restart: Option<String>,
    /// User to run as
    #[arg(short, long, visible_alias = "user", value_name = "USER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Quantity>,
    /// Group to run as
    #[arg(long, value_name = "GROUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<Quantity>,
    /// Address that supd binds and passes on (LISTEN_FDS); several by commas
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    listen: Vec<String>,
    /// `shared` (one queue) or `reuseport` (one per worker)
    #[arg(long, value_name = "HOW")]
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    /// `fork` or `cluster`
    #[arg(long, value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_mode: Option<String>,
    /// The same as --exec-mode fork
    #[arg(short = 'x', long, conflicts_with = "exec_mode")]
    #[serde(rename = "exec_mode", serialize_with = "fork", skip_serializing_if = "is_false")]
    execute_command: bool,
    /// Variable that counts up from worker to worker
    #[arg(long, value_name = "VARIABLE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    increment_var: Option<String>,
    /// Variable that holds the worker's number [default: NODE_APP_INSTANCE]
    #[arg(long, value_name = "VARIABLE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_var: Option<String>,
}

impl FieldFlags {
    /// `--cwd`.
    pub(crate) fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// The fields that were given.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        }
    }
}

/// A number, or a text that stands for one (`max`, `5s`, a user's name).
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
struct Quantity(Value);

impl FromStr for Quantity {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn negated<S: serde::Serializer>(flag: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!flag)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn fork<S: serde::Serializer>(_: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("fork")
}
