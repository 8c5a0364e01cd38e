//! The fields of an app as users write them.
//!
//! Question answered here: *which fields are there, what are their types, and what are they called?* This is the
//! only list: the reader, its suggestions and the JSON schema are derived from it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::autoscale::AutoscaleFields;
use super::job_fields::{JobFields, table_or_cron};
use super::probe_fields::{LiveFields, ProbeFields, table_or_check};
use super::value::{
    Account, Balance, Capabilities, Codes, Compress, Count, CpuMax, Cron, Depends, FilterEnv, Flag, Full,
    Instances, Keep, Limit, Listen, LogFile, LogType, Mode, Nice, OomScore, Port, Rlimits, Schedule, Share,
    SignalName, Sink, Size, Span, Stdin, Text, Texts, Threshold, Umask, Variables, WatchOptions,
    WatchedPaths, Words,
};
use super::vocabulary::{NoField, Vocabulary};

/// One app.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "app")]
pub(super) struct AppFields {
    /// What to run: a path, a program found in PATH, or a shell line if it contains a space.
    pub(super) script: Option<Text>,
    /// What the app is called. Default: the file name of the script without its extension.
    pub(super) name: Option<Text>,
    /// Groups apps for commands. Default: `default`.
    pub(super) namespace: Option<Text>,
    /// Working directory, and where relative paths begin. Default: the directory of the declaration file.
    pub(super) cwd: Option<Text>,
    /// Arguments of the script: a list, or a text that is split at spaces outside of quotes.
    pub(super) args: Option<Words>,
    /// What executes the script: a program found in PATH, a path, or `none` for the script itself. Default: by
    /// the extension of the script or its `#!` line.
    pub(super) interpreter: Option<Text>,
    /// Arguments of the interpreter, before the script.
    pub(super) node_args: Option<Words>,
    /// `cluster`: Node workers share the ports they listen on. Default: `fork`; `cluster` for a Node app with
    /// several `instances` and no `listen`.
    pub(super) exec_mode: Option<Mode>,
    /// How many workers: a number, `max` or 0 for one per processor, -2 for two less. Default: 1, or the `min` of `autoscale`.
    pub(super) instances: Option<Instances>,
    /// The number of workers follows their load. `instances` is then how many there are at first. Default: it does not.
    pub(super) autoscale: Option<AutoscaleFields>,
    /// Environment variables.
    pub(super) env: Option<Variables>,
    /// `env_NAME`: variables on top of `env` when `--env NAME` is given.
    #[serde(rename = "env_*")]
    pub(super) env_named: BTreeMap<String, Variables>,
    /// Files of `KEY=VALUE` lines, below `env`.
    pub(super) env_file: Option<Texts>,
    /// Which variables of the caller's environment are left out: `true` for all, a name, or a list of parts of
    /// names.
    pub(super) filter_env: Option<FilterEnv>,
    /// The variable that tells a worker its number, from 0. Default: `NODE_APP_INSTANCE`.
    pub(super) instance_var: Option<Text>,
    /// A variable that counts up from its declared value with the number of the worker.
    pub(super) increment_var: Option<Text>,
    /// Sets `PORT` in the environment.
    pub(super) port: Option<Port>,
    /// User to run as: name or id. Default: the daemon's.
    pub(super) uid: Option<Account>,
    /// Group to run as: name or id. Default: the user's.
    pub(super) gid: Option<Account>,
    /// Permissions that new files of it do not get: octal digits in a text, such as `"027"`. Default: the daemon's.
    pub(super) umask: Option<Umask>,
    /// Its rank for the processor: -20 (first) to 19 (last). Below the daemon's own takes root. Default: the daemon's.
    pub(super) nice: Option<Nice>,
    /// Whom the kernel ends when memory is short: -1000 (never) to 1000 (first). Below the daemon's own takes root. Default: the
    /// daemon's.
    pub(super) oom_score_adj: Option<OomScore>,
    /// Limits of each of its processes, by the names of getrlimit(2) in small letters: `{ nofile = 65536, core = "unlimited" }`; two
    /// limits as `"soft:hard"`. Raising a hard one takes root. Default: the daemon's.
    pub(super) rlimits: Option<Rlimits>,
    /// `true`: none of its programs gets more privileges than it has, `sudo` neither. Default: `false`.
    pub(super) no_new_privs: Option<Flag>,
    /// What of root's privileges it keeps as another user, by the names of capabilities(7): `net_bind_service` for ports below
    /// 1024. Default: none.
    pub(super) capabilities: Option<Capabilities>,
    /// A worker whose processes have more memory together is slowed down by the kernel and replaced: as `max_memory_restart`. Takes a
    /// control group. Default: no bound.
    pub(super) memory_high: Option<Size>,
    /// A worker whose processes want more memory together is killed by the kernel: bytes, or a text such as `512M`. Takes a control
    /// group. Default: no bound.
    pub(super) memory_max: Option<Size>,
    /// How many processors a worker may keep busy: a number such as `1.5`, or a text such as `150%`. Takes a control group. Default: no
    /// bound.
    pub(super) cpu_max: Option<CpuMax>,
    /// A worker's share of processors while all are busy: 1 to 10000. Takes a control group. Default: 100, as all others.
    pub(super) cpu_weight: Option<Share>,
    /// How many processes and threads a worker may have. Takes a control group. Default: no bound.
    pub(super) pids_max: Option<Count>,
    /// A worker's share of disks while they are busy: 1 to 10000. Takes a control group. Default: 100, as all others.
    pub(super) io_weight: Option<Share>,
    /// Sockets that supd binds and passes to every worker as `LISTEN_FDS`: `127.0.0.1:8080`, `:8080`,
    /// `/run/app.sock`.
    pub(super) listen: Option<Listen>,
    /// How workers share a socket: `shared` (one queue) or `reuseport` (one socket each). Default: `shared`.
    pub(super) balance: Option<Balance>,
    /// What workers read from standard input: `pipe`, which `send` and `attach` write to and which never ends, or `null`,
    /// which ends at once. Default: `pipe` in fork mode, `null` in cluster mode.
    pub(super) stdin: Option<Stdin>,
    /// `true`: an IPC channel (`NODE_CHANNEL_FD`) also for what is no Node app. Default: `false`.
    pub(super) ipc: Option<Flag>,
    /// `false`: the app is registered but not started. Default: `true`.
    pub(super) autostart: Option<Flag>,
    /// Apps that come first: one, a list, or a table from name to `started`, `ready` or `completed` (has ended by itself
    /// with code 0). In a list they have to be `ready`.
    pub(super) depends_on: Option<Depends>,
    /// `false`: an exit is final. Default: `true`.
    pub(super) autorestart: Option<Flag>,
    /// Exit codes that are final.
    pub(super) stop_exit_codes: Option<Codes>,
    /// A shorter life counts as unstable. Milliseconds, or a text such as `5s`.
    pub(super) min_uptime: Option<Span>,
    /// So many unstable lives in a row, and the app is given up.
    pub(super) max_restarts: Option<Count>,
    /// Fixed delay before a restart. Milliseconds, or a text such as `5s`.
    pub(super) restart_delay: Option<Span>,
    /// First of a series of growing delays. Milliseconds, or a text such as `100ms`.
    pub(super) exp_backoff_restart_delay: Option<Span>,
    /// A worker whose processes use more memory together is replaced: bytes, or a text such as `300M` or `1.5G`; `false` or 0:
    /// no limit. Default: no limit.
    pub(super) max_memory_restart: Option<Size>,
    /// From the stop signal to SIGKILL. Milliseconds, or a text. Default: 10 s.
    pub(super) kill_timeout: Option<Span>,
    /// The stop signal. Default: `SIGINT` for Node, Bun and Deno, else `SIGTERM`.
    pub(super) kill_signal: Option<SignalName>,
    /// How long a worker of a Node cluster may take to finish what it has accepted, once told to accept no more and
    /// before the stop signal. Milliseconds, or a text. 0: it is not told. Default: 30 s.
    pub(super) drain_timeout: Option<Span>,
    /// `false`: no lines of supd's are loaded into the workers of a Node cluster; they close kept-alive connections
    /// between two requests while draining. Default: `true`.
    pub(super) node_preload: Option<Flag>,
    /// `false`: the stop signal goes to the main process only. Default: `true`.
    pub(super) treekill: Option<Flag>,
    /// Stop by the message `shutdown` on the IPC channel in place of a signal. Default: `false`.
    pub(super) shutdown_with_message: Option<Flag>,
    /// A worker is up once it has sent `ready` on the IPC channel. Default: `false`.
    pub(super) wait_ready: Option<Flag>,
    /// How long a worker of a Node cluster may take until it listens; later it counts as up. With `wait_ready`: as
    /// `ready_timeout`. Milliseconds, or a text. Default: 3 s.
    pub(super) listen_timeout: Option<Span>,
    /// How long a worker may take to prove that it is up, by `ready`, `startup` or `wait_ready`, and in any reload.
    /// Milliseconds, or a text. Default: 60 s, or `listen_timeout` with `wait_ready`; on top of it what `startup` may take.
    pub(super) ready_timeout: Option<Limit>,
    /// A worker is up once this probe passes: a table, a path to GET, or a port to connect to.
    #[schemars(schema_with = "table_or_check::<ProbeFields>")]
    pub(super) ready: Option<ProbeFields>,
    /// No other probe is made until this one has passed; when it fails for good, so has the start. A table, a path to
    /// GET, or a port to connect to.
    #[schemars(schema_with = "table_or_check::<ProbeFields>")]
    pub(super) startup: Option<ProbeFields>,
    /// A worker is replaced when this probe fails for good or its `watchdog` runs out: a table, a path to GET, or a port
    /// to connect to.
    #[schemars(schema_with = "table_or_check::<LiveFields>")]
    pub(super) live: Option<LiveFields>,
    /// How many replacements may be starting beside the full number of workers in a reload. Default: 1.
    pub(super) max_surge: Option<Threshold>,
    /// How many workers may be on the move in a reload, those whose predecessor still drains included. Default: 2, or
    /// `max_surge` if that is more; 1 where a worker can have one process only.
    pub(super) max_parallel: Option<Threshold>,
    /// If the new version falls into a crash loop so soon after a reload, the old one comes back. Milliseconds, or a
    /// text. 0: it does not. Default: 30 s.
    pub(super) rollback_window: Option<Span>,
    /// `true`: the app binds its port with `SO_REUSEPORT` itself, so that a reload may start the new process beside the
    /// old one. Default: `false`.
    pub(super) reuse_port: Option<Flag>,
    /// File for standard output; `NULL` or `/dev/null` for none.
    pub(super) out_file: Option<Text>,
    /// File for standard error; `NULL` or `/dev/null` for none.
    pub(super) error_file: Option<Text>,
    /// File for both, in addition; `true`: `NAME.log` beside the others. Default: none.
    pub(super) log_file: Option<LogFile>,
    /// `true`: all workers write to one file. Default: `true` for an app without `instances` in fork mode.
    pub(super) merge_logs: Option<Flag>,
    /// `true`: every line begins with the time, as `YYYY-MM-DDTHH:mm:ss: `. Default: `false`.
    pub(super) time: Option<Flag>,
    /// Every line begins with the time in this format, a colon and a space. Tokens are those of day.js: `YYYY-MM-DD
    /// HH:mm:ss.SSS Z`, text in `[brackets]`.
    pub(super) log_date_format: Option<Text>,
    /// `json`: a line is an object with `message`, `timestamp`, `type`, `process_id` and `app_name`. Default: `raw`.
    pub(super) log_type: Option<LogType>,
    /// Where output goes beside its files, or in their place when there are none: `journald`, `syslog`, or `stdout`,
    /// `stdout-prefixed`, `stdout-json` for a daemon in the foreground. Default: nowhere.
    pub(super) log_sink: Option<Sink>,
    /// A file is put aside before it gets larger: bytes, or a text such as `10M`; `false`: whatever its size. Default: 10M.
    pub(super) rotate_size: Option<Size>,
    /// When files are put aside: `hourly`, `daily`, `weekly`, or a cron expression in local time. Default: never.
    pub(super) rotate_interval: Option<Schedule>,
    /// How many of each file are kept once put aside; `all`: every one. Default: 30.
    pub(super) keep: Option<Keep>,
    /// For how many days they are kept. Default: for ever.
    pub(super) keep_days: Option<Keep>,
    /// How large all files of the app may be together: bytes, or a text such as `1G`; `false`: no limit. Default: 1G.
    pub(super) max_total: Option<Size>,
    /// How much of the disk stays free: the oldest files that were put aside go first. Bytes, or a text such as `1G`;
    /// `false`: no limit. Default: 256M.
    pub(super) min_free: Option<Size>,
    /// How files that were put aside are packed: `gzip`, `zstd`, or `false`. Default: `false`.
    pub(super) compress: Option<Compress>,
    /// The date in their names, in the tokens of day.js. Default: `YYYY-MM-DD_HH-mm-ss`.
    pub(super) rotate_date_format: Option<Text>,
    /// When the disk is full, say, and the pipe of a worker too: `block`: the worker waits until the file takes its output;
    /// `drop_oldest`: it goes on, and the latest output is kept; `drop_newest`: it goes on, and the first output is kept.
    /// Default: `drop_oldest`.
    pub(super) on_full: Option<Full>,
    /// `true`: no output is kept. Default: `false`.
    pub(super) disable_logs: Option<Flag>,
    /// File that holds the pid of a worker while it runs; the worker's id goes before `.pid`. Default: in supd's home.
    pub(super) pid_file: Option<Text>,
    /// When workers are replaced: `hourly`, `daily`, `weekly`, or a cron expression. Default: never.
    pub(super) cron_restart: Option<Cron>,
    /// The time zone of `cron_restart`, such as `Europe/Berlin`. Default: the local time of the daemon.
    pub(super) cron_time_zone: Option<Text>,
    /// The app runs when it is its time or when asked to, and comes to an end: a table, or its `cron` alone.
    #[schemars(schema_with = "table_or_cron")]
    pub(super) job: Option<JobFields>,
    /// `true`: workers are replaced when a file in the working directory changes; or the files and directories that are watched
    /// in its place. Default: `false`.
    pub(super) watch: Option<WatchedPaths>,
    /// What is not watched, beside what never is: patterns as in `.gitignore`, from the working directory on. `!` at the
    /// beginning takes a pattern back.
    pub(super) ignore_watch: Option<Texts>,
    /// How long nothing may change until workers are replaced. Milliseconds, or a text. Default: 200 ms.
    pub(super) watch_delay: Option<Span>,
    /// `{ gitignore: true }`: what `.gitignore` files name is not watched either. `ignored`: as `ignore_watch`.
    pub(super) watch_options: Option<WatchOptions>,
    /// `true`: with `--env NAME` the app is called `name-NAME`. Default: `false`.
    pub(super) append_env_to_name: Option<Flag>,
}

