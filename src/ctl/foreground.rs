//! How does this process become the daemon itself? What is to run is handed to `supd` on its standard input, and `supd` is executed in
//! place: it keeps the process id, in a container number 1 with its duties, and who waits for this process waits for it.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use supd_api::{Fault, FaultCode, Runtime};

use super::output::{Failure, Output};
use super::{home, launch};
use crate::home::Home;

/// The daemon that this process becomes.
#[derive(Debug)]
pub(crate) struct Foreground {
    /// Where it lives.
    pub(crate) home: Home,
    /// What it is told.
    pub(crate) runtime: Runtime,
    /// So long nothing is started.
    pub(crate) delay: Duration,
}

impl Foreground {
    /// Becomes it. This returns only when somebody asked for the end in the meantime.
    ///
    /// # Errors
    /// `Invalid` when two apps have one name, those of [`home::check_ours`] and [`launch::find`], and `Failed` when `supd` cannot be
    /// executed.
    pub(crate) fn become_it(self, output: &mut Output) -> Result<(), Failure> {
        let Self { home, runtime, delay } = self;
        refuse_namesakes(&runtime)?;
        home::check_ours(&home)?;
        let program = launch::find()?;
        let failed = |error: io::Error| {
            Failure::from(Fault::new(
                FaultCode::Failed,
                format!("cannot become {}: {error}", program.display()),
            ))
        };
        let told = document(&runtime).map_err(failed)?;
        output.flush()?;
        if asked_to_end(delay).map_err(failed)? {
            return Ok(());
        }
        let mut supd = Command::new(&program);
        supd.arg("--home").arg(home.path()).arg("--runtime").stdin(told);
        if output.style.silent && std::env::var_os("SUPD_LOG").is_none() {
            supd.env("SUPD_LOG", "warn");
        }
        Err(failed(supd.exec()))
    }
}

fn refuse_namesakes(runtime: &Runtime) -> Result<(), Fault> {
    let mut names: Vec<&str> = runtime.apps.iter().map(|app| app.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Fault::new(FaultCode::Invalid, format!("two apps are called `{}`", pair[0]))
            .hint("a name must be unique; declare them in one file, each with its `name`")),
        None => Ok(()),
    }
}

/// It holds environments, so it is no file that others could see.
fn document(runtime: &Runtime) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"supd-runtime", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(runtime)?)?;
    file.rewind()?;
    Ok(file)
}

/// Waits; whether SIGTERM or SIGINT has come meanwhile. They stay blocked, so that one that comes from here on waits for the keeper:
/// process 1 would never hear of it otherwise (kill(2)).
fn asked_to_end(delay: Duration) -> io::Result<bool> {
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    signals.thread_block()?;
    let file = SignalFd::new(&signals)?;
    let limit = PollTimeout::try_from(delay).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], limit)? > 0)
}
