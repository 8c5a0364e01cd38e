//! Which flags does `pm2` have, and what does each of them mean here?
//!
//! Facts about PM2 7 only. A flag that describes an app sets a field of a declaration; `config` gives the field its meaning, and
//! says so where it has none yet.

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Without the two dashes.
    pub(super) long: &'static str,
    /// Without its dash.
    pub(super) short: Option<char>,
    /// What may follow.
    pub(super) takes: Takes,
    /// What it is for.
    pub(super) means: Means,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing.
    Nothing,
    /// The next word, whatever it is.
    Value,
    /// The next word if the command has a target without it (PM2 takes it even then: `start --watch app.js`).
    Maybe,
    /// The next word if it is a number.
    MaybeNumber,
    /// The next word if it reads like a format of dates.
    MaybeFormat,
    /// All next words that are numbers.
    Numbers,
}

/// What a flag is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// It sets this field of an app.
    Field(&'static str, Shape),
    /// It says how the command is to be carried out.
    Option(Opt),
    /// It configures what supd does not have; why, for the warning.
    Without(&'static str),
}

/// Which value a field gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The word.
    Text,
    /// The word, as a number if it is one.
    Number,
    /// `true`, or the word if one follows.
    Switch,
    /// `false`.
    Off,
    /// This text.
    Always(&'static str),
    /// One more element of a list.
    Element,
    /// The parts between commas and spaces.
    List,
    /// Whole numbers between commas and spaces.
    Integers,
    /// Seconds, or milliseconds with `ms`.
    Seconds,
}

/// How a command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    Attach,
    AutoExit,
    Delay,
    Env,
    Err,
    Force,
    Format,
    Formatted,
    Help,
    Highlight,
    Ignore,
    Json,
    Lines,
    MiniList,
    NoAutoExit,
    NoColor,
    NoDaemon,
    NoStream,
    Only,
    Out,
    PostExec,
    Raw,
    ShowEnv,
    Silent,
    SilentExec,
    Sort,
    Timestamp,
    UpdateEnv,
    Version,
    Write,
}

const AGENT: &str = "it configures an agent inside of Node processes, which supd does not inject";
const ONLINE: &str = "supd has no online service";
const DOCKER: &str = "supd does not build containers";
const STARTUP: &str = "it belongs to `startup`";

const fn flag(long: &'static str, short: Option<char>, takes: Takes, means: Means) -> Flag {
    Flag { long, short, takes, means }
}

const fn field(long: &'static str, name: &'static str) -> Flag {
    flag(long, None, Takes::Value, Means::Field(name, Shape::Text))
}

const fn number(long: &'static str, name: &'static str) -> Flag {
    flag(long, None, Takes::Value, Means::Field(name, Shape::Number))
}

const fn yes(long: &'static str, name: &'static str) -> Flag {
    flag(long, None, Takes::Nothing, Means::Field(name, Shape::Switch))
}

const fn no(long: &'static str, name: &'static str) -> Flag {
    flag(long, None, Takes::Nothing, Means::Field(name, Shape::Off))
}

const fn option(long: &'static str, short: Option<char>, takes: Takes, option: Opt) -> Flag {
    flag(long, short, takes, Means::Option(option))
}

const fn switch(long: &'static str, option: Opt) -> Flag {
    flag(long, None, Takes::Nothing, Means::Option(option))
}

const fn without(long: &'static str, takes: Takes, why: &'static str) -> Flag {
    flag(long, None, takes, Means::Without(why))
}

const fn short(short: char, flag: Flag) -> Flag {
    Flag { short: Some(short), ..flag }
}

