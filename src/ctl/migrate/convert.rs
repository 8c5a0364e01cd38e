//! How is an app of PM2's declared here, and what gets lost or changes? The one conversion, for `migrate` and for a dump
//! that PM2 wrote.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use supd_api::{AppName, Secret};

use super::process::{Pm2App, Process};
use super::variables::{self, Sorted, Variables};
use crate::config;

/// What an app becomes.
pub(crate) struct Converted {
    /// Its name here.
    pub(crate) name: String,
    /// What PM2 calls it.
    pub(crate) called: String,
    /// The fields of its declaration, but `env` and `env_file`.
    pub(crate) fields: Map<String, Value>,
    /// Its variables.
    pub(crate) variables: Sorted,
    /// What is written down but has no effect yet, and why.
    pub(crate) inactive: Vec<(String, Value, &'static str)>,
    /// What changes or is lost.
    pub(crate) notes: Vec<Note>,
    /// Which of its workers shall run, in their order.
    pub(crate) up: Vec<bool>,
    /// PM2's numbers of its processes.
    pub(crate) ids: Vec<u64>,
    /// The processes that run.
    pub(crate) pids: Vec<i32>,
}

/// What a person should know before an app is moved.
#[derive(Debug, PartialEq)]
pub(crate) struct Note {
    /// The field of PM2's.
    pub(crate) field: String,
    /// What becomes of it.
    pub(crate) text: String,
    /// Something of it is not there any more; otherwise it is only another way.
    pub(crate) lost: bool,
}

/// Fields that mean the same here, and what PM2 writes when nothing was declared.
static SAME: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
    let none = || Value::Null;
    vec![
        ("namespace", json!("default")),
        ("node_args", none()),
        ("args", none()),
        ("uid", none()),
        ("gid", none()),
        ("instance_var", json!("NODE_APP_INSTANCE")),
        ("increment_var", none()),
        ("autostart", json!(true)),
        ("autorestart", json!(true)),
        ("stop_exit_codes", none()),
        ("min_uptime", none()),
        ("max_restarts", none()),
        ("restart_delay", none()),
        ("exp_backoff_restart_delay", none()),
        ("kill_timeout", none()),
        ("kill_signal", none()),
        ("treekill", json!(true)),
        ("shutdown_with_message", json!(false)),
        ("wait_ready", json!(false)),
        ("listen_timeout", none()),
        ("log_date_format", none()),
        ("log_type", none()),
        ("time", json!(false)),
        ("disable_logs", json!(false)),
    ]
});

/// Fields that PM2 acts upon and supd perhaps not yet. The vocabulary of declarations knows.
const PERHAPS: [&str; 9] = [
    "max_memory_restart",
    "watch",
    "ignore_watch",
    "watch_delay",
    "watch_options",
    "cron_restart",
    "post_update",
    "source_map_support",
    "disable_source_map_support",
];

/// Fields of PM2's agent inside of Node.
const AGENT: [&str; 6] = ["trace", "disable_trace", "v8", "event_loop_inspector", "deep_monitoring", "io"];

/// Converts all apps of a list; `caller` is the environment of whoever asks for it.
pub(crate) fn convert(apps: &[Pm2App], caller: &Variables) -> Vec<Converted> {
    let names: BTreeSet<String> = apps.iter().map(|app| app.name.clone()).collect();
    let mut taken = BTreeSet::new();
    let converted = apps.iter().map(|app| {
        let name = name(&app.name, &mut taken);
        let variables = variables::sort(app.first(), &names, caller);
        one(app, name, variables, caller)
    });
    converted.collect()
}

fn one(app: &Pm2App, name: String, variables: Sorted, caller: &Variables) -> Converted {
    let first = app.first();
    let (fields, notes, inactive) = (Map::new(), Vec::new(), Vec::new());
    let mut converted = Converted {
        name,
        called: app.name.clone(),
        fields,
        variables,
        inactive,
        notes,
        up: app.processes.iter().map(Process::is_up).collect(),
        ids: app.processes.iter().filter_map(Process::id).collect(),
        pids: app.processes.iter().filter_map(|process| process.pid).collect(),
    };
    converted.program(first);
    converted.workers(app);
    for (field, default) in SAME.iter() {
        if let Some(value) = first.get(field).filter(|value| is_said(value) && *value != default) {
            converted.fields.insert((*field).to_owned(), value.clone());
        }
    }
    converted.logs(app);
    converted.named(first);
    converted.perhaps(first);
    converted.tell(app, caller);
    converted
}

