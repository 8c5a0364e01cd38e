//! Which command line means what to `supctl`? Parsing only: nothing here looks at files or talks to the daemon.

mod daemon;
mod run;
mod talk;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use supd_api::{Millis, ScaleTo};

pub(crate) use daemon::{
    BootArgs, CheckArgs, CompletionArgs, DaemonCommand, DaemonLogArgs, InitArgs, LinkArgs, StartupArgs,
    UpgradeArgs,
};
pub(crate) use run::RunArgs;
pub(crate) use talk::{AttachArgs, EventArgs, MessageArgs, SendArgs, SignalArgs, TriggerArgs};

use super::commands::dev::{self, DevArgs};
use super::commands::hooks;
use super::commands::runtime::{self, RuntimeArgs};
use super::commands::serve::{self, ServeArgs};
use super::commands::settings;
use super::deploy::{self, DeployArgs};
use super::fields::FieldFlags;
use super::log_args::LogArgs;
use super::migrate::args::MigrateCommand;
use crate::config::{self, Format};

const EXAMPLES: &str = "\
Examples:
  supctl start                      start what ./ecosystem.toml (or ecosystem.config.js, …) declares
  supctl start app.js -i max        one cluster worker per processor
  supctl reload web                 move to the declaration on disk without losing a request
  supctl logs web --err             follow the error output of one app
  supctl list --json                the same table for programs

Targets are names, ids, namespaces, /regex/ on the name, `all`, or a declaration file.";

const HOOK_EXAMPLES: &str = "\
A hook is a setting; packaging/docs/hooks.md has all kinds.

Examples:
  supctl set supd:hook.ops 'slack https://hooks.slack.com/services/…'
  supctl set supd:hook.ops.apps web,api
  supctl hooks test ops";