impl AppFields {
    /// Takes over what was said on top of it, by PM2's rules ([`super::Options::over`]).
    pub(super) fn lie_under(&mut self, over: Option<&Self>) {
        let Some(over) = over else { return };
        self.cwd = over.cwd.clone().or(self.cwd.take());
        self.uid = over.uid.clone().or(self.uid.take());
        self.gid = over.gid.clone().or(self.gid.take());
        self.watch = over.watch.clone().or(self.watch.take());
        self.namespace = self.namespace.take().or(over.namespace.clone());
    }
}

/// The field that holds every `env_NAME` by its `NAME`.
pub(super) const NAMED: &str = "env_*";

/// PM2's other names of the same fields.
const ALIASES: &[(&str, &str)] = &[
    ("exec", "script"),
    ("cmd", "script"),
    ("command", "script"),
    ("exec_interpreter", "interpreter"),
    ("interpreter_args", "node_args"),
    ("user", "uid"),
    ("out", "out_file"),
    ("output", "out_file"),
    ("out_log", "out_file"),
    ("error", "error_file"),
    ("err", "error_file"),
    ("err_file", "error_file"),
    ("err_log", "error_file"),
    ("log", "log_file"),
    ("combine_logs", "merge_logs"),
    ("pid", "pid_file"),
    ("cron", "cron_restart"),
];

