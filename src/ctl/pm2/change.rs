//! restart and reload with flags: which parts of an app's declaration do they change? The others stay as they are.

use serde_json::{Map, Value, json};
use supd_api::{
    Accepted, AppDeclaration, AppName, AppView, Fault, FaultCode, Instances, Layer, StartApps, Status,
};

use crate::config;
use crate::ctl::Session;
use crate::ctl::output::Failure;

use super::act::{self, Action};
use super::files;
use super::flags::Opt;
use super::line::Line;
use super::targets::Meant;

/// Restarts or reloads an app with what the flags change. `app` has the values of its variables.
pub(super) async fn change(
    action: Action,
    app: &AppView,
    line: &Line,
    session: &mut Session,
) -> Result<Accepted, Failure> {
    let before = &app.declaration;
    let given = line.fields();
    let read = files::accept(config::from_fields(document(before, &given), &files::options(line)), session)?;
    let Some(wanted) = read.apps.first() else {
        return Err(Fault::new(FaultCode::Internal, "a declaration without an app").into());
    };
    let mut after = before.clone();
    // A scale is no part of the declaration, but shall outlive this.
    after.instances = Instances::Count(u32::try_from(app.workers.len()).unwrap_or(u32::MAX));
    // What is stopped is not watched, so `--watch` switches it on.
    if given.contains_key("watch") && app.workers.iter().all(|worker| worker.status == Status::Stopped) {
        after.watch.enabled = false;
    }
    for field in given.keys() {
        take(&mut after, wanted, field, session)?;
    }
    if line.has(Opt::UpdateEnv) {
        let caller = wanted.environment.layers.iter().find(|layer| layer.layer == Layer::Caller);
        after.environment.layers.retain(|layer| layer.layer != Layer::Caller);
        if let Some(caller) = caller {
            after.environment.layers.insert(0, caller.clone());
            after.environment.layers.sort_by_key(|layer| layer.layer != Layer::Base);
        }
    }
    let renamed = (after.name != before.name).then(|| before.name.clone());
    send(action, after, renamed, app, session).await
}

/// What `config` needs to read the flags for this app.
fn document(before: &AppDeclaration, given: &Map<String, Value>) -> Map<String, Value> {
    let interpreter = before.program.interpreter.as_deref().unwrap_or("none");
    let mut document = Map::new();
    for (name, value) in [
        ("name", json!(before.name)),
        ("script", json!(before.program.script)),
        ("interpreter", json!(interpreter)),
        ("cwd", json!(before.cwd)),
    ] {
        document.insert(name.to_owned(), value);
    }
    // PM2: the word `null` takes back what was given before.
    let given = given.iter().filter(|(_, value)| !is_taken_back(value));
    document.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    document
}

fn is_taken_back(value: &Value) -> bool {
    value.as_str() == Some("null")
}

