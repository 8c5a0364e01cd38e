//! What does a script that parses `pm2 jlist` find? PM2's field names in PM2's order, filled from our own views.
//!
//! Values of environment variables are withheld unless asked for: PM2 prints every secret of the starting shell here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use supd_api::{AppDeclaration, AppView, Exit, Layer, Secret, Status, VariableView, WorkerView};

use crate::{config, resolve};

/// Variables that scripts look for and that are no secrets.
const HARMLESS: [&str; 2] = ["NODE_ENV", "PORT"];

/// Which variables are shown.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Of those that are declared, those that are no secrets.
    Harmless,
    /// All that are declared.
    Declared,
    /// What these workers see, by id, but not what every worker is told.
    Seen(BTreeMap<u32, Vec<VariableView>>),
}

/// One element for each worker, by id.
pub(crate) fn jlist(apps: &[AppView], shown: &Shown) -> Vec<Value> {
    let mut seats: Vec<(&AppDeclaration, &WorkerView)> = apps
        .iter()
        .flat_map(|app| app.workers.iter().map(move |worker| (&app.declaration, worker)))
        .collect();
    seats.sort_by_key(|(_, worker)| worker.id);
    seats.into_iter().map(|(app, worker)| element(app, worker, shown)).collect()
}

fn element(app: &AppDeclaration, worker: &WorkerView, shown: &Shown) -> Value {
    json!({
        "pid": worker.pid.unwrap_or(0),
        "name": worker.app,
        "pm2_env": environment(app, worker, shown),
        "pm_id": worker.id,
        "monit": { "memory": worker.memory, "cpu": percent(worker.cpu) },
    })
}

/// With one digit after the point, and without one where it would be 0.
fn percent(share: f64) -> Value {
    let tenths = (share * 10.0).round();
    if tenths % 10.0 == 0.0 { json!((tenths / 10.0) as u64) } else { json!(tenths / 10.0) }
}

/// What PM2 calls `pm2_env`: the app, its present state, and its variables once more.
fn environment(app: &AppDeclaration, worker: &WorkerView, shown: &Shown) -> Value {
    let name = worker.app.as_str();
    let variables = variables(app, worker, shown);
    let mut fields = Map::new();
    let mut put = |part: Value| {
        if let Value::Object(part) = part {
            fields.extend(part);
        }
    };
    let mut env: Map<String, Value> = variables.clone().into_iter().collect();
    env.insert(name.to_owned(), json!({}));
    let unique = format!("{}-{}", worker.created_at, worker.started_at.unwrap_or_default());
    env.insert("unique_id".to_owned(), json!(unique));
    put(json!({ "name": name, "filter_env": [], "namespace": worker.namespace, "env": env }));
    put(settings(app, worker));
    put(program(app));
    put(files(worker));
    put(json!({ "km_link": false, "vizion_running": false }));
    put(json!({ app.environment.instance_var.as_str(): worker.instance, "unique_id": unique }));
    put(state(worker));
    let agent = if is_node(app) { json!({ "module_name": name }) } else { json!({}) };
    put(
        json!({ "axm_actions": worker.actions, "axm_monitor": worker.metrics, "axm_options": agent, "axm_dynamic": {} }),
    );
    put(counters(worker));
    // What the app calls its variables cannot change what is said about the app.
    for (name, value) in variables {
        fields.entry(name).or_insert(value);
    }
    Value::Object(fields)
}

fn variables(app: &AppDeclaration, worker: &WorkerView, shown: &Shown) -> BTreeMap<String, Value> {
    // Later layers over earlier ones.
    let declared = app.environment.layers.iter().flat_map(|layer| &layer.variables);
    let taken = |(name, value): (&String, &Secret)| (name.clone(), json!(value.reveal()));
    match shown {
        Shown::Harmless => {
            declared.filter(|(name, _)| HARMLESS.contains(&name.as_str())).map(taken).collect()
        }
        Shown::Declared => declared.map(taken).collect(),
        Shown::Seen(seen) => {
            let own = |it: &&VariableView| match it.layer {
                Layer::Base => false,
                Layer::Supd => app.environment.increment_var.as_ref() == Some(&it.name),
                Layer::Caller | Layer::EnvFile(_) | Layer::Env | Layer::EnvNamed(_) | Layer::Setting => true,
            };
            // What is counted up is a number in PM2 too.
            let shown = |it: &VariableView| match (&it.layer, it.value.reveal().parse::<i64>()) {
                (Layer::Supd, Ok(number)) => (it.name.clone(), json!(number)),
                _ => taken((&it.name, &it.value)),
            };
            seen.get(&worker.id).into_iter().flatten().filter(own).map(shown).collect()
        }
    }
}

