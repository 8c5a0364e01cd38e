//! Which variables a worker gets, and from where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use supd_api::{AppDeclaration, ExecMode, Layer, Secret, Stream, VariableView};
use supd_core::{RunId, RunView, SeatView, Wall};

use crate::cluster::preload;
use crate::home::Home;
use crate::supervisor::runs::launch::channel_number;
use crate::supervisor::runs::paths;
use crate::supervisor::settings::Store;
use crate::supervisor::versions::revision::Revision;

const NODE_OPTIONS: &str = "NODE_OPTIONS";

/// What of a run its environment tells.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The worker's id.
    pub(crate) worker: u32,
    /// Its number within the app.
    pub(crate) instance: u32,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// When its seat was made.
    pub(crate) created: Wall,
    /// The moment of this start.
    pub(crate) now: Wall,
    /// The run.
    pub(crate) run: RunId,
    /// How many sockets it inherits, from descriptor 3 on.
    pub(crate) sockets: usize,
    /// The number of its IPC channel, if it has one.
    pub(crate) channel: Option<i32>,
    /// Where it may speak about itself.
    pub(crate) notify: Option<String>,
    /// What its Node loads first.
    pub(crate) preload: Option<PathBuf>,
}

impl Place {
    /// The place of a command that belongs to a run and has none of its descriptors.
    pub(crate) fn without_descriptors(self) -> Self {
        Self { sockets: 0, channel: None, notify: None, preload: None, ..self }
    }

    /// The place of a run; `None`: of the next one, if it were started now.
    pub(crate) fn new(
        app: &AppDeclaration,
        seat: &SeatView<'_>,
        run: Option<RunView>,
        now: Wall,
        preload: Option<&Path>,
    ) -> Self {
        let sockets = app.listen.len();
        Self {
            worker: seat.worker.0,
            instance: seat.instance,
            restarts: seat.restarts,
            created: seat.created,
            now: run.map_or(now, |run| run.started.wall),
            run: run.map_or(RunId(0), |run| run.run),
            sockets,
            channel: channel_number(app, sockets),
            notify: None,
            preload: preload.filter(|_| loads(app)).map(Path::to_owned),
        }
    }
}

/// Whether workers of this app load the lines that let them drain gently.
fn loads(app: &AppDeclaration) -> bool {
    app.exec_mode == ExecMode::Cluster && app.stop.node_preload
}

/// All variables with the layer that set each, sorted by name. `LISTEN_PID` is missing: the keeper adds it.
pub(crate) fn environment(
    home: &Home,
    settings: &Store,
    revision: &Revision,
    place: &Place,
) -> Vec<VariableView> {
    let app = &revision.declaration;
    let mut all: BTreeMap<String, (Secret, Layer)> = BTreeMap::new();
    let base = std::iter::once(&revision.base).chain(&app.environment.layers);
    for layer in base {
        for (name, value) in &layer.variables {
            all.insert(name.clone(), (value.clone(), layer.layer.clone()));
        }
    }
    for (name, value) in settings.variables(&app.name) {
        all.insert(name.to_owned(), (value.clone(), Layer::Setting));
    }
    // PM2 injects words such as `name` and `status` too; they are there unless the app has its own.
    for (name, value) in told_as_pm2(home, app, place) {
        all.entry(name.to_owned()).or_insert_with(|| (value.into(), Layer::Supd));
    }
    if let Some(name) = &app.environment.increment_var {
        let first =
            all.get(name).and_then(|(value, _)| value.reveal().trim().parse::<i64>().ok()).unwrap_or(0);
        let value = first.saturating_add(i64::from(place.instance)).to_string();
        all.insert(name.clone(), (value.into(), Layer::Supd));
    }
    for (name, value) in own(home, app, place) {
        all.insert(name, (value.into(), Layer::Supd));
    }
    if let Some(file) = &place.preload {
        let given = all.get(NODE_OPTIONS).map(|(value, _)| value.reveal());
        let options = app.program.interpreter_args.iter().map(String::as_str).chain(given);
        if preload::is_welcome(options) {
            let value = preload::node_options(given, file);
            all.insert(NODE_OPTIONS.to_owned(), (value.into(), Layer::Supd));
        }
    }
    all.into_iter().map(|(name, (value, layer))| VariableView { name, value, layer }).collect()
}