const NODE_AGENT: &str = "it configures an agent inside of Node processes, which supd does not inject";
const INTERNAL: &str = "it is for PM2's own use";

/// Fields of PM2 that are accepted and do nothing here, and why.
const INERT: &[(&str, &str)] = &[
    ("post_update", "supd does not pull from git"),
    ("vizion", "supd does not look into git"),
    ("kill_retry_time", "supd is told of exits and does not poll for them"),
    ("force", "it belongs to the command line"),
    ("write", "it belongs to the command line"),
    ("execute_command", "write `exec_mode` with the value `fork`"),
    ("name_prefix", "write the full `name`"),
    ("username", INTERNAL),
    ("install_url", INTERNAL),
    ("km_link", INTERNAL),
    ("pmx_module", INTERNAL),
    ("started_as_module", INTERNAL),
    ("windows_hide", "it is for Windows"),
    ("source_map_support", "pass `--enable-source-maps` in `node_args`"),
    ("disable_source_map_support", "source maps are off unless `node_args` turns them on"),
    ("pmx", NODE_AGENT),
    ("automation", NODE_AGENT),
    ("io", NODE_AGENT),
    ("trace", NODE_AGENT),
    ("disable_trace", NODE_AGENT),
    ("v8", NODE_AGENT),
    ("event_loop_inspector", NODE_AGENT),
    ("deep_monitoring", NODE_AGENT),
];

