//! Where do words go, and in which dress? Standard output takes what was asked for, standard error the rest.

use std::env;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;
use supd_api::{Accepted, Fault, FaultCode};

use super::args::Global;
use super::cells;
use super::ink::Ink;

/// As a shell tells of a command that SIGINT has ended: 128 + 2.
pub(crate) const INTERRUPTED: u8 = 130;

/// Something differs that was asked about. No code of a fault, as for diff(1).
pub(crate) const DIFFERS: u8 = 9;

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
    /// Standard error is a terminal, and what it shows.
    pub(crate) aside: Aside,
}

/// What standard error can show beside plain lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aside {
    /// Colours.
    pub(crate) colour: bool,
    /// Lines that are written over.
    pub(crate) bars: bool,
}

impl Style {
    /// As the flags, the environment (`NO_COLOR`, see no-color.org) and the terminal say.
    pub(crate) fn detect(global: &Global) -> Self {
        let (terminal, aside) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let plain = global.no_color || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|kind| kind == "dumb");
        Self {
            json: global.json,
            silent: global.silent,
            colour: terminal && !plain,
            width: terminal.then(|| comfy_table::Table::new().width().unwrap_or(80)),
            aside: Aside { colour: aside && !plain, bars: aside && !dumb },
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
    /// Somebody pressed Ctrl-C and was told what goes on all the same.
    Interrupted,
    /// Told already: something differs.
    Differs,
    /// Told already: the job that was run ended with this code.
    Ended(u8),
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

    /// Bytes as they are, on standard error. Nobody is told when that is closed.
    pub(crate) fn error_bytes(&mut self, bytes: &[u8]) {
        let _ = self.err.write_all(bytes);
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
        self.tell("warning", Ink::Yellow, text);
    }

    /// `error: …` on standard error.
    pub(crate) fn error(&mut self, text: &str) {
        self.tell("error", Ink::Red, text);
    }

    /// `hint: …` on standard error.
    pub(crate) fn hint(&mut self, text: &str) {
        self.tell("hint", Ink::Green, text);
    }

    /// Anything else on standard error; nothing when silent.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.style.silent {
            let _ = writeln!(self.err, "{text}");
        }
    }

    /// Lines that somebody else wrote, under a heading, on standard error.
    pub(crate) fn quote(&mut self, heading: &str, lines: &[String]) {
        let _ = writeln!(self.err, "{heading}");
        for line in lines {
            let _ = writeln!(self.err, "  {line}");
        }
    }

    fn tell(&mut self, kind: &str, ink: Ink, text: &str) {
        let indent = format!("\n{:1$}", "", kind.len() + 2);
        let kind = ink.on(&format!("{kind}:"), self.style.aside.colour);
        let _ = writeln!(self.err, "{kind} {}", text.trim_end().replace('\n', &indent));
    }

    /// What the daemon did at an order, or all of its answer as JSON.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn done(&mut self, verb: &str, accepted: &Accepted) -> io::Result<()> {
        if self.style.json {
            self.json(accepted)?;
        }
        for (app, ids) in succeeded(accepted) {
            self.say(format!("{verb} {app} ({ids})"))?;
        }
        self.flush()
    }

    /// What it warned of and what it failed to do, on standard error.
    ///
    /// # Errors
    /// `Told` when a worker failed.
    pub(crate) fn troubles(&mut self, accepted: &Accepted) -> Result<(), Failure> {
        for warning in &accepted.warnings {
            self.warning(warning);
        }
        let failures = failures(accepted);
        for failure in &failures {
            self.error(failure);
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::Told(FaultCode::Failed)) }
    }

    /// Tells why a command failed and gives its exit code.
    pub(crate) fn failure(&mut self, failure: Failure) -> u8 {
        let _ = self.flush();
        match failure {
            Failure::Told(code) => code.exit_code(),
            Failure::Interrupted => INTERRUPTED,
            Failure::Differs => DIFFERS,
            Failure::Ended(code) => code,
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
    let mut apps: Vec<(&str, Vec<u32>)> = Vec::new();
    for worker in accepted.workers.iter().filter(|worker| worker.failure.is_none()) {
        match apps.iter_mut().find(|(app, _)| *app == worker.app.as_str()) {
            Some((_, ids)) => ids.push(worker.id),
            None => apps.push((worker.app.as_str(), vec![worker.id])),
        }
    }
    apps.into_iter().map(|(app, ids)| (app, cells::numbers(&ids))).collect()
}

/// What failed, told once where several workers of an app have failed for the same reason.
fn failures(accepted: &Accepted) -> Vec<String> {
    let mut groups: Vec<(&str, &str, Vec<u32>)> = Vec::new();
    for worker in &accepted.workers {
        let (app, Some(reason)) = (worker.app.as_str(), worker.failure.as_deref()) else { continue };
        match groups.iter_mut().find(|group| (group.0, group.1) == (app, reason)) {
            Some((_, _, ids)) => ids.push(worker.id),
            None => groups.push((app, reason, vec![worker.id])),
        }
    }
    let told = |(app, reason, ids): (&str, &str, Vec<u32>)| {
        let all = accepted.workers.iter().filter(|worker| worker.app.as_str() == app).count();
        match ids.len() {
            several @ 2.. if several == all => format!("{app}: {several} workers: {reason}"),
            _ => format!("{app} {}: {reason}", cells::numbers(&ids)),
        }
    };
    groups.into_iter().map(told).collect()
}

/// A line on standard error from where no [`Output`] is at hand.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