/// Starts, stops and shows the apps that supd keeps running.
#[derive(Debug, Parser)]
#[command(name = "supctl", version, disable_version_flag = true, after_help = EXAMPLES)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// What concerns every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// Print the version of supctl
    #[arg(short = 'v', short_alias = 'V', long = "version", action = ArgAction::Version)]
    version: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command knows.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Directory of the daemon's state and socket [default: $SUPD_HOME, else ~/.supd]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print JSON on standard output, faults too
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print without colours, also on a terminal
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Print only errors and what was asked for
    #[arg(short, long, global = true)]
    pub(crate) silent: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start what a file declares, a script, a command line, or a stopped app
    #[command(after_help = START_EXAMPLES)]
    Start(Box<StartArgs>),
    /// Stop apps and keep them in the list
    #[command(
        after_help = "Examples:\n  supctl stop web\n  supctl stop 0 3 /^api/\n  supctl stop ecosystem.toml"
    )]
    Stop(ActArgs),
    /// Stop and start apps; a file is applied first
    #[command(after_help = "Examples:\n  supctl restart web\n  supctl restart all\n  \
        supctl restart ecosystem.config.js --only web --env production")]
    Restart(ActArgs),
    /// Replace workers one by one, each old one only after its replacement is ready
    #[command(after_help = RELOAD_EXAMPLES)]
    Reload(ReloadArgs),
    /// Run a job once, now, show its output, and end with its exit code
    #[command(after_help = run::EXAMPLES)]
    Run(RunArgs),
    /// Show what a file would change in what runs, and when each change would act
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(Comparing),
    /// Make apps as a file declares, changing only what differs
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(ApplyArgs),
    /// Return apps to their previous revision, as gently as `reload`
    #[command(after_help = "Examples:\n  supctl rollback web\n  supctl rollback web --timeout 2m")]
    Rollback(RollbackArgs),
    /// Stop apps and forget them
    #[command(visible_alias = "del", after_help = "Examples:\n  supctl delete web\n  supctl delete all")]
    Delete(ActArgs),
    /// Change the number of workers of an app
    #[command(
        after_help = "Examples:\n  supctl scale web 4     exactly four\n  supctl scale web +2    two more\n  \
        supctl scale web -1    one fewer"
    )]
    Scale(ScaleArgs),
    /// Show all workers in a table
    #[command(visible_aliases = ["ls", "l", "ps", "status"])]
    #[command(
        after_help = "Examples:\n  supctl list\n  supctl list --json | jq '.[] | select(.status != \"online\")'"
    )]
    List,
    /// Watch apps, their load and their logs on the terminal, and act on them; `?` shows the keys
    #[command(visible_aliases = ["dash", "dashboard"], alias = "imonit")]
    #[command(after_help = "Examples:\n  supctl monit\n  supctl monit --no-color")]
    Monit,
    /// Print all workers as JSON with PM2's field names, without environment values
    #[command(after_help = "Examples:\n  supctl jlist | jq -r '.[] | [.name, .pm2_env.status] | @tsv'")]
    Jlist,
    /// Show everything about workers
    #[command(visible_aliases = ["show", "info", "desc"])]
    #[command(after_help = "Examples:\n  supctl describe web\n  supctl describe 0")]
    Describe(TargetArgs),
    /// Explain the state of apps: reasons with remedies, the latest crash with its last words, and those before
    #[command(
        after_help = "Examples:\n  supctl why web\n  supctl why all --json | jq '.reasons[] | [.app, .text, .remedy]'"
    )]
    Why(TargetArgs),
    /// Show the last lines of output and follow
    #[command(visible_alias = "log", after_help = LOG_EXAMPLES)]
    Logs(LogArgs),
    /// Show what has happened to apps, and follow
    #[command(after_help = EVENT_EXAMPLES)]
    Events(EventArgs),
    /// Open all log files anew, after logrotate or somebody else has renamed them
    #[command(name = "reload-logs", visible_alias = "reloadLogs")]
    #[command(
        after_help = "Examples:\n  supctl reload-logs     as `postrotate` of logrotate\n  kill -USR2 $(cat ~/.supd/supd.pid)     the same"
    )]
    ReloadLogs,
    /// Empty log files
    #[command(after_help = "Examples:\n  supctl flush web\n  supctl flush           all apps")]
    Flush(OptionalTargets),
    /// Show the environment of a worker and where each variable comes from
    #[command(after_help = "Examples:\n  supctl env 0\n  supctl env web         its first worker")]
    Env(OneTarget),
    /// Print the ids of an app's workers, one a line
    #[command(after_help = "Examples:\n  supctl id web")]
    Id(OneTarget),
    /// Print process ids, one a line, 0 for a worker that is not running
    #[command(after_help = "Examples:\n  supctl pid web\n  kill -USR2 $(supctl pid web)")]
    Pid(OptionalTargets),
    /// Ask the daemon whether it is there, starting it if not
    #[command(after_help = "Examples:\n  supctl ping")]
    Ping,
    /// Send a signal to the main process of workers
    #[command(
        alias = "sendSignal",
        after_help = "Examples:\n  supctl signal SIGUSR2 web\n  supctl signal HUP all"
    )]
    Signal(SignalArgs),
    /// Write a line to the standard input of workers
    #[command(after_help = "Examples:\n  supctl send 0 'reload config'\n  supctl send game 'say hello'")]
    Send(SendArgs),
    /// Show what a worker writes and give it what is typed, until Ctrl-C or the end of input
    #[command(after_help = "Examples:\n  supctl attach 0\n  supctl attach repl")]
    Attach(AttachArgs),
    /// Send a message over the IPC channel of workers; `supctl events` shows what they say
    #[command(after_help = MESSAGE_EXAMPLES)]
    Message(MessageArgs),
    /// Have workers carry out an action that they have announced, and print their replies
    #[command(
        after_help = "Examples:\n  supctl trigger web flush-cache\n  supctl trigger 0 log-level debug\n  \
        supctl describe web               the actions that there are"
    )]
    Trigger(TriggerArgs),
    /// Stop all workers and end the daemon
    #[command(after_help = "Examples:\n  supctl kill            apps come back with the next start of supd")]
    Kill,
    /// What concerns the daemon itself
    #[command(subcommand, after_help = "Examples:\n  supctl daemon logs -f")]
    Daemon(DaemonCommand),
    /// Let a new supd take over from the running one; apps and connections do not notice
    #[command(after_help = UPGRADE_EXAMPLES)]
    Upgrade(UpgradeArgs),
    /// Print the versions of supctl and of the daemon, if one runs
    #[command(after_help = "Examples:\n  supctl version --json")]
    Version,
    /// Check declaration files without starting anything
    #[command(
        after_help = "Examples:\n  supctl check\n  supctl check ecosystem.config.js --env production\n  \
        supctl check --schema > ecosystem.schema.json"
    )]
    Check(CheckArgs),
    /// Write a sample ecosystem.toml
    #[command(visible_alias = "ecosystem", after_help = "Examples:\n  supctl init\n  supctl init ./deploy")]
    Init(InitArgs),
    /// Have the daemon started at boot by systemd, without restarting what runs
    #[command(after_help = STARTUP_EXAMPLES)]
    Startup(StartupArgs),
    /// Undo startup; what runs goes on
    #[command(after_help = "Examples:\n  supctl unstartup\n  sudo supctl unstartup -u deploy")]
    Unstartup(BootArgs),
    /// Check everything that the next boot depends on
    #[command(
        after_help = "Examples:\n  supctl doctor\n  supctl doctor --json | jq -r '.checks[] | select(.outcome == \"failure\") | .remedy'"
    )]
    Doctor,
    /// Run apps in the foreground and end with them, as the main process of a container
    #[command(after_help = runtime::EXAMPLES)]
    Runtime(Box<RuntimeArgs>),
    /// Run apps in the foreground and start them anew when their files change, until Ctrl-C
    #[command(after_help = dev::EXAMPLES)]
    Dev(Box<DevArgs>),
    /// Show the files of a directory to browsers
    #[command(visible_alias = "expose", after_help = serve::EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Bring a version to the hosts of an environment and reload it there, by ssh and git
    #[command(after_help = deploy::EXAMPLES)]
    Deploy(DeployArgs),
    /// Show who is told of trouble, or send a test
    #[command(after_help = HOOK_EXAMPLES)]
    Hooks {
        /// What to do.
        #[command(subcommand)]
        command: Option<hooks::Command>,
    },
    /// Settings of the daemon.
    #[command(flatten)]
    Settings(settings::Command),
    /// Print what a bug report should hold: versions, daemon, workers, doctor's findings, the end of the daemon's log
    #[command(after_help = "Examples:\n  supctl report > report.txt")]
    Report,
    /// Print a completion script for a shell
    #[command(visible_alias = "completion")]
    #[command(
        after_help = "Examples:\n  supctl completions bash > ~/.local/share/bash-completion/completions/supctl\n  \
        supctl completions fish > ~/.config/fish/completions/supctl.fish"
    )]
    Completions(CompletionArgs),
    /// Make links named pm2, pm2-runtime, pm2-dev and pm2-docker, under which supctl takes PM2's command line
    #[command(
        after_help = "Examples:\n  supctl pm2-link                beside supctl\n  supctl pm2-link ~/.local/bin"
    )]
    Pm2Link(LinkArgs),
    /// Take over the apps of another process manager
    #[command(subcommand, after_help = "Examples:\n  supctl migrate pm2")]
    Migrate(MigrateCommand),
}