/// Words of Kubernetes, whose probes these fields follow.
const FOREIGN: &[(&str, &str)] = &[
    ("readiness_probe", "Kubernetes' `readinessProbe` is `ready` here"),
    ("readiness", "write `ready`"),
    ("liveness_probe", "Kubernetes' `livenessProbe` is `live` here"),
    ("liveness", "write `live`"),
    ("startup_probe", "Kubernetes' `startupProbe` is `startup` here"),
    (
        "termination_grace_period_seconds",
        "write `kill_timeout`, and seconds as in `\"5s\"`: a bare number means milliseconds",
    ),
];

static APP: LazyLock<Vocabulary> = LazyLock::new(|| Vocabulary {
    aliases: ALIASES,
    inert: INERT,
    foreign: FOREIGN,
    ..Vocabulary::of::<AppFields>()
});

/// The names of the fields of an app.
pub(super) fn vocabulary() -> &'static Vocabulary {
    &APP
}

/// The `NAME` of a key `env_NAME` that is no field of another name.
pub(super) fn env_name(key: &str) -> Option<&str> {
    let name = key.strip_prefix("env_").filter(|name| !name.is_empty())?;
    match APP.field(key) {
        Ok(_) | Err(NoField::Inert(_) | NoField::Foreign(_)) => None,
        Err(NoField::Unknown(_)) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_alias_is_known_in_both_cases() {
        assert!(APP.names().count() > 40);
        for alias in ["exec", "cmd", "command"] {
            assert_eq!(APP.field(alias), Ok("script"));
        }
        for (key, field) in [
            ("maxRestarts", "max_restarts"),
            ("execInterpreter", "interpreter"),
            ("interpreterArgs", "node_args"),
            ("expBackoffRestartDelay", "exp_backoff_restart_delay"),
            ("user", "uid"),
            ("errorFile", "error_file"),
            ("envFile", "env_file"),
            ("combineLogs", "merge_logs"),
            ("readyTimeout", "ready_timeout"),
            ("rollbackWindow", "rollback_window"),
        ] {
            assert_eq!(APP.field(key), Ok(field));
        }
        for (_, field) in ALIASES {
            assert!(APP.names().any(|name| name == *field), "{field}");
        }
        for (inert, _) in INERT {
            assert!(matches!(APP.field(inert), Err(NoField::Inert(_))), "{inert}");
        }
        for (foreign, _) in FOREIGN {
            assert!(matches!(APP.field(foreign), Err(NoField::Foreign(_))), "{foreign}");
        }
        assert!(matches!(APP.field("windowsHide"), Err(NoField::Inert(_))));
    }

    #[test]
    fn named_environments_and_typos() {
        assert_eq!(env_name("env_production"), Some("production"));
        assert_eq!(env_name("env_Prod-EU"), Some("Prod-EU"));
        assert_eq!((env_name("env_"), env_name("env_file"), env_name("env_*")), (None, None, Some("*")));
        assert_eq!(APP.field("max_restart"), Err(NoField::Unknown(Some("max_restarts"))));
        assert_eq!(APP.field("colour"), Err(NoField::Unknown(None)));
        assert_eq!(APP.field("env_"), Err(NoField::Unknown(Some("env"))));
    }
}