/// Takes one field over.
fn take(
    after: &mut AppDeclaration,
    wanted: &AppDeclaration,
    field: &str,
    session: &mut Session,
) -> Result<(), Fault> {
    match field {
        "name" => after.name = wanted.name.clone(),
        "namespace" => after.namespace.clone_from(&wanted.namespace),
        "args" => after.program.args.clone_from(&wanted.program.args),
        "node_args" => after.program.interpreter_args.clone_from(&wanted.program.interpreter_args),
        "interpreter" => after.program.interpreter.clone_from(&wanted.program.interpreter),
        "cwd" => after.cwd.clone_from(&wanted.cwd),
        "uid" => after.user.clone_from(&wanted.user),
        "gid" => after.group.clone_from(&wanted.group),
        "exec_mode" => after.exec_mode = wanted.exec_mode,
        "autorestart" => after.restart.autorestart = wanted.restart.autorestart,
        "stop_exit_codes" => after.restart.stop_exit_codes.clone_from(&wanted.restart.stop_exit_codes),
        "max_restarts" => after.restart.max_restarts = wanted.restart.max_restarts,
        "restart_delay" => after.restart.restart_delay = wanted.restart.restart_delay,
        "exp_backoff_restart_delay" => {
            after.restart.exp_backoff_restart_delay = wanted.restart.exp_backoff_restart_delay;
        }
        "max_memory_restart" => after.restart.max_memory_restart = wanted.restart.max_memory_restart,
        "kill_timeout" => after.stop.kill_timeout = wanted.stop.kill_timeout,
        "treekill" => after.stop.treekill = wanted.stop.treekill,
        "shutdown_with_message" => after.stop.shutdown_with_message = wanted.stop.shutdown_with_message,
        "wait_ready" => after.ready.wait_ready = wanted.ready.wait_ready,
        "listen_timeout" => {
            after.ready.listen_timeout = wanted.ready.listen_timeout;
            after.ready.timeout = wanted.ready.timeout;
        }
        "out_file" => after.logs.out_file = wanted.logs.out_file.clone(),
        "error_file" => after.logs.error_file = wanted.logs.error_file.clone(),
        "log_file" => after.logs.log_file = wanted.logs.log_file.clone(),
        "merge_logs" => after.logs.merge_logs = wanted.logs.merge_logs,
        "time" | "log_date_format" | "log_type" => after.logs.form = wanted.logs.form.clone(),
        // PM2 switches it over.
        "watch" if wanted.watch.paths.is_empty() => after.watch.enabled = !after.watch.enabled,
        "watch" => {
            after.watch.enabled = true;
            after.watch.paths.clone_from(&wanted.watch.paths);
        }
        "ignore_watch" => after.watch.ignore.clone_from(&wanted.watch.ignore),
        "watch_delay" => after.watch.delay = wanted.watch.delay,
        // PM2 keeps the number of processes; `scale` changes it.
        "instances" => session.output.warn("--instances has no effect here: use `pm2 scale`"),
        "autostart" => after.autostart = wanted.autostart,
        "pid_file" => after.pid_file = wanted.pid_file.clone(),
        // Those that supd has no use for were warned of when they were read.
        "source_map_support" => {}
        "cron_restart" => after.cron.clone_from(&wanted.cron),
        "disable_logs" | "filter_env" => {
            let flag = field.replace('_', "-");
            let text = format!("--{flag} cannot be changed by restart: delete the app and start it anew");
            return Err(Fault::new(FaultCode::Invalid, text));
        }
        _ => return Err(Fault::new(FaultCode::Internal, format!("`{field}` is set by no flag"))),
    }
    Ok(())
}

/// Applies the declaration. Names are identities here: an app that is to be called otherwise is another one, and takes the
/// place of the old one, which comes back if it cannot.
async fn send(
    action: Action,
    after: AppDeclaration,
    renamed: Option<AppName>,
    app: &AppView,
    session: &mut Session,
) -> Result<Accepted, Failure> {
    let request =
        |app: AppDeclaration, reload| StartApps { apps: vec![app], reload, no_wait: false, timeout: None };
    let client = &session.client;
    let Some(old) = renamed else {
        return Ok(client.post("/v1/apps", &request(after, action == Action::Reload)).await?);
    };
    if let Some(taken) = client.workers(&[]).await?.iter().find(|worker| worker.app == after.name) {
        let text = format!("{old} cannot be called {0}: {0} is another app", taken.app);
        return Err(Fault::new(FaultCode::Conflict, text).into());
    }
    let targets = Meant::app(app).targets();
    let _: Accepted = client.post("/v1/workers/delete", &supd_api::TargetRequest { targets }).await?;
    match client.post("/v1/apps", &request(after, false)).await {
        Ok(accepted) => Ok(accepted),
        Err(fault) => {
            let back: Accepted = client.post("/v1/apps", &request(app.declaration.clone(), false)).await?;
            act::report(&back, session).await?;
            Err(fault.into())
        }
    }
}