/// Whether a value says anything: PM2 writes empty lists where nothing was declared.
fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A name that is allowed here and not taken.
fn name(called: &str, taken: &mut BTreeSet<String>) -> String {
    let harmless: String = called.chars().map(|c| if c.is_control() { '-' } else { c }).collect();
    let short: String = harmless.trim().chars().take(120).collect();
    let plain = short.replace('/', "-");
    let last = format!("app-{plain}");
    let allowed = [short, plain].into_iter().find(|name| AppName::new(name.as_str()).is_ok()).unwrap_or(last);
    let numbered = (2..).map(|number| format!("{allowed}-{number}"));
    let free = std::iter::once(allowed.clone()).chain(numbered).find(|name| !taken.contains(name));
    let name = free.unwrap_or(allowed);
    taken.insert(name.clone());
    name
}

impl Converted {
    fn note(&mut self, field: &str, text: impl Into<String>) {
        self.notes.push(Note { field: field.to_owned(), text: text.into(), lost: false });
    }

    fn lose(&mut self, field: &str, text: impl Into<String>) {
        self.notes.push(Note { field: field.to_owned(), text: text.into(), lost: true });
    }

    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Whether any of it shall run.
    pub(crate) fn is_up(&self) -> bool {
        self.up.contains(&true)
    }

    /// Whether its workers share sockets through Node's cluster protocol.
    pub(crate) fn is_cluster(&self) -> bool {
        self.fields.get("exec_mode").and_then(Value::as_str) == Some("cluster")
    }

    /// All its variables in one.
    pub(crate) fn all_variables(&self) -> Map<String, Value> {
        let of = |variables: &Variables| -> Vec<(String, Value)> {
            variables
                .iter()
                .map(|(name, value): (_, &Secret)| (name.clone(), value.reveal().into()))
                .collect()
        };
        of(&self.variables.guarded).into_iter().chain(of(&self.variables.plain)).collect()
    }

    fn program(&mut self, process: &Process) {
        let script = process.text("pm_exec_path").unwrap_or_default();
        self.set("script", script);
        if let Some(cwd) = process.text("pm_cwd") {
            self.set("cwd", cwd);
        }
        let interpreter = process.text("exec_interpreter").unwrap_or("none");
        let extension = Path::new(script).extension().and_then(|extension| extension.to_str());
        let usual = interpreter == "node" && matches!(extension, Some("js" | "cjs" | "mjs"));
        if !usual {
            self.set("interpreter", interpreter);
        }
    }

    fn workers(&mut self, app: &Pm2App) {
        let (first, count) = (app.first(), app.processes.len());
        let cluster = first.text("exec_mode").is_some_and(|mode| mode.starts_with("cluster"));
        if cluster || count > 1 {
            self.set("exec_mode", if cluster { "cluster" } else { "fork" });
        }
        if count > 1 {
            self.set("instances", count);
            self.note("instances", format!("{count} processes of PM2's become one app with {count} workers"));
        }
        let by_instance = ["unique_id", first.text("instance_var").unwrap_or("NODE_APP_INSTANCE")];
        let differs =
            |field: &str| app.processes.iter().any(|process| process.get(field) != first.get(field));
        let own = |process: &Process| -> Map<String, Value> {
            let counted = first.text("increment_var");
            let kept = |name: &str| !by_instance.contains(&name) && Some(name) != counted;
            process
                .variables()
                .iter()
                .filter(|(name, _)| kept(name))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect()
        };
        if app.processes.iter().any(|process| own(process) != own(first)) {
            self.lose("env", "its processes have different variables: those of the first one are taken");
        }
        for field in
            ["args", "pm_cwd", "node_args", "exec_interpreter"].into_iter().filter(|field| differs(field))
        {
            self.lose(field, "its processes differ in it: that of the first one is taken");
        }
    }

    /// PM2's own files are not declared; those that somebody chose are, without the number that PM2 puts into their names.
    fn logs(&mut self, app: &Pm2App) {
        let first = app.first();
        let own = first.pm2_home().map(|home| home.join("logs"));
        let merged = first.holds("merge_logs");
        let mut moved = Vec::new();
        for (theirs, field) in
            [("pm_out_log_path", "out_file"), ("pm_err_log_path", "error_file"), ("pm_log_path", "log_file")]
        {
            let Some(file) = first.text(theirs) else { continue };
            if own.is_some() && Path::new(file).parent() == own.as_deref() {
                moved.push(field);
            } else {
                let file = if merged { file.to_owned() } else { without_number(file, first.id()) };
                self.set(field, file);
            }
        }
        let custom = self.fields.contains_key("out_file") || self.fields.contains_key("error_file");
        if app.processes.len() > 1 && merged {
            self.set("merge_logs", true);
        } else if custom && !merged {
            self.set("merge_logs", false);
        }
        if !moved.is_empty() {
            self.note(
                &moved.join(", "),
                "PM2's own files stay where they are; new output goes to supd's `logs`",
            );
        }
    }

