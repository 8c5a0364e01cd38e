//! Where do words go, and in which dress? Standard output takes what was asked for, standard error the rest.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;
use supd_api::{Accepted, Fault, FaultCode};

use super::args::Global;

/// How text is dressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// JSON on standard output, in place of text.
    pub(crate) json: bool,
    /// Only what was asked for.
    pub(crate) silent: bool,
    /// Colours on standard output.
    pub(crate) colour: bool,
    /// Standard output is a terminal this wide; `None`: it is not a terminal.
    pub(crate) width: Option<u16>,
}

impl Style {
    /// As the flags, the environment (`NO_COLOR`, see no-color.org) and the terminal say.
    pub(crate) fn detect(global: &Global) -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json: global.json,
            silent: global.silent,
            colour: terminal && !global.no_color && !plain,
            width: terminal.then(|| comfy_table::Table::new().width().unwrap_or(80)),
        }
    }
}

/// Both streams of the process.
pub(crate) struct Output {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// How text is dressed.
    pub(crate) style: Style,
}

/// Why a command ends without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// To be told by [`Output::failure`].
    Fault(Fault),
    /// Told already.
    Told(FaultCode),
    /// Standard output takes no more.
    Output(io::Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Output {
    /// The streams of this process.
    pub(crate) fn process(style: Style) -> Self {
        Self::new(Box::new(BufWriter::new(io::stdout())), Box::new(io::stderr()), style)
    }

    /// Any two streams.
    pub(crate) fn new(out: Box<dyn Write>, err: Box<dyn Write>, style: Style) -> Self {
        Self { out, err, style }
    }

    /// A line of what was asked for.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref())
    }

    /// A line about what was done: left out when silent and when JSON speaks for itself.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        if self.speaks() { self.line(text) } else { Ok(()) }
    }

    /// Whether [`Output::say`] says anything.
    pub(crate) fn speaks(&self) -> bool {
        !self.style.silent && !self.style.json
    }

    /// One JSON document on a line.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Everything written so far reaches the reader.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// `warning: …` on standard error. Nobody is told when that is closed.
    pub(crate) fn warning(&mut self, text: &str) {
        self.tell("warning", text);
    }

    /// `error: …` on standard error.
    pub(crate) fn error(&mut self, text: &str) {
        self.tell("error", text);
    }

    /// `hint: …` on standard error.
    pub(crate) fn hint(&mut self, text: &str) {
        self.tell("hint", text);
    }

    /// Anything else on standard error; nothing when silent.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.style.silent {
            let _ = writeln!(self.err, "{text}");
        }
    }

    fn tell(&mut self, kind: &str, text: &str) {
        let indent = format!("\n{:1$}", "", kind.len() + 2);
        let _ = writeln!(self.err, "{kind}: {}", text.trim_end().replace('\n', &indent));
    }

    /// What the daemon made of an order: warnings and failed workers on standard error, or all of it as JSON.
    ///
    /// # Errors
    /// `Told` when a worker failed.
    pub(crate) fn outcome(&mut self, verb: &str, accepted: &Accepted) -> Result<(), Failure> {
        if self.style.json {
            self.json(accepted)?;
        }
        for (app, ids) in succeeded(accepted) {
            self.say(format!("{verb} {app} ({ids})"))?;
        }
        self.flush()?;
        let mut failed = false;
        for warning in &accepted.warnings {
            self.warning(warning);
        }
        for worker in &accepted.workers {
            if let Some(reason) = &worker.failure {
                failed = true;
                self.error(&format!("{} {}: {reason}", worker.app, worker.id));
            }
        }
        if failed { Err(Failure::Told(FaultCode::Failed)) } else { Ok(()) }
    }

    /// Tells why a command failed and gives its exit code.
    pub(crate) fn failure(&mut self, failure: Failure) -> u8 {
        let _ = self.flush();
        match failure {
            Failure::Told(code) => code.exit_code(),
            // The reader has seen enough (`supctl logs | head`): as if SIGPIPE had its default, but quietly.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::Output(error) => {
                self.error(&format!("cannot write to standard output: {error}"));
                FaultCode::Failed.exit_code()
            }
            Failure::Fault(fault) => {
                if self.style.json {
                    let _ = self.json(&json!({ "fault": fault })).and_then(|()| self.flush());
                } else {
                    self.error(&fault.message);
                    if let Some(hint) = &fault.hint {
                        self.hint(hint);
                    }
                }
                fault.code.exit_code()
            }
        }
    }
}

/// App by app, in order of appearance, the ids that succeeded.
fn succeeded(accepted: &Accepted) -> Vec<(&str, String)> {
    let mut apps: Vec<(&str, String)> = Vec::new();
    for worker in accepted.workers.iter().filter(|worker| worker.failure.is_none()) {
        match apps.iter_mut().find(|(app, _)| *app == worker.app.as_str()) {
            Some((_, ids)) => ids.push_str(&format!(", {}", worker.id)),
            None => apps.push((worker.app.as_str(), worker.id.to_string())),
        }
    }
    apps
}

/// A line on standard error from where no [`Output`] is at hand.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
