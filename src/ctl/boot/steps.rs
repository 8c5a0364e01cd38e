//! What is done to the machine, each step told to the user: files written and removed, commands run.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use supd_api::{Fault, FaultCode};

use super::place::{Owner, Place};
use super::unit::Scope;
use crate::atomic;
use crate::ctl::output::{Failure, Output};

/// So many of a unit's last log lines go into an error.
const LOG_LINES: usize = 15;

/// Carries steps out and tells them.
pub(crate) struct Steps<'a> {
    pub(crate) output: &'a mut Output,
    systemd: Systemd,
    wrote: Vec<PathBuf>,
    removed: Vec<PathBuf>,
    ran: Vec<String>,
}

/// Which systemd is asked.
#[derive(Clone, Debug)]
pub(crate) struct Systemd {
    scope: Scope,
    /// Where the user's systemd has its socket, when the caller's environment does not say.
    runtime: Option<PathBuf>,
    /// When this command began, as journalctl(1) takes it.
    since: String,
}

impl Systemd {
    /// The one that has, or shall have, units of this scope.
    pub(crate) fn new(scope: Scope, owner: &Owner) -> Self {
        let runtime = PathBuf::from(format!("/run/user/{}", owner.uid));
        let unsaid = scope == Scope::User && env::var_os("XDG_RUNTIME_DIR").is_none();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { scope, runtime: unsaid.then_some(runtime), since: format!("@{}", now.as_secs()) }
    }

    /// Runs a program that talks to it, and waits. Its answer is text in no language but English.
    fn run(&self, words: &[&str]) -> io::Result<Ended> {
        let [program, rest @ ..] = words else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).env("LC_ALL", "C").env("SYSTEMD_PAGER", "");
        if let Some(runtime) = &self.runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command.output()
    }

    /// Asks for a property of a unit; empty when there is no answer.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let words = [self.systemctl(), vec!["show", "--property", name, "--value", unit]].concat();
        self.run(&words).map(|ended| said(&ended.stdout)).unwrap_or_default()
    }

    fn systemctl(&self) -> Vec<&'static str> {
        match self.scope {
            Scope::System => vec!["systemctl", "--no-ask-password"],
            Scope::User => vec!["systemctl", "--user"],
        }
    }

    /// The last lines that are logged for a unit since this command began.
    pub(crate) fn last_lines(&self, unit: &str) -> String {
        let which = match self.scope {
            Scope::System => vec!["journalctl", "--unit", unit],
            Scope::User => vec!["journalctl", "--user", "--unit", unit],
        };
        let how = vec!["--quiet", "--output", "cat", "--since", &self.since];
        // What was said a moment ago may be on its way to the journal. Only root may wait for it.
        let _ = self.run(&["journalctl", "--sync"]);
        let text = self.run(&[which, how].concat()).map(|ended| said(&ended.stdout)).unwrap_or_default();
        // Not by `--lines`: together with `--since` these would be the first ones.
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl<'a> Steps<'a> {
    pub(crate) fn new(output: &'a mut Output, place: &Place) -> Self {
        let systemd = Systemd::new(place.scope, &place.owner);
        Self { output, systemd, wrote: Vec::new(), removed: Vec::new(), ran: Vec::new() }
    }

    pub(crate) fn systemd(&self) -> &Systemd {
        &self.systemd
    }

    /// Writes a file that everyone may read, whole or not at all, with the directories above it.
    pub(crate) fn write(&mut self, file: &Path, text: &str) -> Result<(), Failure> {
        let directory = file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory)
            .and_then(|()| atomic::write_with_mode(file, text.as_bytes(), 0o644))
            .map_err(|error| in_file(file, &error))?;
        self.wrote.push(file.to_owned());
        Ok(self.output.say(format!("wrote {}", file.display()))?)
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, file: &Path) -> Result<(), Failure> {
        fs::remove_file(file).map_err(|error| in_file(file, &error))?;
        self.removed.push(file.to_owned());
        Ok(self.output.say(format!("removed {}", file.display()))?)
    }

    /// Gives systemd an order.
    pub(crate) fn systemctl(&mut self, words: &[&str]) -> Result<(), Failure> {
        let words = [self.systemd.systemctl(), words.to_vec()].concat();
        self.run(&words)
    }

    /// Runs a command.
    pub(crate) fn run(&mut self, words: &[&str]) -> Result<(), Failure> {
        let line = words.iter().filter(|word| **word != "--no-ask-password").copied().collect::<Vec<_>>();
        let line = line.join(" ");
        let failed = |why: String| Fault::new(FaultCode::Failed, format!("`{line}` failed: {why}"));
        let ended = self.systemd.run(words).map_err(|error| failed(error.to_string()))?;
        self.ran.push(line.clone());
        if !ended.status.success() {
            let why = said(&ended.stderr);
            return Err(failed(if why.is_empty() { ended.status.to_string() } else { why }).into());
        }
        Ok(self.output.say(format!("ran {line}"))?)
    }

    /// Ends with what came of it all.
    pub(crate) fn tell(self, outcome: &str, text: &str) -> Result<(), Failure> {
        let Self { output, wrote, removed, ran, .. } = self;
        if output.style.json {
            let steps: Value = json!({
                "outcome": outcome, "message": text, "wrote": wrote, "removed": removed, "ran": ran,
            });
            output.json(&steps)?;
        }
        Ok(output.say(text)?)
    }
}

/// An error with the file it is about.
pub(crate) fn in_file(file: &Path, error: &io::Error) -> Fault {
    let code = match error.kind() {
        io::ErrorKind::PermissionDenied => FaultCode::Forbidden,
        _ => FaultCode::Failed,
    };
    Fault::new(code, format!("{}: {error}", file.display()))
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
