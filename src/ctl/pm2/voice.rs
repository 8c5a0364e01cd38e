//! How does `pm2` speak? `[PM2] …` on standard output, `[PM2][WARN] …` and `[PM2][ERROR] …` on standard error, which keeps the first clean
//! for who reads it.

use crate::ctl::ink::Ink;
use crate::ctl::output::{Failure, Output};

/// Every failure. PM2 knows no other code.
const FAILED: u8 = 1;

impl Output {
    /// What was done.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn announce(&mut self, text: &str) -> std::io::Result<()> {
        let prefix = Ink::Green.on("[PM2] ", self.style.colour);
        self.say(format!("{prefix}{text}"))
    }

    /// What should be known.
    pub(super) fn warn(&mut self, text: &str) {
        let prefix = Ink::Yellow.on("[PM2][WARN] ", self.style.aside.colour);
        self.note(&format!("{prefix}{text}"));
    }

    /// What went wrong. It is said even when silent.
    pub(super) fn complain(&mut self, text: &str) {
        let prefix = Ink::Red.on("[PM2][ERROR] ", self.style.aside.colour);
        self.quote(&format!("{prefix}{text}"), &[]);
    }
}

/// Tells why a command failed and gives its exit code.
pub(super) fn end(done: Result<(), Failure>, output: &mut Output) -> u8 {
    match done.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => 0,
        Err(Failure::Told(_)) => {
            let _ = output.flush();
            FAILED
        }
        Err(Failure::Fault(fault)) => {
            let _ = output.flush();
            output.complain(&fault.message);
            if let Some(hint) = &fault.hint {
                output.note(&format!("[PM2] {hint}"));
            }
            FAILED
        }
        Err(failure @ (Failure::Interrupted | Failure::Output(_) | Failure::Differs | Failure::Ended(_))) => {
            output.failure(failure)
        }
    }
}
