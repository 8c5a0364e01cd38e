//! What does a script that parses `pm2 jlist` find? PM2's field names, filled from our own views.
//!
//! Values of environment variables are withheld: PM2 prints every secret of the starting shell here.

use serde_json::{Value, json};
use supd_api::{AppDeclaration, AppView, Exit, WorkerView};

/// One element for each worker, by id.
pub(crate) fn jlist(apps: &[AppView]) -> Vec<Value> {
    let mut seats: Vec<(&AppDeclaration, &WorkerView)> = apps
        .iter()
        .flat_map(|app| app.workers.iter().map(move |worker| (&app.declaration, worker)))
        .collect();
    seats.sort_by_key(|(_, worker)| worker.id);
    seats.into_iter().map(|(app, worker)| element(app, worker)).collect()
}

fn element(app: &AppDeclaration, worker: &WorkerView) -> Value {
    json!({
        "pid": worker.pid.unwrap_or(0),
        "name": worker.app,
        "pm_id": worker.id,
        "monit": { "memory": worker.memory, "cpu": worker.cpu },
        "pm2_env": environment(app, worker),
    })
}

fn environment(app: &AppDeclaration, worker: &WorkerView) -> Value {
    let mut fields = json!({
        "name": worker.app,
        "namespace": worker.namespace,
        "pm_id": worker.id,
        "status": worker.status,
        "exec_mode": worker.exec_mode,
        "exec_interpreter": app.program.interpreter.as_deref().unwrap_or("none"),
        "pm_exec_path": app.program.script,
        "pm_cwd": app.cwd,
        "args": app.program.args,
        "node_args": app.program.interpreter_args,
        "version": worker.version.as_deref().unwrap_or("N/A"),
        "instances": app.instances.on(processors()),
        "instance_var": app.environment.instance_var,
        "restart_time": worker.restarts,
        "unstable_restarts": worker.unstable_restarts,
        "created_at": worker.created_at,
        "pm_uptime": worker.started_at,
        "autostart": app.autostart,
        "autorestart": app.restart.autorestart,
        "stop_exit_codes": app.restart.stop_exit_codes,
        "kill_timeout": app.stop.kill_timeout,
        "treekill": app.stop.treekill,
        "shutdown_with_message": app.stop.shutdown_with_message,
        "wait_ready": app.ready.wait_ready,
        "listen_timeout": app.ready.listen_timeout,
        "watch": false,
        "merge_logs": app.logs.merge_logs,
        "username": worker.user,
        "uid": app.user,
        "gid": app.group,
        "pm_out_log_path": worker.out_file,
        "pm_err_log_path": worker.error_file,
        "pm_log_path": worker.log_file,
        "pm_pid_path": worker.pid_file,
        "reason": worker.reason,
        "env": {},
    });
    fields[app.environment.instance_var.as_str()] = json!(worker.instance);
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

fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{app, worker};

    #[test]
    fn what_scripts_read_is_there() {
        let combined = Some("/home/u/.supd/logs/web.log".into());
        let first = WorkerView { log_file: combined, ..worker(0, "web") };
        let mut view = app("web", vec![worker(1, "web"), first]);
        view.declaration.environment.layers = vec![crate::ctl::fake::secret_layer("TOKEN", "hunter2")];
        let list = jlist(&[view]);
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
            ("/pm2_env/env", json!({})),
        ] {
            assert_eq!(seat.pointer(pointer), Some(&value), "{pointer}");
        }
        assert!(!serde_json::to_string(&list).unwrap().contains("hunter2"));
    }
}
