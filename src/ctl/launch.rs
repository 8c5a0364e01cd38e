//! How does a daemon come to life when none answers? Runs `supd --daemon`, which detaches itself, and connects.
//! That there is only one, however many commands race, is the daemon's own duty (its lock).

use std::env;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use supd_api::{Fault, FaultCode};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::client::{Dialled, dial};
use super::output::note;
use crate::home::Home;

/// From the command to the first connection, everything included.
const START_TIME: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(5);

/// What starts a daemon.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// `supd`; `None`: beside this executable, else in `PATH`.
    pub(crate) program: Option<PathBuf>,
    /// Whether to say so on standard error.
    pub(crate) announce: bool,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl Launcher {
    /// The one of `supctl`.
    pub(crate) fn new(announce: bool) -> Self {
        Self { program: None, announce, limit: START_TIME }
    }

    /// Starts a daemon in this home and connects to it, or to the one that another command started meanwhile.
    ///
    /// # Errors
    /// `Unreachable` with the daemon's reason when it does not come up, `NotFound` without a `supd`, and those of
    /// [`super::home::check_ours`].
    pub(crate) async fn launch(&self, home: &Home) -> Result<UnixStream, Fault> {
        super::home::check_ours(home)?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => find()?,
        };
        if self.announce {
            note(&format!("no daemon runs in {}: starting it", home.path().display()));
        }
        let deadline = Instant::now() + self.limit;
        let ended = run(&program, home)?;
        match timeout_at(deadline, ended).await {
            Ok(Ok((status, said))) if !status.success() => match dial(home).await? {
                Dialled::Open(stream) => Ok(stream),
                Dialled::Absent => Err(refused(&program, status, &said)),
            },
            Ok(_) => connect_by(deadline, self.limit, home).await,
            Err(_) => Err(never_answered(home, self.limit)),
        }
    }
}

/// Runs the program; the receiver yields how its foreground process ended and what it said on standard error.
fn run(program: &Path, home: &Home) -> Result<oneshot::Receiver<(ExitStatus, String)>, Fault> {
    let mut child = Command::new(program)
        .arg("--daemon")
        .env("SUPD_HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Fault::new(FaultCode::Unreachable, format!("cannot run {}: {error}", program.display()))
        })?;
    let (tell, ended) = oneshot::channel();
    // A thread waits, so that an end is known at once and a hang stays bounded by the caller's deadline. A daemon
    // that came up may hold the pipe, so only a failure's words are read.
    std::thread::spawn(move || {
        let Ok(status) = child.wait() else { return };
        let mut said = String::new();
        if let (false, Some(pipe)) = (status.success(), child.stderr.take()) {
            let _ = pipe.take(4096).read_to_string(&mut said);
        }
        let _ = tell.send((status, said));
    });
    Ok(ended)
}

async fn connect_by(deadline: Instant, limit: Duration, home: &Home) -> Result<UnixStream, Fault> {
    loop {
        if let Dialled::Open(stream) = dial(home).await? {
            return Ok(stream);
        }
        if Instant::now() >= deadline {
            return Err(never_answered(home, limit));
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn refused(program: &Path, status: ExitStatus, said: &str) -> Fault {
    let said = said.trim();
    let reason = if said.is_empty() { status.to_string() } else { said.to_owned() };
    let reason = reason.strip_prefix("error: ").unwrap_or(&reason);
    Fault::new(FaultCode::Unreachable, format!("the daemon did not start: {reason}"))
        .hint(format!("`{} --daemon` shows the same", program.display()))
}

fn never_answered(home: &Home, limit: Duration) -> Fault {
    let tail = super::home::log_tail(home);
    let logged = if tail.is_empty() { "nothing was logged" } else { "the end of its log:" };
    let message = format!(
        "the daemon was started but does not answer after {} s; {logged}\n{tail}",
        limit.as_secs_f32()
    );
    Fault::new(FaultCode::Unreachable, message.trim_end())
        .hint(format!("see {}", home.daemon_log().display()))
}

/// `supd` beside this executable, else in `PATH`.
pub(crate) fn find() -> Result<PathBuf, Fault> {
    let beside = env::current_exe().ok().map(|me| me.with_file_name("supd"));
    let path = env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(env::split_paths(&path).map(|dir| dir.join("supd")))
        .find(|at| executable(at))
        .ok_or_else(|| {
            Fault::new(FaultCode::NotFound, "`supd` is neither beside supctl nor in PATH")
                .hint("install both, or add the directory of supd to PATH")
        })
}

fn executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
