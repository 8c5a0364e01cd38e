//! Which commands does `pm2` have, and which of them are here?
//!
//! The one place where a command becomes known: a line in [`COMMANDS`], and an arm where [`super::dispatch`] carries it out.

use super::flags::{self, Flag};

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    /// What it may be called; the first is its name.
    pub(super) names: &'static [&'static str],
    /// What may or must follow, as PM2's help spells it.
    pub(super) words: &'static str,
    /// Flags that only this command has.
    pub(super) flags: &'static [Flag],
    /// So many words must follow.
    pub(super) least: usize,
    /// More do not make sense; `None`: any number does.
    pub(super) most: Option<usize>,
    /// What it does.
    pub(super) verb: Verb,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Attach,
    ClearDump,
    Delete,
    Describe,
    Ecosystem,
    Env,
    Examples,
    Flush,
    Id,
    Jlist,
    Kill,
    List,
    Logs,
    Pid,
    Ping,
    Prettylist,
    Reload,
    ReloadLogs,
    Report,
    Reset,
    Restart,
    Resurrect,
    Save,
    Scale,
    Send,
    SendSignal,
    Start,
    StartOrReload,
    StartOrRestart,
    Stop,
    Trigger,
    Update,
    /// PM2 has it, supd has not; and why.
    Missing(&'static str),
}

const MACHINE: &str = "supd shows its apps; figures of the machine are for `top`, `vmstat` and node_exporter";
const SERVICE: &str = "supd has no online service";
const MODULES: &str = "supd has no modules; log rotation is built in";
const PROFILER: &str = "supd itself is no Node process; profile an app with `node --cpu-prof`";
const GIT: &str = "supd does not pull from git";

const fn command(names: &'static [&'static str], words: &'static str, least: usize, verb: Verb) -> Command {
    Command { names, words, flags: &[], least, most: None, verb }
}

const fn plain(names: &'static [&'static str], verb: Verb) -> Command {
    Command { most: Some(0), ..command(names, "", 0, verb) }
}

const fn with(flags: &'static [Flag], command: Command) -> Command {
    Command { flags, ..command }
}

const fn missing(names: &'static [&'static str], why: &'static str) -> Command {
    command(names, "", 0, Verb::Missing(why))
}

const TARGETS: &str = "id|name|namespace|all|json|stdin";

/// All of them.
pub(super) const COMMANDS: &[Command] = &[
    with(flags::START, command(&["start"], "name|namespace|file|ecosystem|id", 0, Verb::Start)),
    command(&["startOrRestart"], "json", 1, Verb::StartOrRestart),
    command(&["startOrReload", "startOrGracefulReload"], "json", 1, Verb::StartOrReload),
    command(&["stop"], TARGETS, 1, Verb::Stop),
    command(&["restart"], TARGETS, 1, Verb::Restart),
    command(&["reload"], "id|name|namespace|all", 1, Verb::Reload),
    command(&["delete", "del"], "name|id|namespace|script|all|json|stdin", 1, Verb::Delete),
    command(&["scale"], "app_name> <number", 2, Verb::Scale),
    command(&["reset"], "name|id|all", 1, Verb::Reset),
    Command { most: Some(2), ..command(&["attach"], "pm_id", 1, Verb::Attach) },
    command(&["send"], "pm_id> <line", 2, Verb::Send),
    Command {
        most: Some(3),
        ..command(&["trigger"], "id|name|namespace|script> <action_name> <params", 2, Verb::Trigger)
    },
    command(&["sendSignal"], "signal> <pm2_id|name", 2, Verb::SendSignal),
    plain(&["kill"], Verb::Kill),
    plain(&["update", "updatePM2"], Verb::Update),
    plain(&["save", "dump"], Verb::Save),
    plain(&["cleardump"], Verb::ClearDump),
    plain(&["resurrect"], Verb::Resurrect),
    plain(&["ping"], Verb::Ping),
    command(&["list", "ls", "l", "ps", "status"], "", 0, Verb::List),
    with(flags::SHAPES, plain(&["jlist"], Verb::Jlist)),
    with(flags::SHAPES, plain(&["prettylist"], Verb::Prettylist)),
    command(&["describe", "desc", "info", "show"], "name|id", 1, Verb::Describe),
    command(&["env"], "id", 1, Verb::Env),
    command(&["id"], "name", 1, Verb::Id),
    command(&["pid"], "", 0, Verb::Pid),
    plain(&["report"], Verb::Report),
    command(&["flush"], "", 0, Verb::Flush),
    plain(&["reloadLogs"], Verb::ReloadLogs),
    with(flags::LOGS, command(&["logs", "log"], "", 0, Verb::Logs)),
    command(&["ecosystem", "init"], "", 0, Verb::Ecosystem),
    plain(&["examples"], Verb::Examples),
    missing(&["slist", "sysinfos"], MACHINE),
    missing(&["logrotate"], "log rotation is built in, see `rotate_size` and `rotate_interval`"),
    missing(&["pull", "forward", "backward"], GIT),
    missing(&["create", "autoinstall"], "`pm2 ecosystem` writes an example"),
    missing(&["deepUpdate"], "install the new supd, then `pm2 update`"),
    missing(&["profile:cpu", "profile:mem", "inspect"], PROFILER),
    missing(
        &["link", "unlink", "monitor", "unmonitor", "open", "plus", "register", "login", "logout"],
        SERVICE,
    ),
    missing(&["install-otel", "uninstall-otel"], "load OpenTelemetry with --node-args"),
    missing(
        &[
            "install",
            "module:install",
            "module:update",
            "module:generate",
            "uninstall",
            "module:uninstall",
            "package",
            "publish",
            "module:publish",
        ],
        MODULES,
    ),
];

/// The command of that name.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.names.contains(&name))
}
