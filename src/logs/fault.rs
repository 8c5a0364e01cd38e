//! What is wrong with a file.
//!
//! Question answered here: *may it be tried again, and what is to be told in it?* It may not touch the file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Notice;
use super::loss::{Loss, Losses, Untold};
use super::place::path_hash;

const RETRY: Duration = Duration::from_secs(1);

/// How a file has fared.
pub(super) struct Health {
    path: PathBuf,
    fault: Option<Fault>,
    /// What was dropped, and why; no line in the file tells it yet.
    untold: Loss,
    cause: Cause,
    losses: Losses,
}

struct Fault {
    cause: Cause,
    retry_at: Instant,
    lost_since: Loss,
    /// Something was lost since the last attempt.
    losing: bool,
}

/// Why something is missing.
#[derive(Clone)]
pub(super) struct Cause {
    text: String,
    errno: i32,
}

impl Cause {
    fn of(error: &io::Error) -> Self {
        Self { text: error.to_string(), errno: error.raw_os_error().unwrap_or_default() }
    }

    fn from_errno(errno: i32) -> Self {
        match errno {
            0 => Self { text: "the file could not be written".to_owned(), errno },
            known => Self::of(&io::Error::from_raw_os_error(known)),
        }
    }
}

impl Health {
    /// With what a predecessor has left to be told.
    pub(super) fn new(path: &Path, losses: Losses) -> Self {
        let Untold { loss, errno } = losses.untold(path_hash(path));
        Self { path: path.to_owned(), fault: None, untold: loss, cause: Cause::from_errno(errno), losses }
    }

    /// Whether it is too early to try again.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.fault.as_ref().is_some_and(|fault| now < fault.retry_at)
    }

    /// Why it cannot be written to; `None`: it can, as far as is known.
    pub(super) fn cause(&self) -> Option<&Cause> {
        self.fault.as_ref().map(|fault| &fault.cause)
    }

    /// It has been written to. A change for the better is told.
    pub(super) fn succeed(&mut self, tell: &dyn Fn(Notice)) {
        if let Some(fault) = self.fault.take() {
            tell(Notice::Recovered { path: self.path.clone(), lost: fault.lost_since });
        }
    }

    /// It cannot be written to. A change for the worse is told.
    pub(super) fn fail(&mut self, error: io::Error, now: Instant, tell: &dyn Fn(Notice)) {
        let retry_at = now + RETRY;
        match &mut self.fault {
            Some(fault) => {
                fault.retry_at = retry_at;
                if std::mem::take(&mut fault.losing) {
                    tell(Notice::Losing { path: self.path.clone() });
                }
            }
            None => {
                let cause = Cause::of(&error);
                self.fault = Some(Fault { cause, retry_at, lost_since: Loss::default(), losing: false });
                tell(Notice::Trouble { path: self.path.clone(), error });
            }
        }
    }

    /// This will never be in it.
    pub(super) fn lose(&mut self, loss: Loss, cause: &Cause) {
        if let Some(fault) = &mut self.fault {
            fault.lost_since += loss;
            fault.losing = true;
        }
        self.untold += loss;
        self.cause = cause.clone();
        self.note();
    }

    /// Whether a line should tell of a loss.
    pub(super) fn has_untold(&self) -> bool {
        self.untold != Loss::default()
    }

    /// That line.
    pub(super) fn marker(&self) -> String {
        format!("[supd] lost {} of output: {}\n", self.untold, self.cause.text)
    }

    /// It is in the file.
    pub(super) fn told(&mut self) {
        self.untold = Loss::default();
        self.note();
    }

    fn note(&self) {
        let untold = Untold { loss: self.untold, errno: self.cause.errno };
        self.losses.note(path_hash(&self.path), untold);
    }

    /// Nobody writes into it any more.
    pub(super) fn leave(&self, tell: &dyn Fn(Notice)) {
        if self.fault.is_some() {
            tell(Notice::Left { path: self.path.clone() });
        }
    }
}
