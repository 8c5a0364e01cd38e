//! In what do two versions of an app differ, and what does each difference take?
//!
//! Pure. Fields are compared by what they say in the end, as texts under their names in declaration files. Variables are
//! compared by name and value, and only their names are told.
//!
//! What comes from whoever typed the command, and from the daemon's own surroundings, is no part of what was declared:
//! the same file applied from another shell is no change.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use supd_api::{
    Acts, AppDeclaration, AutoscalePolicy, Balance, CgroupPolicy, Change, ChangeKind, CronPolicy,
    DeclaredRotation, Environment, Instances, JobPolicy, Layer, ListenAddress, LivePolicy, LogForm,
    LogPolicy, LogTarget, ProcessPolicy, Program, ReadyPolicy, ReloadPolicy, RestartPolicy, Secret, Source,
    Stdin, StopPolicy, WatchPolicy,
};

use crate::supervisor::versions::pin::Pin;
use crate::supervisor::versions::revision::Revision;

use Acts::{AtOnce, NewProcesses};

/// A longer text of a value is cut, in characters.
const TEXT_MAX: usize = 120;

/// One field of a version. `None`: nothing is said.
struct Field {
    name: &'static str,
    acts: Acts,
    text: Option<String>,
}

/// All differences, the variables last. `workers`: how many there are, whatever was declared.
pub(crate) fn changes(old: &Revision, new: &Revision, workers: Option<u32>) -> Vec<Change> {
    let (before, after) = (fields(old), fields(new));
    let mut changes: Vec<Change> =
        before.into_iter().zip(after).filter_map(|(old, new)| change(old, new)).collect();
    changes.extend(number(&old.declaration, &new.declaration, workers));
    changes.extend(leads(old, new));
    changes.extend(variables(&old.declaration, &new.declaration));
    changes
}

fn change(old: Field, new: Field) -> Option<Change> {
    (old.text != new.text).then(|| made(new.name, old.text, new.text, new.acts))
}

fn made(field: &str, from: Option<String>, to: Option<String>, acts: Acts) -> Change {
    let kind = match (&from, &to) {
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(_), Some(_)) | (None, None) => ChangeKind::Changed,
    };
    Change { field: field.to_owned(), kind, from: from.map(cut), to: to.map(cut), acts }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// How many workers there are to be. Scaling by hand is a difference too; by itself it is none within its bounds.
fn number(old: &AppDeclaration, new: &AppDeclaration, workers: Option<u32>) -> Option<Change> {
    let processors = crate::supervisor::versions::spec::processors();
    if let Some(policy) = &new.autoscale {
        let (from, to) = workers.map(|workers| (workers, policy.clamp(workers, processors)))?;
        return (from != to).then(|| made("instances", Some(from.to_string()), Some(to.to_string()), AtOnce));
    }
    let scaled = workers.filter(|workers| *workers != new.instances.on(processors));
    if old.instances == new.instances && scaled.is_none() {
        return None;
    }
    let from = scaled.map_or_else(|| spelled(old.instances), |workers| workers.to_string());
    Some(made("instances", Some(from), Some(spelled(new.instances)), AtOnce))
}

fn spelled(instances: Instances) -> String {
    match instances {
        Instances::Count(count) => count.to_string(),
        Instances::AllBut(0) => "max".to_owned(),
        Instances::AllBut(spare) => format!("-{spare}"),
    }
}

/// Where symbolic links lead to, which are the same words before and after.
fn leads(old: &Revision, new: &Revision) -> Vec<Change> {
    let (Some(before), Some(after)) = (&old.pin, &new.pin) else { return Vec::new() };
    let cwd = |pin: &Pin| Some(pin.cwd.display().to_string());
    let (one, two) = (&old.declaration, &new.declaration);
    // In another directory the same paths are found in another way, and it needs new processes anyway.
    if one.cwd != two.cwd {
        return Vec::new();
    }
    // Script and interpreter inside of it have moved along.
    if before.cwd != after.cwd {
        return vec![made("the release that cwd leads to", cwd(before), cwd(after), NewProcesses)];
    }
    let mut moved = Vec::new();
    if one.program.script == two.program.script && before.script != after.script {
        let (from, to) = (Some(before.script.clone()), Some(after.script.clone()));
        moved.push(made("the file that script leads to", from, to, NewProcesses));
    }
    if one.program.interpreter == two.program.interpreter && before.interpreter != after.interpreter {
        let (from, to) = (before.interpreter.clone(), after.interpreter.clone());
        moved.push(made("the file that interpreter leads to", from, to, NewProcesses));
    }
    moved
}