/// What is watched now: PM2's `true`, or the paths as they were declared, as far as they are in the working directory.
fn watched(app: &AppDeclaration, worker: &WorkerView) -> Value {
    let paths = &app.watch.paths;
    if !app.watch.enabled || worker.status == Status::Stopped || paths.is_empty() {
        return json!(app.watch.enabled && worker.status != Status::Stopped);
    }
    let declared = |path: &PathBuf| match path.strip_prefix(&app.cwd) {
        Ok(inside) if !inside.as_os_str().is_empty() => json!(inside),
        _ => json!(path),
    };
    paths.iter().map(declared).collect()
}

fn settings(app: &AppDeclaration, worker: &WorkerView) -> Value {
    let mut fields = json!({
        "merge_logs": app.logs.merge_logs,
        "vizion": false,
        "autostart": app.autostart,
        "autorestart": app.restart.autorestart,
        "watch": watched(app, worker),
        "instance_var": app.environment.instance_var,
        "pmx": false,
        "automation": false,
        "treekill": app.stop.treekill,
        "username": worker.user,
        "kill_signal": app.stop.kill_signal,
        "kill_timeout": app.stop.kill_timeout,
        "listen_timeout": app.ready.listen_timeout,
    });
    let restart = &app.restart;
    for (name, value) in [
        ("uid", json!(app.user)),
        ("gid", json!(app.group)),
        ("wait_ready", json!(app.ready.wait_ready.then_some(true))),
        ("shutdown_with_message", json!(app.stop.shutdown_with_message.then_some(true))),
        ("min_uptime", json!(restart.min_uptime)),
        ("max_restarts", json!(restart.max_restarts)),
        ("restart_delay", json!(restart.restart_delay)),
        ("exp_backoff_restart_delay", json!(restart.exp_backoff_restart_delay)),
        ("max_memory_restart", json!(restart.max_memory_restart)),
        ("increment_var", json!(app.environment.increment_var)),
        ("cron_restart", json!(app.cron.as_ref().map(|cron| &cron.expression))),
        ("ignore_watch", json!((!app.watch.ignore.is_empty()).then_some(&app.watch.ignore))),
        ("watch_delay", json!(app.watch.enabled.then_some(app.watch.delay))),
        ("stop_exit_codes", json!((!restart.stop_exit_codes.is_empty()).then_some(&restart.stop_exit_codes))),
    ] {
        if !value.is_null() {
            fields[name] = value;
        }
    }
    fields
}

fn program(app: &AppDeclaration) -> Value {
    let program = &app.program;
    let mut fields = json!({ "node_args": program.interpreter_args });
    if !program.args.is_empty() {
        fields["args"] = json!(program.args);
    }
    let interpreter = program.interpreter.as_deref().unwrap_or("none");
    for (name, value) in [
        ("pm_exec_path", json!(file(app))),
        ("pm_cwd", json!(app.cwd)),
        ("exec_interpreter", json!(interpreter)),
        ("exec_mode", json!(app.exec_mode)),
        ("instances", json!(app.instances.on(processors()))),
    ] {
        fields[name] = value;
    }
    fields
}

/// The script; where it is a program's name, the file that it means now.
pub(crate) fn file(app: &AppDeclaration) -> String {
    let path = app.environment.layers.iter().rev().find_map(|layer| layer.variables.get("PATH"));
    let found = resolve::find(&app.program.script, path.map(Secret::reveal), &app.cwd, resolve::is_program);
    found.map_or_else(|| app.program.script.clone(), |file| file.display().to_string())
}

/// Whether PM2 would put its agent into it.
fn is_node(app: &AppDeclaration) -> bool {
    let interpreter = app.program.interpreter.as_deref().and_then(|path| Path::new(path).file_name());
    // PM2's server of files is one of Node's.
    app.program.args == [config::FILE_SERVER]
        || interpreter.is_some_and(|name| ["node", "nodejs", "bun"].iter().any(|known| name == *known))
}

fn files(worker: &WorkerView) -> Value {
    const NOWHERE: &str = "/dev/null";
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map_or(json!(NOWHERE), |path| json!(path));
    let mut fields = json!({
        "pm_out_log_path": path(&worker.out_file),
        "pm_err_log_path": path(&worker.error_file),
        "pm_pid_path": worker.pid_file,
    });
    if let Some(combined) = &worker.log_file {
        fields["pm_log_path"] = json!(combined);
    }
    fields
}

fn state(worker: &WorkerView) -> Value {
    let mut fields =
        json!({ "status": worker.status, "pm_uptime": worker.started_at.unwrap_or(worker.created_at) });
    if let Some(ended) = &worker.last_exit {
        fields["exit_code"] = match &ended.exit {
            Exit::Code(code) => json!(code),
            // What a shell reports; PM2 says 0, as if nothing had happened.
            Exit::Signal(signal) => json!(128 + signal),
            Exit::NotStarted(_) | Exit::Unknown => Value::Null,
        };
    }
    fields
}