const START_EXAMPLES: &str = "\
Examples:
  supctl start                              ./ecosystem.toml, ecosystem.config.js, … whichever is first
  supctl start ecosystem.config.js --only web --env production
  supctl start app.js -i max --name web -- --port 8080
  supctl start \"python3 -u worker.py\" --restart-delay 1000
  supctl start ./server --listen 127.0.0.1:8175 -i 4
  supctl start web                          a stopped app
  cat apps.json | supctl start -";

const RELOAD_EXAMPLES: &str = "\
An app that came from a file is moved to what the file says now. If the file cannot be read, or a
replacement does not get ready, the old workers stay and the exit code is not 0.

Examples:
  supctl reload web
  supctl reload ecosystem.toml --only web,api
  supctl reload web --timeout 2m     back to the old version if it takes longer
  supctl reload web --no-wait        return at once; `supctl events web` shows how it goes";

const DIFF_EXAMPLES: &str = "\
The exit code is 0 when nothing differs and 9 when something does. Values of variables are never shown.

Examples:
  supctl diff
  supctl diff ecosystem.config.js --env production
  supctl diff --json | jq '.apps[] | select(.step == \"reload\") | .changes'";

const APPLY_EXAMPLES: &str = "\
What is as declared is not touched. What needs no new processes acts at once; other apps are reloaded, one after the
other, and keep their old workers when that fails. New apps are started; what was stopped stays so.