fn variables(old: &AppDeclaration, new: &AppDeclaration) -> Vec<Change> {
    let (before, after) = (declared(old), declared(new));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let one = |name| {
        let kind = match (before.get(name), after.get(name)) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (old, new) if old == new => return None,
            _ => ChangeKind::Changed,
        };
        Some(Change { field: format!("env.{name}"), kind, from: None, to: None, acts: NewProcesses })
    };
    names.into_iter().filter_map(one).collect()
}

/// What the file and what it names say.
fn declared(app: &AppDeclaration) -> BTreeMap<&str, &Secret> {
    let of_the_file = |layer: &Layer| match layer {
        Layer::Base | Layer::Caller | Layer::Setting | Layer::Supd => false,
        Layer::EnvFile(_) | Layer::Env | Layer::EnvNamed(_) => true,
    };
    let layers = app.environment.layers.iter().filter(|it| of_the_file(&it.layer));
    layers.flat_map(|layer| &layer.variables).map(|(name, value)| (name.as_str(), value)).collect()
}

/// Every field but those that are compared otherwise. Taken apart whole, so that a new field is not forgotten.
fn fields(revision: &Revision) -> Vec<Field> {
    let Revision { declaration, base: _, user: _, uid: _, pin: _, version } = revision;
    let AppDeclaration {
        name: _,
        namespace,
        source,
        program,
        cwd,
        user,
        group,
        process,
        cgroup,
        exec_mode,
        instances: _,
        autoscale,
        environment,
        depends_on,
        listen,
        balance,
        stdin,
        ipc,
        autostart,
        restart,
        stop,
        ready,
        live,
        reload,
        logs,
        watch,
        cron,
        job,
        pid_file,
    } = declaration;
    let mut fields = vec![
        field("declared in", AtOnce, source.as_ref().map(file)),
        field("namespace", NewProcesses, namespace),
        field("cwd", NewProcesses, cwd),
        field("uid", NewProcesses, user),
        field("gid", NewProcesses, group),
        field("exec_mode", NewProcesses, exec_mode),
        field("autostart", AtOnce, autostart),
        field("depends_on", AtOnce, (!depends_on.is_empty()).then_some(depends_on)),
        field("pid_file", NewProcesses, pid_file),
        field("the version in package.json", NewProcesses, version),
    ];
    fields.extend(of_program(program));
    fields.extend(of_channels(listen, *balance, *stdin, *ipc));
    fields.extend(of_environment(environment));
    fields.extend(of_process(process));
    fields.extend(of_cgroup(cgroup));
    fields.extend(of_restart(restart));
    fields.extend(of_stop(stop));
    fields.extend(of_checks(ready, live));
    fields.extend(of_reload(reload));
    fields.extend(of_logs(logs).into_iter().chain(of_watch(watch)));
    let tables = [of_cron(cron.as_ref()), of_autoscale(autoscale.as_ref()), of_job(job.as_ref())];
    fields.extend(tables.into_iter().flatten());
    fields
}

fn of_program(program: &Program) -> Vec<Field> {
    let Program { script, interpreter, interpreter_args, args } = program;
    vec![
        field("script", NewProcesses, script),
        field("interpreter", NewProcesses, interpreter),
        field("node_args", NewProcesses, some(interpreter_args)),
        field("args", NewProcesses, some(args)),
    ]
}