fn counters(worker: &WorkerView) -> Value {
    json!({
        "created_at": worker.created_at,
        "pm_id": worker.id,
        "restart_time": worker.restarts,
        "unstable_restarts": worker.unstable_restarts,
        "version": worker.version.as_deref().unwrap_or("N/A"),
    })
}

/// Of this machine.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{app, in_state, secret_layer, worker};

    #[test]
    fn what_scripts_read_is_there() {
        let combined = Some("/home/u/.supd/logs/web.log".into());
        let first = WorkerView { log_file: combined, ..worker(0, "web") };
        let mut view = app("web", vec![worker(1, "web"), first]);
        view.declaration.environment.layers = vec![
            secret_layer("TOKEN", "hunter2"),
            secret_layer("status", "broken"),
            secret_layer("PORT", "80"),
        ];
        let list = jlist(&[view.clone()], &Shown::Harmless);
        assert_eq!(list.iter().map(|seat| seat["pm_id"].clone()).collect::<Vec<_>>(), [json!(0), json!(1)]);
        let seat = &list[0];
        for (pointer, value) in [
            ("/name", json!("web")),
            ("/pid", json!(4000)),
            ("/monit/memory", json!(53_792_000)),
            ("/monit/cpu", json!(0.3)),
            ("/pm2_env/status", json!("online")),
            ("/pm2_env/restart_time", json!(0)),
            ("/pm2_env/unstable_restarts", json!(0)),
            ("/pm2_env/exec_mode", json!("cluster_mode")),
            ("/pm2_env/pm_cwd", json!("/srv/web")),
            ("/pm2_env/pm_exec_path", json!("/srv/web/app.js")),
            ("/pm2_env/pm_uptime", json!(1_700_000_100_000_u64)),
            ("/pm2_env/pm_out_log_path", json!("/home/u/.supd/logs/web-out-0.log")),
            ("/pm2_env/pm_log_path", json!("/home/u/.supd/logs/web.log")),
            ("/pm2_env/NODE_APP_INSTANCE", json!(0)),
            ("/pm2_env/env/PORT", json!("80")),
            ("/pm2_env/PORT", json!("80")),
        ] {
            assert_eq!(seat.pointer(pointer), Some(&value), "{pointer}");
        }
        assert!(!serde_json::to_string(&list).unwrap().contains("hunter2"));
        let seat = &jlist(&[view.clone()], &Shown::Declared)[0]["pm2_env"];
        assert_eq!((&seat["env"]["TOKEN"], &seat["TOKEN"]), (&json!("hunter2"), &json!("hunter2")));
        assert_eq!((&seat["env"]["status"], &seat["status"]), (&json!("broken"), &json!("online")));
        view.declaration.environment.increment_var = Some("PORT".to_owned());
        let seen = [
            ("PORT", Layer::Supd),
            ("KEY", Layer::Setting),
            ("PM2_HOME", Layer::Supd),
            ("LANG", Layer::Base),
        ];
        let seen = seen
            .map(|(name, layer)| VariableView { name: name.to_owned(), value: "8".into(), layer })
            .to_vec();
        let seat = &jlist(&[view], &Shown::Seen([(0, seen)].into()))[0]["pm2_env"];
        assert_eq!((&seat["env"]["PORT"], &seat["env"]["KEY"]), (&json!(8), &json!("8")));
        assert!(seat["env"].get("LANG").is_none() && seat["env"].get("PM2_HOME").is_none());
    }

    #[test]
    fn what_is_watched_is_told_as_it_was_declared() {
        let mut view = app("web", vec![worker(0, "web"), in_state(worker(1, "web"), Status::Stopped, "")]);
        let watched = |view: &AppView| -> Vec<Value> {
            let list = jlist(std::slice::from_ref(view), &Shown::Harmless);
            list.iter().map(|seat| seat["pm2_env"]["watch"].clone()).collect()
        };
        assert_eq!(watched(&view), [json!(false), json!(false)]);
        view.declaration.watch.enabled = true;
        assert_eq!(watched(&view), [json!(true), json!(false)]);
        view.declaration.watch.paths =
            ["/srv/web/server", "/srv/web", "/etc/web"].map(PathBuf::from).to_vec();
        assert_eq!(watched(&view), [json!(["server", "/srv/web", "/etc/web"]), json!(false)]);
    }

    #[test]
    fn shares_of_a_processor_are_short() {
        assert_eq!([0.0, 0.04, 12.34, 99.96].map(percent), [json!(0), json!(0), json!(12.3), json!(100)]);
    }
}
