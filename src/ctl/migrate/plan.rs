//! What will become of each app? The plan, for people and as JSON. It holds names of variables, never their values.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};
use supd_api::{AppDeclaration, ExecMode, FaultCode};

use super::convert::{Converted, Note};
use super::document::File;
use super::source::Pm2;
use super::{declaration, sockets};
use crate::ctl::output::{Failure, Output};

/// How an app that runs is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It does not run.
    Stopped,
    /// It is started here before it is stopped there.
    Beside,
    /// It is stopped there first, for two cannot have its sockets.
    StopFirst(BTreeSet<u16>),
}

/// An app that supd takes.
pub(crate) struct Planned {
    pub(crate) app: Converted,
    pub(crate) way: Way,
    declaration: AppDeclaration,
}

/// Everything that was found.
pub(crate) struct Plan {
    pub(crate) apps: Vec<Planned>,
    /// Apps that supd does not take: PM2's name, and why.
    refused: Vec<(String, String)>,
    /// Modules of PM2's, which are not moved.
    modules: Vec<String>,
    /// Where it was found.
    pub(crate) origin: String,
    /// The PM2 that runs.
    pub(crate) running: Option<Pm2>,
}

impl Plan {
    pub(crate) fn new(
        converted: Vec<Converted>,
        modules: Vec<String>,
        origin: String,
        running: Option<Pm2>,
    ) -> Self {
        let (mut apps, mut refused) = (Vec::new(), Vec::new());
        for app in converted {
            match declaration(&app) {
                Ok(declaration) => {
                    let way = way(&app);
                    apps.push(Planned { app, way, declaration });
                }
                Err(why) => refused.push((app.called, why)),
            }
        }
        Self { apps, refused, modules, origin, running }
    }

    /// Tells it.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn show(&self, files: &[File], output: &mut Output) -> std::io::Result<()> {
        match output.style.json {
            true => output.json(&self.document(files)),
            false => output.say(self.text().trim_end()),
        }
    }

    /// Tells what is not taken.
    ///
    /// # Errors
    /// `Told` when that is something.
    pub(crate) fn outcome(&self, output: &mut Output) -> Result<(), Failure> {
        for (name, why) in &self.refused {
            output.error(&format!("{name}: not taken over: {why}"));
        }
        if self.refused.is_empty() { Ok(()) } else { Err(Failure::Told(FaultCode::Failed)) }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("from {}; what is lost is marked with !\n\n", self.origin);
        for planned in &self.apps {
            planned.text(self.running.is_some(), &mut text);
            text.push('\n');
        }
        if !self.modules.is_empty() {
            let _ = writeln!(text, "modules of PM2's, not taken over: {}\n", self.modules.join(", "));
        }
        text
    }

    pub(crate) fn document(&self, files: &[File]) -> Value {
        let apps: Vec<Value> =
            self.apps.iter().map(|planned| planned.document(self.running.is_some())).collect();
        let refused = |(name, why): &(String, String)| json!({ "name": name, "why": why });
        json!({
            "from": self.origin,
            "apps": apps,
            "refused": self.refused.iter().map(refused).collect::<Vec<_>>(),
            "modules": self.modules,
            "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        })
    }
}

fn way(app: &Converted) -> Way {
    let ports = sockets::ports(&app.pids);
    match app.is_up() {
        false => Way::Stopped,
        true if app.is_cluster() || !ports.is_empty() => Way::StopFirst(ports),
        true => Way::Beside,
    }
}

impl Planned {
    fn text(&self, running: bool, text: &mut String) {
        let declaration = &self.declaration;
        let mode = match declaration.exec_mode {
            ExecMode::Fork => "fork",
            ExecMode::Cluster => "cluster",
        };
        let program = &declaration.program;
        let command = program.interpreter.iter().chain(&program.interpreter_args).chain([&program.script]);
        let command: Vec<&str> = command.chain(&program.args).map(String::as_str).collect();
        let count = match self.app.up.len() {
            1 => String::new(),
            count => format!(", {count} workers"),
        };
        let _ = writeln!(text, "{} ({mode}{count}): {}", self.app.name, one_line(&command.join(" ")));
        let notes = self.app.notes.iter().map(|Note { field, text, lost }| {
            let mark = if *lost { "! " } else { "  " };
            (format!("{mark}{field}"), text.clone())
        });
        let moving = running.then(|| ("  moving".to_owned(), self.moving()));
        for (field, what) in notes.chain(self.variables()).chain(moving) {
            let _ = writeln!(text, "{field:<22}  {}", one_line(&what));
        }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let variables = &self.app.variables;
        let names =
            |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let guarded = variables.guarded.keys();
        let (shared, own): (Vec<_>, Vec<_>) = guarded.partition(|name| variables.shared.contains(*name));
        let guarded = match (names(own), shared.len()) {
            (own, 0) => own,
            (own, count) if own.is_empty() => format!("{count} that your shell has too"),
            (own, count) => format!("{own}, and {count} that your shell has too"),
        };
        let groups = [
            ("  env", names(variables.plain.keys().collect())),
            ("  env_file (0600)", guarded),
            ("  variables left out", names(variables.noise.iter().collect())),
        ];
        let said = groups.into_iter().filter(|(_, names)| !names.is_empty());
        said.map(|(field, names)| (field.to_owned(), names)).collect()
    }

    fn moving(&self) -> String {
        match &self.way {
            Way::Stopped => "it is stopped there, and stays so here".to_owned(),
            Way::Beside => "started here, then stopped there: no gap".to_owned(),
            Way::StopFirst(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let why = match ports.as_slice() {
                    [] => "its workers share PM2's sockets".to_owned(),
                    [port] => format!("it listens on port {port}"),
                    several => format!("it listens on ports {}", several.join(", ")),
                };
                format!("{why}: stopped there, then started here; not served in between, as in a restart")
            }
        }
    }

    fn document(&self, running: bool) -> Value {
        let Self { app, way, .. } = self;
        let way = running.then_some(match way {
            Way::Stopped => "stopped",
            Way::Beside => "beside",
            Way::StopFirst(_) => "stop first",
        });
        let notes: Vec<Value> = app
            .notes
            .iter()
            .map(|Note { field, text, lost }| json!({ "field": field, "text": text, "lost": lost }))
            .collect();
        let fields: serde_json::Map<String, Value> = app
            .fields
            .iter()
            .filter(|(_, value)| !value.is_object())
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect();
        json!({
            "name": app.name,
            "fields": fields,
            "env": app.variables.plain.keys().collect::<Vec<_>>(),
            "env_file": app.variables.guarded.keys().collect::<Vec<_>>(),
            "left_out": app.variables.noise,
            "notes": notes,
            "moving": way,
        })
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