Examples:
  supctl apply                      ./ecosystem.toml, ecosystem.config.js, … whichever is first
  supctl apply --dry-run            say what would be done
  supctl apply ecosystem.toml --prune
  supctl apply ecosystem.toml --only web,api --timeout 2m";

const EVENT_EXAMPLES: &str = "\
Examples:
  supctl events                     all apps, the last 15, then follow
  supctl events web 3 --nostream    all that is remembered of these
  supctl events --json | jq 'select(.kind == \"rolled_back\")'";

const MESSAGE_EXAMPLES: &str = "\
A worker gets { id, type, topic, data }, in Node by process.on('message').

Examples:
  supctl message web '{\"level\":\"debug\"}'
  supctl message 0 refresh --topic cache";

const DAEMON_LOG_EXAMPLES: &str = "\
Under systemd it is in the journal, and journalctl shows it; otherwise in supd.log and its older files.

Examples:
  supctl daemon logs --lines 100
  supctl daemon logs -f
  supctl daemon logs --json | jq 'select(.level == \"ERROR\")'";

const STARTUP_EXAMPLES: &str = "\
As root: a unit of the machine, which runs supd as root or as the user given with -u. Otherwise: a unit of your own,
which runs from boot on because it lets you linger.

Examples:
  supctl startup                  the apps of this user
  sudo supctl startup -u deploy   the apps of `deploy`, by a unit of the machine
  supctl startup --now            restart the apps if they cannot be taken over as they run";

const UPGRADE_EXAMPLES: &str = "\
The new program first shows that it can read the present state. If it does not get ready, the old one goes on and the
exit code is not 0.

Examples:
  supctl upgrade                  to the supd beside this supctl, after both were installed anew
  supctl upgrade ./target/release/supd";

const LOG_EXAMPLES: &str = "\
Examples:
  supctl logs                     all apps, last 15 lines, then follow
  supctl logs web 3 --lines 100
  supctl logs web --nostream --err --raw
  supctl logs web --since 10m --grep 'timeout|ECONN'
  supctl logs web --previous      how its last run ended";

/// How a declaration file is read.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "For declaration files")]
pub(crate) struct Selection {
    /// Only these apps of the file
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Lay env_NAME over env
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Add the environment of this shell (the default for scripts)
    #[arg(long, overrides_with = "no_inherit_env")]
    pub(crate) inherit_env: bool,
    /// Do not add the environment of this shell (the default for files)
    #[arg(long, overrides_with = "inherit_env")]
    pub(crate) no_inherit_env: bool,
    /// Format of standard input when the target is `-` [default: guessed]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<InputFormat>,
}

impl Selection {
    /// `--inherit-env` or `--no-inherit-env`, whichever came last; otherwise the default.
    pub(crate) fn inherits(&self, default: bool) -> bool {
        self.inherit_env || (default && !self.no_inherit_env)
    }
}

