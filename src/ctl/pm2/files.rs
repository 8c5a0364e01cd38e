//! Declaration files as PM2 reads them: paths begin where one stands, the caller's environment lies below the file's.

use serde_json::Map;
use supd_api::{Accepted, AppDeclaration, AppView, Layer, StartApps};

use crate::config::{Dialect, Loaded, Options};
use crate::ctl::args::Selection;
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare};

use super::act::{self, Action};
use super::flags::Opt;
use super::line::Line;
use super::targets::Meant;

/// The caller's surroundings, as PM2 takes them.
pub(super) fn options(line: &Line) -> Options {
    let only = line.value(Opt::Only).unwrap_or_default();
    let selection = Selection {
        only: only.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        env: line.value(Opt::Env).map(str::to_owned),
        ..Selection::default()
    };
    Options { dialect: Dialect::Pm2, ..declare::options(&selection, true) }
}

/// What PM2 takes from the command line where there is a file, too.
const OVER: [&str; 5] = ["cwd", "gid", "namespace", "uid", "watch"];

/// Reads a file, or standard input for `-`. What has no effect is warned of.
pub(super) fn load(target: &str, line: &Line, session: &mut Session) -> Result<Loaded, Failure> {
    let (over, idle): (Map<_, _>, Map<_, _>) =
        line.fields().into_iter().partition(|(name, _)| OVER.contains(&name.as_str()));
    if !idle.is_empty() {
        let names: Vec<&str> = idle.keys().map(String::as_str).collect();
        session.output.warn(&format!("{} not applied: {target} says it all", names.join(", ")));
    }
    accept(declare::load_with(target, &Options { over, ..options(line) }, None), session)
}

/// Warnings are told, problems become a failure.
pub(super) fn accept(
    loaded: Result<Loaded, crate::config::Rejected>,
    session: &mut Session,
) -> Result<Loaded, Failure> {
    let loaded = loaded.map_err(|rejected| declare::fault(&rejected))?;
    for warning in &loaded.warnings {
        session.output.warn(&declare::spell(warning));
    }
    Ok(loaded)
}

/// Starts what is declared, and restarts or reloads what runs. The variables of the shell that started an app stay, unless
/// `--update-env` brings those of this one.
pub(super) async fn apply(
    mut declared: Vec<AppDeclaration>,
    action: Action,
    apps: &[AppView],
    line: &Line,
    session: &mut Session,
) -> Result<(), Failure> {
    let present = |name: &supd_api::AppName| apps.iter().find(|app| app.declaration.name == *name);
    for app in &mut declared {
        match present(&app.name) {
            Some(before) if !line.has(Opt::UpdateEnv) => keep_caller(app, &before.declaration),
            Some(_) | None => {}
        }
    }
    let missing: Vec<&str> =
        declared.iter().filter(|app| present(&app.name).is_none()).map(|app| app.name.as_str()).collect();
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "Application" } else { "Applications" };
        session.output.announce(&format!("{verb} {} not running, starting...", missing.join(", ")))?;
    }
    for app in declared.iter().filter_map(|app| present(&app.name)) {
        act::applying(action, &Meant::app(app), &mut session.output)?;
    }
    let names: Vec<_> = declared.iter().map(|app| app.name.clone()).collect();
    let request =
        StartApps { apps: declared, reload: action == Action::Reload, no_wait: false, timeout: None };
    let accepted: Accepted = session.client.post("/v1/apps", &request).await?;
    for name in names {
        let own = || accepted.workers.iter().filter(|worker| worker.app == name && worker.failure.is_none());
        if present(&name).is_none() && own().next().is_some() {
            let count = own().count();
            let plural = if count == 1 { "instance" } else { "instances" };
            session.output.announce(&format!("App [{name}] launched ({count} {plural})"))?;
        } else {
            for worker in own() {
                session.output.announce(&format!("[{name}]({}) ✓", worker.id))?;
            }
        }
    }
    session.output.flush()?;
    act::faults(&accepted, session).await
}

/// With the layer of the shell that started it.
pub(super) fn keep_caller(app: &mut AppDeclaration, before: &AppDeclaration) {
    let caller = before.environment.layers.iter().find(|layer| layer.layer == Layer::Caller);
    let layers = &mut app.environment.layers;
    let at = layers.iter().position(|layer| layer.layer == Layer::Caller);
    match (at, caller) {
        (Some(at), Some(caller)) => layers[at] = caller.clone(),
        (Some(at), None) => drop(layers.remove(at)),
        (None, Some(caller)) => {
            let base = layers.iter().take_while(|layer| layer.layer == Layer::Base).count();
            layers.insert(base, caller.clone());
        }
        (None, None) => {}
    }
}
