//! What is different in apps that somebody works on? They are watched, whatever they declare, and a command may run after each change. It
//! may not start anything: that is `foreground.rs`'s.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use supd_api::{AppDeclaration, LogForm, Runtime, StdoutForm, WatchPolicy};

use super::args::Selection;
use super::declare;
use super::output::{Failure, Output};
use crate::config;

/// PM2's.
pub(crate) const STAMP: &str = "YYYY-MM-DD-HH:mm:ss";

/// How they are worked on.
#[derive(Debug, Default, Args)]
pub(crate) struct Dev {
    /// Files whose changes do not count, in the patterns of .gitignore; several by commas
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Run this command in a shell at the start and after each change
    #[arg(long, value_name = "COMMAND")]
    pub(crate) post_exec: Option<String>,
    /// Do not show what that command writes
    #[arg(long, requires = "post_exec")]
    pub(crate) silent_exec: bool,
    /// Show lines as they are, without `id|name | ` before them
    #[arg(long)]
    pub(crate) raw: bool,
    /// Begin every line with the time, in this format or as in 2026-01-31-12:00:00
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = STAMP)]
    pub(crate) timestamp: Option<String>,
    /// End when all apps have ended, as `runtime` does
    #[arg(long)]
    pub(crate) auto_exit: bool,
}

impl Dev {
    /// What a daemon of these apps is told.
    ///
    /// # Errors
    /// The command cannot be declared.
    pub(crate) fn runtime(
        self,
        mut apps: Vec<AppDeclaration>,
        output: &mut Output,
    ) -> Result<Runtime, Failure> {
        // A job runs by the clock.
        for app in apps.iter_mut().filter(|app| app.job.is_none()) {
            app.watch.enabled = true;
            app.watch.ignore.extend(self.ignore.iter().cloned());
        }
        if let Some(command) = &self.post_exec {
            apps.extend(self.after_changes(command, &apps, output)?);
        }
        for app in apps.iter_mut().filter(|app| app.logs.form == LogForm::Plain) {
            app.logs.form = self.timestamp.clone().map_or(LogForm::Plain, LogForm::Dated);
        }
        let lines = match self.raw {
            _ if output.style.json => StdoutForm::Json,
            true => StdoutForm::Raw,
            false => StdoutForm::Prefixed,
        };
        Ok(Runtime { apps, auto_exit: self.auto_exit, lines, files: false })
    }

    /// The command is an app of its own, which ends and is started again by any change that concerns one of the others.
    fn after_changes(
        &self,
        command: &str,
        apps: &[AppDeclaration],
        output: &mut Output,
    ) -> Result<Vec<AppDeclaration>, Failure> {
        let command =
            if self.silent_exec { format!("exec >/dev/null 2>&1\n{command}") } else { command.into() };
        let mut fields = serde_json::Map::from_iter([
            ("name".to_owned(), Value::from("post-exec")),
            ("script".to_owned(), Value::from("sh")),
            ("args".to_owned(), json!(["-c", command])),
            ("autorestart".to_owned(), Value::from(false)),
        ]);
        fields.extend(apps.first().map(|app| ("cwd".to_owned(), json!(app.cwd))));
        let options = declare::options(&Selection::default(), true);
        let mut declared = declare::accept(config::from_fields(fields, &options), output)?.apps;
        let watch = WatchPolicy {
            enabled: true,
            paths: apps.iter().flat_map(watched).collect(),
            ignore: apps.iter().flat_map(|app| app.watch.ignore.clone()).collect(),
            ..apps.first().map_or_else(WatchPolicy::default, |app| app.watch.clone())
        };
        declared.iter_mut().for_each(|app| app.watch = watch.clone());
        Ok(declared)
    }
}

fn watched(app: &AppDeclaration) -> Vec<PathBuf> {
    if app.watch.paths.is_empty() { vec![app.cwd.clone()] } else { app.watch.paths.clone() }
}
