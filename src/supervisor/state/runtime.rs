//! A daemon that was told at its start what to run, as in a container: it keeps no ledger, shows what its apps write on its own
//! standard streams, and ends when they have ended.
//!
//! Question answered here: *what is different in such a daemon?* What it was told waits in the keeper until it is begun, so that
//! neither the death of a supervisor loses it nor begins it twice.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use serde::{Deserialize, Serialize};
use supd_api::{Fault, LogPolicy, LogSink, LogTarget, StdoutForm};
use supd_core::{AppName, Exit, Over};
use supd_keeper::memfd;
use supd_keeper::protocol::{DescriptorName, Order};
use tokio::sync::oneshot;

use crate::supervisor::call::Pace;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::accept::accept;

/// What it is told is no longer than a request.
const SIZE_MAX: u64 = 64 << 20;
/// As for SIGKILL, by which that is done.
const KILLED: u8 = 137;
/// As shells tell of a command that could not be executed.
const NOT_EXECUTED: u8 = 127;

/// What stays of that after the apps have been started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runtime {
    auto_exit: bool,
    lines: StdoutForm,
    files: bool,
    /// With which code it ends; `None`: nothing has ended it yet, or somebody has asked for it.
    #[serde(default)]
    code: Option<u8>,
}

/// Whether standard input of `supd --runtime` says what to run.
///
/// # Errors
/// Why not.
pub fn check_runtime(text: &[u8]) -> Result<(), String> {
    parse(text).map(drop)
}

fn parse(text: &[u8]) -> Result<supd_api::Runtime, String> {
    let told: supd_api::Runtime = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if told.apps.is_empty() { Err("there is no app in it".to_owned()) } else { Ok(told) }
}

/// What this daemon was told and has not begun yet, from the document that the keeper has of it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn read(document: &OwnedFd) -> io::Result<supd_api::Runtime> {
    parse(&memfd::read(document.as_fd(), SIZE_MAX)?).map_err(io::Error::other)
}

impl Runtime {
    pub(crate) fn new(told: &supd_api::Runtime) -> Self {
        Self { auto_exit: told.auto_exit, lines: told.lines, files: told.files, code: None }
    }

    /// Output goes where our own goes, and into no file that nobody has declared.
    pub(crate) fn redirect(self, logs: &mut LogPolicy) {
        logs.sink.get_or_insert(LogSink::Stdout(self.lines));
        for target in [&mut logs.out_file, &mut logs.error_file] {
            if *target == LogTarget::Default && !self.files {
                *target = LogTarget::Discard;
            }
        }
    }
}

impl Shell {
    /// Starts what this daemon was told, as far as a predecessor has not. If that is impossible, the daemon ends.
    pub(crate) fn begin(&mut self, told: supd_api::Runtime) {
        if let Err(fault) = self.try_to_begin(told) {
            let hint = fault.hint.map_or(String::new(), |hint| format!(" ({hint})"));
            tracing::error!("{}{hint}", fault.message);
            self.end_with(fault.code.exit_code());
        }
        self.keep();
        self.keeper.order(Order::Close { name: DescriptorName::Runtime }, Vec::new());
    }

    fn try_to_begin(&mut self, told: supd_api::Runtime) -> Result<(), Fault> {
        let mut apps = told.apps;
        apps.retain(|app| self.core.revision(&AppName(app.name.to_string())).is_none());
        let revisions = apps.into_iter().map(accept).collect::<Result<Vec<_>, _>>()?;
        match revisions.iter().find_map(|revision| self.taken_address(&revision.declaration)) {
            Some(taken) => Err(taken.fault()),
            None => {
                tracing::info!("supervisor started; {} apps to run", revisions.len());
                // Nobody waits: the log tells what becomes of them.
                self.apply(revisions, false, Pace::default(), oneshot::channel().0);
                Ok(())
            }
        }
    }

    /// Ends the daemon when everything it was told to run has ended.
    pub(crate) fn end_when_over(&mut self) {
        if !self.runtime.is_some_and(|runtime| runtime.auto_exit) || self.core.is_halting() {
            return;
        }
        if let Some(over) = self.core.over() {
            let code = code_of(over);
            tracing::info!("all apps have ended: ending with code {code}");
            self.end_with(code);
        }
    }

    fn end_with(&mut self, code: u8) {
        if let Some(runtime) = &mut self.runtime {
            runtime.code = Some(code);
        }
        self.stop_everything(None);
    }

    /// With which code the daemon ends; 0 when somebody has asked for it.
    pub(crate) fn code(&self) -> u8 {
        self.runtime.and_then(|runtime| runtime.code).unwrap_or(0)
    }
}

/// As a shell tells of a command: a signal is 128 and its number.
fn code_of(over: Over<'_>) -> u8 {
    match over {
        Over::Well => 0,
        Over::Badly(Exit::Code(code)) => u8::try_from(*code).unwrap_or(1),
        Over::Badly(Exit::Signal(signal)) => {
            u8::try_from(*signal).map_or(1, |signal| signal.saturating_add(128))
        }
        Over::Badly(Exit::OutOfMemory) => KILLED,
        Over::Badly(Exit::NotStarted(_)) => NOT_EXECUTED,
        Over::Badly(Exit::NotReady(_) | Exit::Unfit(_) | Exit::TimedOut(_) | Exit::Unknown) => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    #[test]
    fn ends_become_codes_as_in_a_shell() {
        for (over, code) in [
            (Over::Well, 0),
            (Over::Badly(&Exit::Code(3)), 3),
            (Over::Badly(&Exit::Code(255)), 255),
            (Over::Badly(&Exit::Signal(9)), 137),
            (Over::Badly(&Exit::NotStarted("x: there is none".to_owned())), 127),
            (Over::Badly(&Exit::NotReady(Duration::ZERO)), 1),
            (Over::Badly(&Exit::Unknown), 1),
        ] {
            assert_eq!(code_of(over), code, "{over:?}");
        }
    }

    #[test]
    fn only_what_nobody_has_declared_is_redirected() {
        let (file, standard) =
            (LogTarget::File(PathBuf::from("/l/a.log")), LogSink::Stdout(StdoutForm::Json));
        let runtime = |files| Runtime { auto_exit: true, lines: StdoutForm::Json, files, code: None };
        let redirected = |files, logs: LogPolicy| {
            let mut logs = logs;
            runtime(files).redirect(&mut logs);
            (logs.out_file, logs.error_file, logs.sink)
        };
        let declared =
            LogPolicy { error_file: file.clone(), sink: Some(LogSink::Syslog), ..LogPolicy::default() };
        let expected = (LogTarget::Discard, LogTarget::Discard, Some(standard));
        assert_eq!(redirected(false, LogPolicy::default()), expected);
        assert_eq!(redirected(false, declared), (LogTarget::Discard, file, Some(LogSink::Syslog)));
        let expected = (LogTarget::Default, LogTarget::Default, Some(standard));
        assert_eq!(redirected(true, LogPolicy::default()), expected);
    }

    #[test]
    fn what_is_not_told_well_is_refused() {
        for (text, why) in [
            ("", "EOF"),
            (r#"{"apps":[],"auto_exit":true,"lines":"raw","files":false}"#, "no app"),
            (r#"{"apps":[],"auto_exit":true,"lines":"raw","files":false,"x":1}"#, "unknown field `x`"),
        ] {
            let refused = check_runtime(text.as_bytes()).expect_err(text);
            assert!(refused.contains(why), "{refused}");
        }
    }
}