fn of_channels(listen: &[ListenAddress], balance: Balance, stdin: Stdin, ipc: bool) -> Vec<Field> {
    vec![
        field("listen", NewProcesses, some(listen)),
        field("balance", NewProcesses, balance),
        field("stdin", NewProcesses, stdin),
        field("ipc", NewProcesses, ipc),
    ]
}

fn of_environment(environment: &Environment) -> Vec<Field> {
    let inherits = environment.layers.iter().any(|layer| layer.layer == Layer::Caller);
    vec![
        field("inherit_env", NewProcesses, inherits),
        field("instance_var", NewProcesses, &environment.instance_var),
        field("increment_var", NewProcesses, &environment.increment_var),
    ]
}

fn of_cron(policy: Option<&CronPolicy>) -> Vec<Field> {
    vec![
        field("cron_restart", AtOnce, policy.map(|cron| &cron.expression)),
        field("cron_time_zone", AtOnce, policy.and_then(|cron| cron.time_zone.as_ref())),
    ]
}

/// A run that goes on is to come to its end, so that only becoming a job takes another process.
fn of_job(policy: Option<&JobPolicy>) -> Vec<Field> {
    let cron = policy.and_then(|job| job.cron.as_ref());
    vec![
        field("job", NewProcesses, policy.is_some()),
        field("job.cron", AtOnce, cron.map(|cron| &cron.expression)),
        field("job.time_zone", AtOnce, cron.and_then(|cron| cron.time_zone.as_ref())),
        field("job.overlap", AtOnce, policy.map(|job| job.overlap)),
        field("job.timeout", AtOnce, policy.and_then(|job| job.timeout).map(|span| span.to_string())),
        field("job.catch_up", AtOnce, policy.map(|job| job.catch_up)),
    ]
}

fn of_autoscale(policy: Option<&AutoscalePolicy>) -> Vec<Field> {
    vec![
        field("autoscale.min", AtOnce, policy.map(|it| it.min)),
        field("autoscale.max", AtOnce, policy.map(|it| spelled(it.max))),
        field("autoscale.cpu", AtOnce, policy.and_then(|it| it.cpu)),
        field("autoscale.memory", AtOnce, policy.and_then(|it| it.memory)),
        field("autoscale.stabilization", AtOnce, policy.map(|it| it.stabilization.to_string())),
    ]
}

fn of_process(policy: &ProcessPolicy) -> Vec<Field> {
    let ProcessPolicy { umask, nice, oom_score_adj, rlimits, no_new_privs, capabilities } = policy;
    vec![
        field("umask", NewProcesses, umask.map(|mask| format!("{mask:03o}"))),
        field("nice", NewProcesses, nice),
        field("oom_score_adj", NewProcesses, oom_score_adj),
        field("rlimits", NewProcesses, (!rlimits.is_empty()).then_some(rlimits)),
        field("no_new_privs", NewProcesses, no_new_privs),
        field("capabilities", NewProcesses, (!capabilities.is_empty()).then_some(capabilities)),
    ]
}

/// Groups of runs can be changed, but a lower wall must not kill what works.
fn of_cgroup(policy: &CgroupPolicy) -> Vec<Field> {
    let CgroupPolicy { memory_high, memory_max, cpu_max, cpu_weight, pids_max, io_weight } = policy;
    vec![
        field("memory_high", AtOnce, memory_high),
        field("memory_max", NewProcesses, memory_max),
        field("cpu_max", AtOnce, cpu_max.map(|processors| processors.to_string())),
        field("cpu_weight", AtOnce, cpu_weight),
        field("pids_max", AtOnce, pids_max),
        field("io_weight", AtOnce, io_weight),
    ]
}

fn of_restart(policy: &RestartPolicy) -> Vec<Field> {
    let RestartPolicy {
        autorestart,
        stop_exit_codes,
        min_uptime,
        max_restarts,
        restart_delay,
        exp_backoff_restart_delay,
        max_memory_restart,
    } = policy;
    let span = |span: &Option<supd_api::Millis>| span.map(|span| span.to_string());
    vec![
        field("autorestart", AtOnce, autorestart),
        field("stop_exit_codes", AtOnce, some(stop_exit_codes)),
        field("min_uptime", AtOnce, span(min_uptime)),
        field("max_restarts", AtOnce, max_restarts),
        field("restart_delay", AtOnce, span(restart_delay)),
        field("exp_backoff_restart_delay", AtOnce, span(exp_backoff_restart_delay)),
        field("max_memory_restart", AtOnce, max_memory_restart),
    ]
}