/// What identifies the worker; nothing else may set these.
fn own(home: &Home, app: &AppDeclaration, place: &Place) -> Vec<(String, String)> {
    let mut own = vec![
        (app.environment.instance_var.clone(), place.instance.to_string()),
        ("pm_id".to_owned(), place.worker.to_string()),
        ("SUPD_HOME".to_owned(), home.path().display().to_string()),
        ("SUPD_APP".to_owned(), app.name.to_string()),
        ("SUPD_WORKER".to_owned(), place.worker.to_string()),
    ];
    if place.sockets > 0 {
        let names: Vec<String> =
            app.listen.iter().map(|address| address.to_string().replace(':', ".")).collect();
        own.push(("LISTEN_FDS".to_owned(), place.sockets.to_string()));
        own.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
    }
    // sd_notify(3), sd_watchdog_enabled(3).
    if let Some(name) = &place.notify {
        own.push(("NOTIFY_SOCKET".to_owned(), name.clone()));
        let limit = app.live.watchdog.map(|limit| limit.duration().as_micros().to_string());
        own.extend(limit.map(|micros| ("WATCHDOG_USEC".to_owned(), micros)));
    }
    if let Some(number) = place.channel {
        own.push(("NODE_CHANNEL_FD".to_owned(), number.to_string()));
        own.push(("NODE_CHANNEL_SERIALIZATION_MODE".to_owned(), "json".to_owned()));
        if app.exec_mode == ExecMode::Cluster {
            own.push(("NODE_UNIQUE_ID".to_owned(), place.run.to_string()));
        }
    }
    own
}

/// PM2's injected variables (section 7.1 of its behaviour reference), as far as they have a meaning here.
fn told_as_pm2(home: &Home, app: &AppDeclaration, place: &Place) -> Vec<(&'static str, String)> {
    let log = |stream| {
        let file = paths::log_file(home, app, place.worker, stream);
        file.map_or("/dev/null".to_owned(), |path| path.display().to_string())
    };
    let mode = match app.exec_mode {
        ExecMode::Fork => "fork_mode",
        ExecMode::Cluster => "cluster_mode",
    };
    let combined = paths::combined_log_file(home, app, place.worker);
    let combined = combined.map(|path| ("pm_log_path", path.display().to_string()));
    let mut told = vec![
        // As after a shell's `cd`: where a link leads there, it stays in the path.
        ("PWD", app.cwd.display().to_string()),
        ("PM2_HOME", home.path().display().to_string()),
        ("PM2_USAGE", "CLI".to_owned()),
        ("name", app.name.to_string()),
        ("namespace", app.namespace.clone()),
        ("status", "launching".to_owned()),
        ("exec_mode", mode.to_owned()),
        ("exec_interpreter", app.program.interpreter.clone().unwrap_or_else(|| "none".to_owned())),
        ("pm_exec_path", app.program.script.clone()),
        ("pm_cwd", app.cwd.display().to_string()),
        ("pm_out_log_path", log(Stream::Out)),
        ("pm_err_log_path", log(Stream::Err)),
        ("pm_pid_path", paths::pid_file(home, app, place.worker).display().to_string()),
        ("pm_uptime", place.now.0.to_string()),
        ("created_at", place.created.0.to_string()),
        ("restart_time", place.restarts.to_string()),
        ("unique_id", format!("{}-{}", place.created.0, place.run)),
        ("instance_var", app.environment.instance_var.clone()),
        ("autorestart", app.restart.autorestart.to_string()),
        ("autostart", app.autostart.to_string()),
        ("treekill", app.stop.treekill.to_string()),
        ("merge_logs", app.logs.merge_logs.to_string()),
    ];
    told.extend(combined);
    told
}
