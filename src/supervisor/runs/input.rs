//! What is written to the standard input of workers.
//!
//! A worker's input is a pipe whose write end the keeper holds too: it ends neither with us nor with a client, and a worker that
//! reads it finds no end of file as long as it lives. A text goes into it at once and whole, or not at all (`PIPE_BUF`, pipe(7)): nothing
//! is kept here for a worker that does not read, and our death cuts no line.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::unistd::write;
use supd_api::{Accepted, AppName, Fault, FaultCode, InputRequest, Stdin, WorkerOutcome};
use supd_core::RunId;

use crate::supervisor::now;
use crate::supervisor::turn::Shell;

/// Why nothing goes into a pipe now. If that is so of all that are meant, the request is refused with `Limit`.
const FULL: &str = "it does not read its standard input, which is full";

impl Shell {
    /// Writes a text to the standard input of workers.
    pub(crate) fn write_input(&self, request: &InputRequest) -> Result<Accepted, Fault> {
        let text = request.text.as_bytes();
        if text.is_empty() || text.len() > InputRequest::MAX {
            let text = format!("a text of {} bytes; 1 to {} go at once", text.len(), InputRequest::MAX);
            return Err(Fault::new(FaultCode::Invalid, text).hint("send it line by line"));
        }
        let wanted = self.resolve(&request.targets)?;
        let mut accepted = Accepted::default();
        for seat in self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0)) {
            let Ok(app) = AppName::new(seat.app.0.clone()) else { continue };
            let run = seat.run.filter(|run| run.pid.is_some()).ok_or("it does not run".to_owned());
            let failure = run.and_then(|run| self.write_to(run.run, text)).err();
            accepted.workers.push(WorkerOutcome { id: seat.worker.0, app, failure, exit: None });
        }
        accepted.workers.sort_by_key(|outcome| outcome.id);
        if accepted.workers.iter().all(|outcome| outcome.failure.as_deref() == Some(FULL)) {
            return Err(Fault::new(FaultCode::Limit, FULL).hint("try again when it has read what is there"));
        }
        Ok(accepted)
    }

    fn write_to(&self, run: RunId, text: &[u8]) -> Result<(), String> {
        let Some(input) = self.inputs.get(&run) else {
            let declared = self.revision_of(run).map(|revision| revision.declaration.stdin);
            return Err(match declared {
                Some(Stdin::Pipe) => "it was started without a standard input; restart it".to_owned(),
                Some(Stdin::Null) | None => {
                    "its standard input is /dev/null; declare `stdin: \"pipe\"` to write to it".to_owned()
                }
            });
        };
        put(input, text).map_err(|errno| match errno {
            Errno::EAGAIN => FULL.to_owned(),
            Errno::EPIPE => "it has closed its standard input".to_owned(),
            other => format!("its standard input: {}", other.desc()),
        })
    }
}

/// At most [`InputRequest::MAX`] bytes, all or none.
fn put(input: &OwnedFd, text: &[u8]) -> Result<(), Errno> {
    write(input, text).map(drop)
}
