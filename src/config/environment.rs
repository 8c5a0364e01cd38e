//! The variables that a declaration brings, layer by layer.
//!
//! Question answered here: *which variables come from where?* Nothing is merged: the supervisor does that, below
//! and above its own layers, and can tell each variable's origin.

use std::collections::BTreeMap;
use std::path::Path;

use supd_api::{Environment, EnvironmentLayer, Layer, Secret};

use super::document_file::{self, Unreadable};
use super::paths::Places;
use super::problem::{Place, Problem, Report, printable, shown};
use super::read::App;
use super::value::{Filter, Texts};
use super::{Options, env_file, fields};
use crate::nearest::nearest;

type Variables = BTreeMap<String, Secret>;

/// All layers but the one that depends on the interpreter.
pub(super) fn layers(app: &App, places: &Places, options: &Options, report: &mut Report) -> Environment {
    let mut layers = Vec::new();
    let mut add = |layer: Layer, variables: Variables| {
        if !variables.is_empty() {
            layers.push(EnvironmentLayer { layer, variables });
        }
    };
    if options.inherit_env {
        add(Layer::Caller, caller(&options.caller, app.fields.filter_env.as_ref().map(|filter| &filter.0)));
    }
    let files = app.fields.env_file.as_ref().map(|Texts(files)| files.as_slice()).unwrap_or_default();
    for (index, text) in files.iter().enumerate() {
        let file = places.absolute(text);
        let at = if files.len() > 1 { app.at("env_file").index(index, None) } else { app.at("env_file") };
        if let Some(variables) = from_file(&file, &at, report) {
            add(Layer::EnvFile(file), variables);
        }
    }
    let mut env = app.fields.env.clone().map(|variables| variables.0).unwrap_or_default();
    if let Some(port) = &app.fields.port {
        env.insert("PORT".to_owned(), Secret::from(port.0.to_string()));
    }
    add(Layer::Env, env);
    if let Some(name) = &options.env_name {
        match app.fields.env_named.get(name) {
            Some(variables) => add(Layer::EnvNamed(name.clone()), variables.0.clone()),
            None if app.is_sound(&[fields::NAMED]) => warn_undefined(name, app, report),
            None => {}
        }
    }
    let text = |text: &Option<super::value::Text>| text.as_ref().map(|text| text.0.clone());
    Environment {
        layers,
        instance_var: text(&app.fields.instance_var).unwrap_or_else(|| "NODE_APP_INSTANCE".to_owned()),
        increment_var: text(&app.fields.increment_var),
    }
}

/// The value that the layers together give to `name`.
pub(super) fn lookup<'a>(environment: &'a Environment, name: &str) -> Option<&'a Secret> {
    environment.layers.iter().rev().find_map(|layer| layer.variables.get(name))
}

fn warn_undefined(name: &str, app: &App, report: &mut Report) {
    let known = app.fields.env_named.keys().map(String::as_str);
    let hint = nearest(name, known).map(|known| format!("did you mean `--env {known}`?"));
    let message = format!("the app has no variables for `--env {}`; it gets those of `env`", printable(name));
    report.warning(app.place(), message, hint);
}

fn from_file(file: &Path, at: &Place, report: &mut Report) -> Option<Variables> {
    let text = match document_file::read_text(file) {
        Ok(text) => text,
        Err(Unreadable { line, message }) => {
            let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
            report.problem(at, format!("{}{line}: {message}", shown(&file.to_string_lossy())), None);
            return None;
        }
    };
    match env_file::parse(&text) {
        Ok(variables) => Some(variables),
        Err(lines) => {
            for bad in lines {
                let problem = Problem {
                    origin: file.to_string_lossy().into_owned(),
                    line: Some(bad.line),
                    path: String::new(),
                    message: bad.message,
                    hint: Some(format!("the file is named by `{}`", at.path)),
                };
                report.elsewhere(at, problem);
            }
            None
        }
    }
}

/// Variables of the shell and of the supervision the caller itself may live under: they would tell an app lies.
const NOT_INHERITED: &[&str] = &[
    "_",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "NODE_APP_INSTANCE",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "PM2_HOME",
    "PM2_USAGE",
    "PM2_PROCESS_INSTANCE_VAR",
];

/// Further variables that PM2 and supd set for an app, by common names; left out only inside of such an app.
const OF_AN_APP: &[&str] = &[
    "args",
    "autorestart",
    "autostart",
    "automation",
    "created_at",
    "env",
    "exec_interpreter",
    "exec_mode",
    "exit_code",
    "filter_env",
    "instance_var",
    "instances",
    "kill_retry_time",
    "kill_timeout",
    "km_link",
    "listen_timeout",
    "merge_logs",
    "name",
    "namespace",
    "node_args",
    "node_version",
    "pmx",
    "prev_restart_delay",
    "restart_time",
    "status",
    "treekill",
    "unique_id",
    "unstable_restarts",
    "username",
    "version",
    "vizion",
    "vizion_running",
    "wait_ready",
    "watch",
    "windowsHide",
];

fn caller(caller: &Variables, filter: Option<&Filter>) -> Variables {
    let in_an_app = caller.contains_key("pm_id");
    let kept = |name: &str| {
        let supervision =
            NOT_INHERITED.contains(&name) || name.starts_with("SUPD_") || name.starts_with("pm_");
        let app = in_an_app && (OF_AN_APP.contains(&name) || name.starts_with("axm_"));
        let filtered = match filter {
            None | Some(Filter::Nothing) => false,
            Some(Filter::Everything) => true,
            Some(Filter::Named(exact)) => name == exact,
            Some(Filter::Containing(parts)) => parts.iter().any(|part| name.contains(part.as_str())),
        };
        !supervision && !app && !filtered
    };
    caller.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str], filter: Option<&Filter>) -> Vec<String> {
        let given = given.iter().map(|name| ((*name).to_owned(), Secret::from("x"))).collect();
        caller(&given, filter).into_keys().collect()
    }

    #[test]
    fn the_callers_own_supervision_is_not_passed_on() {
        let inside = ["HOME", "NODE_APP_INSTANCE", "PWD", "SUPD_HOME", "name", "pm_id", "pm_cwd", "status"];
        assert_eq!(names(&inside, None), ["HOME"]);
        assert_eq!(names(&["HOME", "name", "status"], None), ["HOME", "name", "status"]);
    }

    #[test]
    fn filters() {
        let given = ["AWS_KEY", "HOME", "MY_AWS"];
        assert_eq!(names(&given, Some(&Filter::Nothing)).len(), 3);
        assert!(names(&given, Some(&Filter::Everything)).is_empty());
        assert_eq!(names(&given, Some(&Filter::Named("AWS_KEY".to_owned()))), ["HOME", "MY_AWS"]);
        assert_eq!(names(&given, Some(&Filter::Containing(vec!["AWS".to_owned()]))), ["HOME"]);
    }
}
