//! From the fields of one app to its declaration.
//!
//! Question answered here: *what do the fields mean together, with every default filled in?* It looks at the file
//! system and the caller's environment, and starts nothing.

use std::path::PathBuf;

use supd_api::{
    AppDeclaration, AppName, Balance, CgroupPolicy, CronPolicy, Environment, EnvironmentLayer, ExecMode,
    Layer, ListenAddress, Millis, ProcessPolicy, Program, ReloadPolicy, RestartPolicy, Secret, Source, Stdin,
    StopPolicy,
};

use super::paths::{self, Places};
use super::problem::{Report, shown};
use super::read::App;
use super::value::{Cron, Flag, Listen, Span, Text};
use super::{
    Dialect, Options, advice, autoscale, environment, fields, job_fields, logs, probes, program, serve,
    validate, watch,
};

/// From the stop signal to SIGKILL. PM2's 1.6 s cut requests short; Docker and Kubernetes grant 10 s and more.
const KILL_TIMEOUT: Millis = Millis(10_000);
/// Where there is no PATH at all: what execvp(3) takes.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What the apps of one document have in common.
#[derive(Clone, Debug)]
pub(super) struct Ground<'a> {
    /// Where relative paths begin.
    pub(super) base: PathBuf,
    /// The declaration file.
    pub(super) file: Option<PathBuf>,
    /// What the caller asked for.
    pub(super) options: &'a Options,
}

/// The name of the app: its own, or PM2's default; with `append_env_to_name` that of the chosen environment at its end.
pub(super) fn name(app: &App, options: &Options, report: &mut Report) -> Option<AppName> {
    let (field, name) = match (&app.fields.name, &app.fields.script) {
        (Some(Text(name)), _) => ("name", name.as_str()),
        (None, Some(Text(script))) if app.is_sound(&["name"]) && !script.trim().is_empty() => {
            ("script", program::default_name(script.trim()))
        }
        (None, _) => return None,
    };
    let env_name = options.env_name.as_ref().filter(|_| flag(&app.fields.append_env_to_name, false));
    let name = env_name.map_or_else(|| name.to_owned(), |env_name| format!("{name}-{env_name}"));
    match AppName::new(name) {
        Ok(name) => Some(name),
        Err(error) => {
            let hint = (field == "script").then(|| "the script gives the name; write `name`".to_owned());
            report.problem(&app.at(field), error.to_string(), hint);
            None
        }
    }
}

/// What the document calls the app.
pub(super) fn declared_name(app: &App) -> Option<String> {
    let script = || text(&app.fields.script).map(|script| program::default_name(script.trim()).to_owned());
    text(&app.fields.name).or_else(script)
}

/// What is found by the caller's `PATH` now must be found at each start, also by a daemon that boots with another one
/// (a version manager's `node`).
fn base(program: &Program, options: &Options) -> EnvironmentLayer {
    let path = options.caller.get("PATH").map(|path| ("PATH".to_owned(), path.clone()));
    // As PM2 does: otherwise output appears only once a buffer of Python's has filled.
    let unbuffered = program::is_python(program.interpreter.as_deref())
        .then(|| ("PYTHONUNBUFFERED".to_owned(), Secret::from("1")));
    EnvironmentLayer { layer: Layer::Base, variables: path.into_iter().chain(unbuffered).collect() }
}

/// The declaration, or nothing when something has been reported.
pub(super) fn app(
    app: &App,
    name: Option<AppName>,
    ground: &Ground,
    report: &mut Report,
) -> Option<AppDeclaration> {
    let places = places(app, ground, report)?;
    let mut environment = environment::layers(app, &places, ground.options, report);
    let places = match environment::lookup(&environment, "PATH") {
        Some(path) => Places { path: path.reveal().to_owned(), ..places },
        None => places,
    };
    let logs = logs::logs(app, &places, report);
    let ready = probes::ready(app, &places, report);
    let live = probes::live(app, &places, report);
    if !app.is_sound(&["script", "interpreter"]) {
        return None;
    }
    let fields = &app.fields;
    let (program, listen) = program_and_sockets(app, &places, &environment, ground, report)?;
    environment.layers.insert(0, base(&program, ground.options));
    let exec_mode = exec_mode(app, program.interpreter.as_deref());
    let declaration = AppDeclaration {
        name: name?,
        namespace: text(&fields.namespace).unwrap_or_else(|| "default".to_owned()),
        source: source(ground),
        cwd: places.cwd.clone(),
        user: fields.uid.as_ref().map(|account| account.0.clone()),
        group: fields.gid.as_ref().map(|account| account.0.clone()),
        process: process(app),
        cgroup: cgroup(app),
        exec_mode,
        instances: autoscale::instances(app),
        autoscale: autoscale::autoscale(app),
        environment,
        listen,
        balance: fields.balance.as_ref().map_or(Balance::default(), |balance| balance.0),
        stdin: fields.stdin.as_ref().map_or(stdin(app, exec_mode), |stdin| stdin.0),
        ipc: flag(&fields.ipc, false),
        autostart: flag(&fields.autostart, true),
        depends_on: fields.depends_on.as_ref().map(|depends| depends.0.clone()).unwrap_or_default(),
        restart: restart(app),
        stop: stop(app, &program),
        ready,
        live,
        reload: reload(app),
        cron: cron(app),
        job: job_fields::job(app, report),
        watch: watch::watch(app, &places, report),
        logs,
        pid_file: fields.pid_file.as_ref().map(|Text(path)| places.absolute(path)),
        program,
    };
    if !check(&declaration, app, report) {
        return None;
    }
    advice::give(app, &declaration, report);
    Some(declaration)
}