fn of_stop(policy: &StopPolicy) -> Vec<Field> {
    let StopPolicy {
        kill_signal,
        kill_timeout,
        treekill,
        shutdown_with_message,
        drain_timeout,
        node_preload,
    } = policy;
    vec![
        field("kill_signal", AtOnce, kill_signal),
        field("kill_timeout", AtOnce, kill_timeout.to_string()),
        field("treekill", AtOnce, treekill),
        // Who has no channel cannot hear the message.
        field("shutdown_with_message", NewProcesses, shutdown_with_message),
        field("drain_timeout", AtOnce, drain_timeout.to_string()),
        field("node_preload", NewProcesses, node_preload),
    ]
}

/// A new check proves itself on a new process before it counts: a wrong one must not end what serves.
fn of_checks(ready: &ReadyPolicy, live: &LivePolicy) -> Vec<Field> {
    let ReadyPolicy { wait_ready, listen_timeout, timeout, probe, startup } = ready;
    let LivePolicy { probe: alive, watchdog } = live;
    vec![
        field("wait_ready", NewProcesses, wait_ready),
        field("listen_timeout", AtOnce, listen_timeout.to_string()),
        field("ready_timeout", AtOnce, timeout.to_string()),
        field("ready", NewProcesses, probe),
        field("startup", NewProcesses, startup),
        field("live", NewProcesses, alive),
        field("live.watchdog", NewProcesses, watchdog.map(|span| span.to_string())),
    ]
}

fn of_reload(policy: &ReloadPolicy) -> Vec<Field> {
    let ReloadPolicy { max_surge, max_parallel, rollback_window, reuse_port } = policy;
    vec![
        field("max_surge", AtOnce, max_surge),
        field("max_parallel", AtOnce, max_parallel),
        field("rollback_window", AtOnce, rollback_window.to_string()),
        // It tells what the app does anyway.
        field("reuse_port", AtOnce, reuse_port),
    ]
}

fn of_watch(policy: &WatchPolicy) -> Vec<Field> {
    let WatchPolicy { enabled, paths, ignore, delay, gitignore } = policy;
    vec![
        field("watch", AtOnce, enabled),
        field("watched paths", AtOnce, some(paths)),
        field("ignore_watch", AtOnce, some(ignore)),
        field("watch_delay", AtOnce, delay.to_string()),
        field("watch_options.gitignore", AtOnce, gitignore),
    ]
}

fn of_logs(policy: &LogPolicy) -> Vec<Field> {
    let LogPolicy { out_file, error_file, log_file, merge_logs, form, rotation, on_full, sink } = policy;
    let DeclaredRotation {
        size,
        interval,
        keep,
        keep_days,
        max_total,
        min_free,
        compress,
        date_format,
        time_zone,
    } = rotation;
    let (log_type, date) = match form {
        LogForm::Plain => ("raw", None),
        LogForm::Dated(format) => ("raw", Some(format)),
        LogForm::Json(format) => ("json", format.as_ref()),
    };
    vec![
        field("out_file", NewProcesses, target(out_file)),
        field("error_file", NewProcesses, target(error_file)),
        field("log_file", NewProcesses, target(log_file)),
        field("merge_logs", NewProcesses, merge_logs),
        field("log_type", NewProcesses, log_type),
        field("log_date_format", NewProcesses, date),
        field("on_full", NewProcesses, on_full),
        field("log_sink", NewProcesses, sink),
        rotated("rotate_size", size),
        rotated("rotate_interval", interval),
        rotated("keep", keep),
        rotated("keep_days", keep_days),
        rotated("max_total", max_total),
        rotated("min_free", min_free),
        rotated("compress", compress),
        field("rotate_date_format", AtOnce, date_format),
        rotated("rotate_time_zone", time_zone),
    ]
}