/// `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum InputFormat {
    Toml,
    Json,
    #[value(alias = "yml")]
    Yaml,
}

impl From<InputFormat> for Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Toml => Self::Toml,
            InputFormat::Json => Self::Json,
            InputFormat::Yaml => Self::Yaml,
        }
    }
}

/// `start`.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Declaration file, `-`, script, program, "command line", or a known name, id or namespace
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// How a file is read.
    #[command(flatten)]
    pub(crate) selection: Selection,
    /// What a new app is like.
    #[command(flatten)]
    pub(crate) fields: FieldFlags,
    /// Arguments for the script
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}

/// `stop`, `restart`, `delete`.
#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    /// Names, ids, namespaces, /regex/, `all`, a declaration file, or `-` for one on standard input
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<String>,
    /// How a file is read.
    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// `reload`.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// How long it may take. First, so that it is not listed under what concerns files.
    #[command(flatten)]
    pub(crate) patience: Patience,
    /// What is reloaded.
    #[command(flatten)]
    pub(crate) act: ActArgs,
}

/// `diff`, and what it shares with `apply`.
#[derive(Debug, Args)]
pub(crate) struct Comparing {
    /// Declaration file, or `-` [default: as `supctl start` finds it]
    pub(crate) file: Option<String>,
    /// Apps that came from this file and are no longer in it go too
    #[arg(long, conflicts_with = "only")]
    pub(crate) prune: bool,
    /// How the file is read.
    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// How long each app may take.
    #[command(flatten)]
    pub(crate) patience: Patience,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// What is applied.
    #[command(flatten)]
    pub(crate) comparing: Comparing,
}

/// `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Names, ids, namespaces, /regex/ or `all`; the whole app of a worker is meant
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<String>,
    /// How long it may take.
    #[command(flatten)]
    pub(crate) patience: Patience,
}

/// For how long somebody waits, and for how long the daemon tries.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Patience {
    /// Return when it has begun
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Go back to the version before when it has not ended by then: 10s, 500ms, 2m
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) timeout: Option<Millis>,
}

/// As the fields of a declaration, but with a unit: who types `--timeout 30` hardly means milliseconds.
pub(crate) fn span(text: &str) -> Result<Millis, String> {
    match config::span(text)? {
        Millis(0) => Err("expected more than nothing".to_owned()),
        _ if text.trim().bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("expected a unit: ms, s, m or h, as in 30s".to_owned())
        }
        span => Ok(span),
    }
}

/// One or more targets.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Names, ids, namespaces, /regex/ or `all`
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<String>,
}

/// Any number of targets.
#[derive(Debug, Args)]
pub(crate) struct OptionalTargets {
    /// Names, ids, namespaces, /regex/ or `all` [default: all]
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}

/// Exactly one target.
#[derive(Debug, Args)]
pub(crate) struct OneTarget {
    /// Name or id
    #[arg(value_name = "NAME|ID")]
    pub(crate) target: String,
}

/// `scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The app
    pub(crate) name: String,
    /// `4`: so many; `+2`: so many more; `-1`: so many fewer
    #[arg(value_name = "COUNT", allow_negative_numbers = true)]
    pub(crate) to: ScaleCount,
}

/// [`ScaleTo`] as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScaleCount(pub(crate) ScaleTo);

impl FromStr for ScaleCount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        type Make = fn(u32) -> ScaleTo;
        let (make, digits): (Make, &str) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(more), _) => (ScaleTo::Up, more),
            (None, Some(fewer)) => (ScaleTo::Down, fewer),
            (None, None) => (ScaleTo::Count, text),
        };
        let wrong = "expected a number of workers such as `4`, `+2` or `-1`";
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong);
        }
        digits.parse().map(|count| Self(make(count))).map_err(|_| wrong)
    }
}