/// What is executed, and the sockets it is given: those of a file server are its own.
fn program_and_sockets(
    app: &App,
    places: &Places,
    environment: &Environment,
    ground: &Ground,
    report: &mut Report,
) -> Option<(Program, Vec<ListenAddress>)> {
    if serve::is_server(app) {
        let server = serve::server(app, places, environment, ground.options, report)?;
        return Some((server.program, vec![server.listen]));
    }
    let listen = app.fields.listen.as_ref().map(|Listen(listen)| listen.clone()).unwrap_or_default();
    Some((program::resolve(app, places, report)?, listen))
}

/// Reports what [`validate()`] finds. A field that has been reported counts as not given, so that only conclusions
/// from several fields must be held back.
fn check(declaration: &AppDeclaration, app: &App, report: &mut Report) -> bool {
    let problems = validate::validate(declaration);
    for problem in problems.iter().filter(|problem| app.is_sound(premises(&problem.path))) {
        report.problem(&app.at(&problem.path), problem.message.clone(), problem.hint.clone());
    }
    problems.is_empty() && app.is_all_sound()
}

/// The other fields on which a problem with that field may rest.
fn premises(field: &str) -> &'static [&'static str] {
    const VARIABLES: &[&str] =
        &["env", fields::NAMED, "env_file", "port", "increment_var", "listen", "exec_mode"];
    match field {
        "exec_mode" | "reuse_port" => &["exec_mode", "listen", "reuse_port"],
        "ready.http" | "ready.tcp" | "startup.http" | "startup.tcp" | "live.http" | "live.tcp" => VARIABLES,
        _ => &[],
    }
}

fn places(app: &App, ground: &Ground<'_>, report: &mut Report) -> Option<Places> {
    let home = paths::home(ground.options);
    let path = ground.options.caller.get("PATH").map_or(DEFAULT_PATH, Secret::reveal).to_owned();
    if !app.is_sound(&["cwd"]) {
        return None;
    }
    let cwd = match &app.fields.cwd {
        Some(Text(text)) => paths::absolute(&ground.base, home.as_deref(), text),
        None => ground.base.clone(),
    };
    if !cwd.is_dir() {
        report.problem(&app.at("cwd"), format!("no such directory: {}", shown(&cwd.to_string_lossy())), None);
        return None;
    }
    Some(Places { cwd, home, path })
}

fn source(ground: &Ground<'_>) -> Option<Source> {
    let file = ground.file.clone()?;
    let base = match ground.options.dialect {
        Dialect::Supd => None,
        Dialect::Pm2 => Some(ground.base.clone()),
    };
    Some(Source { file, env_name: ground.options.env_name.clone(), base })
}

/// The declared mode; without one, several workers of a Node app are a cluster, unless supd or each of them binds
/// the sockets.
fn exec_mode(app: &App, interpreter: Option<&str>) -> ExecMode {
    let several = autoscale::may_be_several(app);
    let shared_otherwise = app.fields.listen.as_ref().is_some_and(|listen| !listen.0.is_empty())
        || flag(&app.fields.reuse_port, false);
    match &app.fields.exec_mode {
        Some(_) | None if serve::is_server(app) => ExecMode::Fork,
        Some(mode) => mode.0,
        None if several && !shared_otherwise && program::speaks_cluster(interpreter) => ExecMode::Cluster,
        None => ExecMode::Fork,
    }
}