/// Flags that PM2 takes with every command.
pub(super) const EVERYWHERE: &[Flag] = &[
    short('v', switch("version", Opt::Version)),
    // As commander, from which PM2 has it, names it beside `-v`.
    short('V', switch("version", Opt::Version)),
    short('h', switch("help", Opt::Help)),
    short('s', switch("silent", Opt::Silent)),
    short('m', switch("mini-list", Opt::MiniList)),
    short('a', switch("update-env", Opt::UpdateEnv)),
    short('f', switch("force", Opt::Force)),
    short('w', switch("write", Opt::Write)),
    switch("no-color", Opt::NoColor),
    switch("no-daemon", Opt::NoDaemon),
    switch("attach", Opt::Attach),
    option("env", None, Takes::Value, Opt::Env),
    option("only", None, Takes::Value, Opt::Only),
    option("sort", None, Takes::Value, Opt::Sort),
    short('n', field("name", "name")),
    field("interpreter", "interpreter"),
    field("interpreter-args", "node_args"),
    field("node-args", "node_args"),
    short('o', field("output", "out_file")),
    short('e', field("error", "error_file")),
    short('l', flag("log", None, Takes::Maybe, Means::Field("log_file", Shape::Switch))),
    flag("filter-env", None, Takes::Maybe, Means::Field("filter_env", Shape::Element)),
    field("log-type", "log_type"),
    field("log-date-format", "log_date_format"),
    yes("time", "time"),
    yes("disable-logs", "disable_logs"),
    yes("merge-logs", "merge_logs"),
    short('i', number("instances", "instances")),
    yes("shutdown-with-message", "shutdown_with_message"),
    yes("wait-ready", "wait_ready"),
    short('p', field("pid", "pid_file")),
    short('k', number("kill-timeout", "kill_timeout")),
    number("listen-timeout", "listen_timeout"),
    number("max-memory-restart", "max_memory_restart"),
    number("restart-delay", "restart_delay"),
    number("exp-backoff-restart-delay", "exp_backoff_restart_delay"),
    flag("max-restarts", None, Takes::MaybeNumber, Means::Field("max_restarts", Shape::Number)),
    flag("stop-exit-codes", None, Takes::Numbers, Means::Field("stop_exit_codes", Shape::Integers)),
    short(
        'x',
        flag("execute-command", None, Takes::Nothing, Means::Field("exec_mode", Shape::Always("fork"))),
    ),
    short('u', number("user", "uid")),
    number("uid", "uid"),
    number("gid", "gid"),
    field("namespace", "namespace"),
    field("cwd", "cwd"),
    short('c', field("cron", "cron_restart")),
    field("cron-restart", "cron_restart"),
    flag("watch", None, Takes::Maybe, Means::Field("watch", Shape::Element)),
    flag("ignore-watch", None, Takes::Value, Means::Field("ignore_watch", Shape::List)),
    flag("watch-delay", None, Takes::Value, Means::Field("watch_delay", Shape::Seconds)),
    no("no-autostart", "autostart"),
    no("no-autorestart", "autorestart"),
    no("no-treekill", "treekill"),
    yes("source-map-support", "source_map_support"),
    without(
        "disable-source-map-support",
        Takes::Nothing,
        "source maps are off unless --node-args turns them on",
    ),
    without("no-vizion", Takes::Nothing, ""),
    without("no-pmx", Takes::Nothing, ""),
    without("no-automation", Takes::Nothing, ""),
    without("disable-trace", Takes::Nothing, ""),
    without("parallel", Takes::Value, "how many workers move at once is the app's `max_parallel`"),
    without("trace", Takes::Nothing, AGENT),
    without("v8", Takes::Nothing, AGENT),
    without("event-loop-inspector", Takes::Nothing, AGENT),
    without("deep-monitoring", Takes::Nothing, AGENT),
    without("ext", Takes::Value, "name what is to be ignored with --ignore-watch"),
    without("hp", Takes::Value, STARTUP),
    without("wait-ip", Takes::Nothing, STARTUP),
    without("service-name", Takes::Value, STARTUP),
];

/// Of `start`.
pub(super) const START: &[Flag] = &[
    without("fresh", Takes::Nothing, DOCKER),
    without("daemon", Takes::Nothing, DOCKER),
    without("container", Takes::Nothing, DOCKER),
    without("dist", Takes::Nothing, DOCKER),
    without("image-name", Takes::Maybe, DOCKER),
    without("node-version", Takes::MaybeNumber, DOCKER),
    without("dockerdaemon", Takes::Nothing, DOCKER),
];

/// Of `pm2-runtime`.
pub(super) const RUNTIME: &[Flag] = &[
    switch("raw", Opt::Raw),
    switch("formatted", Opt::Formatted),
    switch("format", Opt::Format),
    switch("json", Opt::Json),
    switch("no-auto-exit", Opt::NoAutoExit),
    // It exits by default.
    without("auto-exit", Takes::Nothing, ""),
    option("delay", None, Takes::Value, Opt::Delay),
    without(
        "web",
        Takes::MaybeNumber,
        "there is no web API; `supctl list --json` in the container tells the same",
    ),
    without("secret", Takes::Value, ONLINE),
    without("public", Takes::Value, ONLINE),
    without("machine-name", Takes::Value, ONLINE),
];

/// Of `pm2-dev`.
pub(super) const DEV: &[Flag] = &[
    option("ignore", None, Takes::Value, Opt::Ignore),
    option("post-exec", None, Takes::Value, Opt::PostExec),
    switch("silent-exec", Opt::SilentExec),
    switch("raw", Opt::Raw),
    option("timestamp", None, Takes::MaybeFormat, Opt::Timestamp),
    switch("auto-exit", Opt::AutoExit),
    without("test-mode", Takes::Nothing, "it is for PM2's own tests"),
];

/// Of `jlist` and `prettylist`; not PM2's, which always shows everything.
pub(super) const SHAPES: &[Flag] = &[switch("show-env", Opt::ShowEnv)];

/// Of `logs`.
pub(super) const LOGS: &[Flag] = &[
    switch("json", Opt::Json),
    switch("format", Opt::Format),
    switch("raw", Opt::Raw),
    switch("err", Opt::Err),
    switch("out", Opt::Out),
    option("lines", None, Takes::Value, Opt::Lines),
    option("timestamp", None, Takes::MaybeFormat, Opt::Timestamp),
    switch("nostream", Opt::NoStream),
    option("highlight", None, Takes::Value, Opt::Highlight),
];