    fn named(&mut self, process: &Process) {
        let names: Vec<String> =
            process.names().filter(|name| name.starts_with("env_")).map(str::to_owned).collect();
        for name in names {
            let Some(variables) = process.get(&name).and_then(Value::as_object) else { continue };
            let (plain, others) = variables::sort_named(variables);
            if !plain.is_empty() {
                self.set(&name, plain);
            }
            if !others.is_empty() {
                let text = "left out, perhaps secrets, for an env_file cannot depend on `--env`: add them where needed";
                self.lose(&name, format!("{}: {text}", others.join(", ")));
            }
        }
    }

    fn perhaps(&mut self, process: &Process) {
        for field in PERHAPS {
            let value = process.get(field).filter(|value| is_said(value) && **value != json!(false));
            let Some(value) = value else { continue };
            match config::without_effect(field) {
                None => self.set(field, value.clone()),
                Some(why) => {
                    self.lose(field, format!("no effect: {why}"));
                    self.inactive.push((field.to_owned(), value.clone(), why));
                }
            }
        }
        let agent: Vec<&str> = AGENT
            .into_iter()
            .filter(|field| process.get(field).is_some_and(|value| *value != json!(false)))
            .collect();
        if !agent.is_empty() {
            self.lose(&agent.join(", "), "left out: it is for PM2's agent inside of Node");
        }
    }

    fn tell(&mut self, app: &Pm2App, caller: &Variables) {
        if self.name != app.name {
            let taken = AppName::new(app.name.clone()).is_ok();
            let why = if taken { "is the name of another app" } else { "cannot be a name here" };
            self.note("name", format!("`{}` {why}", app.name));
        }
        let first = app.first();
        let own = caller.get("USER").or(caller.get("LOGNAME")).map(Secret::reveal);
        if let (Some(user), Some(own), None) = (first.text("username"), own, first.get("uid"))
            && user != own
        {
            self.lose("username", format!("PM2 runs it as {user}; here it runs as the user of the daemon"));
        }
        let agent = first.get("axm_monitor").and_then(Value::as_object);
        let internal = ["Heap", "Active", "Event Loop", "Used Heap", "HTTP"];
        let own_metric = |name: &&String| !internal.iter().any(|start| name.starts_with(start));
        let metrics: Vec<&str> =
            agent.iter().flat_map(|agent| agent.keys()).filter(own_metric).map(String::as_str).collect();
        if !metrics.is_empty() {
            self.lose("axm_monitor", format!("{}: metrics of PM2's agent are not shown", metrics.join(", ")));
        }
        match (self.up.iter().filter(|up| **up).count(), self.up.len()) {
            (0, _) => self.note("status", "stopped: declared with `autostart = false`"),
            (up, all) if up < all => {
                self.lose("status", format!("{up} of {all} processes run; all {all} workers will"))
            }
            _ if first.text("status") == Some("errored") => {
                self.note("status", "errored in PM2; it is started here")
            }
            _ => {}
        }
        let unfit: Vec<&str> = self.variables.unfit.iter().map(String::as_str).collect();
        if !unfit.is_empty() {
            self.lose(
                "env",
                format!("{}: left out, no variable can have such a name or value", unfit.join(", ")),
            );
        }
        let path = self.variables.plain.contains_key("PATH") || self.variables.guarded.contains_key("PATH");
        if path {
            self.note("PATH", "another than yours is kept, so that the same programs are found");
        }
    }
}

/// PM2 puts `-3` before the extension of a file that process 3 has for itself.
fn without_number(file: &str, id: Option<u64>) -> String {
    let path = Path::new(file);
    let (Some(id), Some(stem)) = (id, path.file_stem().and_then(|stem| stem.to_str())) else {
        return file.to_owned();
    };
    let Some(stem) = stem.strip_suffix(&format!("-{id}")) else { return file.to_owned() };
    let name = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => format!("{stem}.{extension}"),
        None => stem.to_owned(),
    };
    path.with_file_name(name).display().to_string()
}