/// As under PM2: programs that leave when their standard input ends (development servers, consoles) stay up in fork mode, and the
/// workers of a cluster find its end at once.
fn stdin(app: &App, mode: ExecMode) -> Stdin {
    match mode {
        // A job that reads its input to the end comes to an end itself.
        ExecMode::Fork if app.fields.job.is_some() => Stdin::Null,
        ExecMode::Fork => Stdin::Pipe,
        ExecMode::Cluster => Stdin::Null,
    }
}

fn process(app: &App) -> ProcessPolicy {
    let fields = &app.fields;
    ProcessPolicy {
        umask: fields.umask.as_ref().map(|mask| mask.0),
        nice: fields.nice.as_ref().map(|nice| nice.0),
        oom_score_adj: fields.oom_score_adj.as_ref().map(|score| score.0),
        rlimits: fields.rlimits.as_ref().map(|limits| limits.0.clone()).unwrap_or_default(),
        no_new_privs: flag(&fields.no_new_privs, false),
        capabilities: fields.capabilities.as_ref().map(|names| names.0.clone()).unwrap_or_default(),
    }
}

fn cgroup(app: &App) -> CgroupPolicy {
    let fields = &app.fields;
    CgroupPolicy {
        memory_high: fields.memory_high.as_ref().and_then(|size| size.0),
        memory_max: fields.memory_max.as_ref().and_then(|size| size.0),
        cpu_max: fields.cpu_max.as_ref().map(|processors| processors.0),
        cpu_weight: fields.cpu_weight.as_ref().map(|share| share.0),
        pids_max: fields.pids_max.as_ref().map(|count| count.0),
        io_weight: fields.io_weight.as_ref().map(|share| share.0),
    }
}

fn restart(app: &App) -> RestartPolicy {
    let fields = &app.fields;
    RestartPolicy {
        autorestart: flag(&fields.autorestart, fields.job.is_none()),
        stop_exit_codes: fields.stop_exit_codes.as_ref().map(|codes| codes.0.clone()).unwrap_or_default(),
        min_uptime: span(&fields.min_uptime),
        max_restarts: fields.max_restarts.as_ref().map(|count| count.0),
        restart_delay: span(&fields.restart_delay),
        exp_backoff_restart_delay: span(&fields.exp_backoff_restart_delay),
        max_memory_restart: fields.max_memory_restart.as_ref().and_then(|size| size.0),
    }
}

fn stop(app: &App, program: &Program) -> StopPolicy {
    let fields = &app.fields;
    // A worker that does not understand the word would only be waited for.
    let drains = !program::is_bun(program.interpreter.as_deref());
    let drain_timeout = if drains { StopPolicy::default_drain_timeout() } else { Millis(0) };
    let default = if program::expects_sigint(program) { "SIGINT" } else { "SIGTERM" };
    StopPolicy {
        kill_signal: fields.kill_signal.as_ref().map_or(default, |signal| &signal.0).to_owned(),
        kill_timeout: span(&fields.kill_timeout).unwrap_or(KILL_TIMEOUT),
        treekill: flag(&fields.treekill, true),
        shutdown_with_message: flag(&fields.shutdown_with_message, false),
        drain_timeout: span(&fields.drain_timeout).unwrap_or(drain_timeout),
        node_preload: flag(&fields.node_preload, true),
    }
}

fn reload(app: &App) -> ReloadPolicy {
    let fields = &app.fields;
    let default = ReloadPolicy::default();
    ReloadPolicy {
        max_surge: fields.max_surge.as_ref().map_or(default.max_surge, |count| count.0),
        max_parallel: fields.max_parallel.as_ref().map(|count| count.0),
        rollback_window: span(&fields.rollback_window).unwrap_or(default.rollback_window),
        reuse_port: flag(&fields.reuse_port, default.reuse_port),
    }
}

fn cron(app: &App) -> Option<CronPolicy> {
    let Cron(expression) = app.fields.cron_restart.as_ref()?;
    let time_zone = text(&app.fields.cron_time_zone).filter(|zone| !zone.is_empty());
    expression.clone().map(|expression| CronPolicy { expression, time_zone })
}

fn text(field: &Option<Text>) -> Option<String> {
    field.as_ref().map(|text| text.0.clone())
}

/// A truth value, or its default.
pub(super) fn flag(field: &Option<Flag>, default: bool) -> bool {
    field.as_ref().map_or(default, |flag| flag.0)
}

/// A span, if given.
pub(super) fn span(field: &Option<Span>) -> Option<Millis> {
    field.as_ref().map(|span| span.0)
}