fn target(target: &LogTarget) -> Option<String> {
    match target {
        LogTarget::Default => None,
        LogTarget::File(path) => Some(path.display().to_string()),
        LogTarget::Discard => Some("NULL".to_owned()),
    }
}

/// The outer `None`: nothing is said; the inner one: that there is no limit.
fn rotated<T: Serialize>(name: &'static str, said: &Option<Option<T>>) -> Field {
    let text = said.as_ref().map(|said| said.as_ref().and_then(text).unwrap_or_else(|| "false".to_owned()));
    Field { name, acts: AtOnce, text }
}

fn field(name: &'static str, acts: Acts, value: impl Serialize) -> Field {
    Field { name, acts, text: text(&value) }
}

/// Texts without quotes, lists and tables as JSON.
fn text(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value).unwrap_or_default() {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// An empty list says nothing.
fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn file(source: &Source) -> String {
    let file = source.file.display();
    match &source.env_name {
        Some(name) => format!("{file} (--env {name})"),
        None => file.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};
    use supd_api::EnvironmentLayer;

    use super::*;
    use crate::config::{self, Dialect, Options};
    use crate::supervisor::versions::accept::accept;

    /// What these fields declare, seen from a shell with this `PATH`.
    fn revision(fields: &Value, path: &str) -> Revision {
        let options = Options {
            cwd: "/".into(),
            caller: [("PATH".to_owned(), path.into()), ("TOKEN".to_owned(), path.into())].into(),
            inherit_env: fields.get("inherit").is_some(),
            env_name: fields.get("named").map(|_| "production".to_owned()),
            supctl: "/supctl".into(),
            only: Vec::new(),
            over: Map::new(),
            dialect: Dialect::Supd,
        };
        let mut all = json!({ "name": "web", "script": "/bin/sh", "env": { "A": "1", "B": "2" } });
        for (name, value) in fields.as_object().expect("fields") {
            all[name] = value.clone();
        }
        let map = all.as_object_mut().expect("fields");
        map.retain(|name, _| name != "inherit" && name != "named");
        let loaded = config::from_fields(map.clone(), &options).expect("a declaration");
        accept(loaded.apps.into_iter().next().expect("an app")).expect("a revision")
    }

    fn shown(change: &Change) -> String {
        let sign = match change.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let acts = if change.acts == AtOnce { "at once" } else { "new" };
        format!("{sign}{} {} > {} {acts}", change.field, text(&change.from), text(&change.to))
    }

    #[test]
    fn every_field_by_its_name_with_both_values_and_what_it_takes() {
        for (old, new, expected) in [
            (json!({}), json!({}), vec![]),
            (json!({ "kill_timeout": 5000 }), json!({}), vec!["~kill_timeout 5 s > 10 s at once"]),
            (json!({}), json!({ "max_restarts": 3 }), vec!["+max_restarts none > 3 at once"]),
            (json!({ "keep": "all" }), json!({ "keep": 2 }), vec!["~keep false > 2 at once"]),
            (json!({}), json!({ "rotate_size": "1K" }), vec!["+rotate_size none > 1024 at once"]),
            (json!({ "instances": 1 }), json!({ "instances": 3 }), vec!["~instances 1 > 3 at once"]),
            (
                json!({ "args": ["a"] }),
                json!({ "args": ["a", "b c"] }),
                vec![r#"~args ["a"] > ["a","b c"] new"#],
            ),
            (json!({ "out_file": "/a" }), json!({ "out_file": "/b" }), vec!["~out_file /a > /b new"]),
            (json!({ "env": { "A": "1" } }), json!({}), vec!["+env.B none > none new"]),
            (
                json!({}),
                json!({ "env": { "A": "hunter2" } }),
                vec!["~env.A none > none new", "-env.B none > none new"],
            ),
            (
                json!({}),
                json!({ "env_production": { "A": "3" }, "named": true }),
                vec!["~env.A none > none new"],
            ),
            (json!({}), json!({ "port": 80 }), vec!["+env.PORT none > none new"]),
            (json!({}), json!({ "inherit": true }), vec!["~inherit_env false > true new"]),
            (json!({}), json!({ "cwd": "/usr" }), vec!["~cwd / > /usr new"]),
        ] {
            let changes = changes(&revision(&old, "/bin"), &revision(&new, "/bin:/usr/bin"), None);
            assert_eq!(changes.iter().map(shown).collect::<Vec<_>>(), expected, "{old} {new}");
            assert!(!format!("{changes:?}").contains("hunter2"));
        }
    }

    #[test]
    fn who_types_and_from_where_is_no_difference() {
        let inherit = json!({ "inherit": true });
        assert_eq!(changes(&revision(&inherit, "/bin"), &revision(&inherit, "/sbin:/bin"), Some(1)), []);
    }

    #[test]
    fn scaling_by_hand_is_one() {
        let one = revision(&json!({}), "/bin");
        let changes = changes(&one, &one, Some(4));
        assert_eq!(changes.iter().map(shown).collect::<Vec<_>>(), ["~instances 4 > 1 at once"]);
    }

    #[test]
    fn scaling_by_itself_is_none_within_its_bounds() {
        let scaling =
            |min, max| revision(&json!({ "autoscale": { "min": min, "max": max, "cpu": 60 } }), "/bin");
        let (old, plain) = (scaling(1, 8), revision(&json!({ "instances": 2 }), "/bin"));
        let shown =
            |new: &Revision, workers| changes(&old, new, Some(workers)).iter().map(shown).collect::<Vec<_>>();
        assert_eq!(shown(&old, 5), [""; 0]);
        assert_eq!(shown(&scaling(2, 8), 5), ["~autoscale.min 1 > 2 at once"]);
        assert_eq!(shown(&scaling(1, 4), 5), ["~autoscale.max 8 > 4 at once", "~instances 5 > 4 at once"]);
        assert_eq!(shown(&plain, 5).last().map(String::as_str), Some("~instances 5 > 2 at once"));
    }

    #[test]
    fn so_is_a_link_that_leads_elsewhere() {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name).display().to_string();
        for release in ["1", "2"] {
            std::fs::create_dir(home.path().join(release)).expect("a release");
            std::fs::write(home.path().join(release).join("run"), "").expect("a script");
        }
        let link = home.path().join("current");
        let fields = json!({ "cwd": &link, "script": "run", "interpreter": "sh" });
        std::os::unix::fs::symlink("1", &link).expect("a link");
        let old = revision(&fields, "/bin");
        std::fs::remove_file(&link).expect("removed");
        std::os::unix::fs::symlink("2", &link).expect("a link");
        let changes = changes(&old, &revision(&fields, "/bin"), None);
        let expected = format!("~the release that cwd leads to {} > {} new", at("1"), at("2"));
        assert_eq!(changes.iter().map(shown).collect::<Vec<_>>(), [expected]);
        // Of one that was accepted by an earlier version of supd nothing is known.
        assert_eq!(super::changes(&Revision { pin: None, ..old.clone() }, &old, None), []);
    }

    #[test]
    fn long_values_are_cut_after_they_were_compared() {
        let long = |end: &str| json!({ "args": [format!("{}{end}", "é".repeat(300))] });
        let changes = changes(&revision(&long("a"), "/bin"), &revision(&long("b"), "/bin"), None);
        assert_eq!(changes[0].from.as_ref().map(|text| text.chars().count()), Some(TEXT_MAX + 1));
    }

    #[test]
    fn a_variable_in_another_layer_with_the_same_value_is_none() {
        let mut old = revision(&json!({}), "/bin");
        let new = old.clone();
        let variables =
            std::mem::take(&mut old.declaration.environment.layers.last_mut().expect("env").variables);
        let layer = Layer::EnvFile("/x/.env".into());
        old.declaration.environment.layers.push(EnvironmentLayer { layer, variables });
        assert_eq!(changes(&old, &new, None), []);
    }
}
