//! The binary `supd`: from its command line to the keeper or the supervisor.
//!
//! Question answered here: *who am I in the family of processes, and am I the only one of my home?* It may not know what a
//! supervisor does.

use std::env;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use supd_keeper::log::Level;
use supd_keeper::{Handover, Notifier, Options, memfd};

mod delegation;
mod handover;
mod log;

use crate::home::Home;
use crate::supervisor;

/// How long a detached daemon may take until its socket accepts.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Between two attempts while another daemon has the lock and does not answer.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// So much of a log, in bytes, is shown when the daemon did not come up.
const LOGGED_MAX: u64 = 4096;
/// Exit code of a daemon that finds another one in its home.
const TAKEN: u8 = 5;
/// The variable that names the control group below which workers get theirs.
const CGROUP: &str = "SUPD_CGROUP";

/// The supd daemon: keeps the apps of this machine running. `supctl` drives it, and starts it when needed.
#[derive(Debug, Parser)]
#[command(name = "supd", version, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  supd                 stay in the foreground (systemd, containers); the log goes to standard error\n  supd --daemon        detach; the log goes to $SUPD_HOME/supd.log\n\nVariables:\n  SUPD_LOG=debug          log more; or error, warn, info (the default), trace\n  SUPD_LOG_FORMAT=json    log objects, one a line\n  SUPD_CGROUP=DIR         a control group (cgroup2) for workers; by default supd's own, where systemd has delegated it"
)]
struct Arguments {
    /// Directory of this daemon; default: $SUPD_HOME, else ~/.supd
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Detach from the terminal; return when the control socket accepts
    #[arg(long)]
    daemon: bool,
    /// The part of `--daemon` that stays
    #[arg(long, hide = true)]
    detached: bool,
    /// The part of `supctl runtime` that stays: what to run is on standard input
    #[arg(long, hide = true)]
    runtime: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Started by the keeper only
    #[command(hide = true)]
    Supervisor,
    /// Started by the supervisor that is to be replaced, only
    #[command(hide = true)]
    CheckState,
}

/// Runs `supd`.
pub fn main() -> ExitCode {
    // Before anything else: a keeper that has been upgraded understood its command line in its first life.
    if let Some(handover) = supd_keeper::handed_over() {
        return go_on(handover);
    }
    let arguments = Arguments::parse();
    let done =
        Home::find(arguments.home.as_deref()).map_err(io::Error::other).and_then(|home| {
            match arguments.role {
                Some(Role::Supervisor) => Ok(supervise(home)),
                Some(Role::CheckState) => Ok(supervisor::check_state()),
                None if arguments.daemon => detach(&home),
                None if arguments.runtime => keep(&home, Station::Runtime(told()?)),
                None if arguments.detached => keep(&home, Station::Background),
                None => keep(&home, Station::Foreground),
            }
        });
    done.unwrap_or_else(|error| {
        // Where it cannot be written, the exit code has to say it.
        let _ = writeln!(io::stderr(), "error: {error}");
        ExitCode::FAILURE
    })
}

fn supervise(home: Home) -> ExitCode {
    // It is executed as /proc/self/exe, which would be its name in ps(1). Without a name it works as well.
    let _ = nix::sys::prctl::set_name(c"supd-supervisor");
    supd_keeper::log::open(home.daemon_logs());
    let log = log::start();
    let code = supervisor::run(home);
    log.flush();
    code
}

/// Where a keeper stands.
enum Station {
    /// Away from whoever started it.
    Background,
    /// Before the eyes of whoever started it.
    Foreground,
    /// There too, with what to run.
    Runtime(OwnedFd),
}

/// What standard input says is to be run. Nobody else is to read from there.
fn told() -> io::Result<OwnedFd> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    supervisor::check_runtime(&text).map_err(|why| {
        io::Error::new(io::ErrorKind::InvalidData, format!("standard input does not say what to run: {why}"))
    })?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    memfd::write(c"supd-runtime", &text)
}

/// Becomes the keeper of this home, if nobody else is.
fn keep(home: &Home, station: Station) -> io::Result<ExitCode> {
    if let Station::Background = station {
        // A new session: the terminal's hang-up is not ours.
        nix::unistd::setsid()?;
    }
    make(home)?;
    supd_keeper::log::open(home.daemon_logs());
    delegation::note();
    let Some(lock) = lock(home)? else {
        return Ok(match station {
            // Whoever waits for a detached daemon takes the other one for it.
            Station::Background => ExitCode::from(TAKEN),
            Station::Foreground => beside_another(home),
            // The other one knows nothing of what is to be run.
            Station::Runtime(_) => superfluous(home),
        });
    };
    let left = supd_keeper::end_leftovers(&format!("SUPD_HOME={}", home.path().display()));
    if left > 0 {
        let text = format_args!(
            "the keeper before this one was killed; {left} processes it left behind have been ended"
        );
        supd_keeper::log::say("keeper", Level::Warning, text);
    }
    let pid_file = home.pid_file();
    std::fs::write(&pid_file, std::process::id().to_string()).map_err(|error| at(&pid_file, &error))?;
    // A duplicate outlives this program: an upgrade must not let go of the lock.
    let kept = Rc::new(OwnedFd::from(lock.try_clone()?));
    let runtime = match station {
        Station::Runtime(told) => Some(Rc::new(told)),
        Station::Background | Station::Foreground => None,
    };
    let code = supd_keeper::run(&Options { lock: Some(kept), runtime, ..options(home) });
    tidy_up(home);
    drop(lock);
    Ok(code)
}

/// Another daemon serves this home. A unit takes it over; without one we are superfluous.
fn beside_another(home: &Home) -> ExitCode {
    let shown = home.path().display();
    let notifier = Notifier::from_env();
    if notifier.is_listened_to() {
        match handover::hand_over(home, &notifier) {
            Ok(keeper) => {
                eprintln!("supd: process {keeper} serves {shown} and belongs to this unit from now on");
                return ExitCode::SUCCESS;
            }
            Err(error) => eprintln!("error: the daemon of {shown} cannot be taken over: {error}"),
        }
    }
    superfluous(home)
}

fn superfluous(home: &Home) -> ExitCode {
    eprintln!("error: another supd serves {}", home.path().display());
    eprintln!("hint: `supctl list` talks to it; `supctl kill` ends it; --home DIR is another home");
    ExitCode::from(TAKEN)
}

/// Goes on as the keeper that an older program was, in this very process.
fn go_on(handover: Handover) -> ExitCode {
    let home = Home::at(handover.home()).unwrap_or_else(|error| handover.refuse(&error.to_string()));
    supd_keeper::log::open(home.daemon_logs());
    let code = supd_keeper::go_on(&options(&home), handover);
    tidy_up(&home);
    code
}

fn options(home: &Home) -> Options {
    let argv = ["supd", "supervisor", "--home"].map(str::to_owned).into_iter();
    let argv = argv.chain([home.path().display().to_string()]).collect();
    let cgroup = env::var_os(CGROUP).map(|path| PathBuf::from(path.to_string_lossy().into_owned()));
    Options { cgroup, ..Options::same_program(argv, home.path().to_owned()) }
}

fn tidy_up(home: &Home) {
    // It names nobody any more; a leftover would do no harm.
    let _ = std::fs::remove_file(home.pid_file());
}

fn make(home: &Home) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(home.path());
    made.map_err(|error| at(home.path(), &error))
}

/// The lock of this home; `None`: another process has it.
fn lock(home: &Home) -> io::Result<Option<Flock<File>>> {
    let path = home.lock();
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|error| at(&path, &error))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(at(&path, &errno.into())),
    }
}

/// Starts the keeper in the background and waits until its socket accepts. Another daemon of this home is as good; one
/// that is just ending (`supctl kill` a moment ago) still has the lock, so it is tried again.
fn detach(home: &Home) -> io::Result<ExitCode> {
    make(home)?;
    let path = home.daemon_log();
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| at(&path, &error))?;
    let before = log.metadata()?.len();
    let mut child = start(home, &log)?;
    let until = Instant::now() + START_TIMEOUT;
    while UnixStream::connect(home.socket()).is_err() {
        if Instant::now() > until {
            let text = format!("the daemon did not answer within {START_TIMEOUT:?}; see {}", path.display());
            return Err(io::Error::other(text));
        }
        match child.try_wait()? {
            None => std::thread::sleep(LOOK_AGAIN),
            Some(status) if status.code() == Some(i32::from(TAKEN)) => {
                std::thread::sleep(TRY_AGAIN);
                child = start(home, &log)?;
            }
            Some(status) => {
                let why = logged_since(&path, before)?;
                let text = format!("the daemon ended at once ({status}):\n{}", why.trim_end());
                return Err(io::Error::other(text));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A child that becomes the keeper of this home, or ends with [`TAKEN`].
fn start(home: &Home, log: &File) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--detached", "--home"])
        .arg(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone()?)
        .spawn()
}

/// What has been written to the log since it had that length.
fn logged_since(path: &Path, length: u64) -> io::Result<String> {
    let mut log = File::open(path)?;
    // It may have been put aside meanwhile.
    let begin = if log.metadata()?.len() < length { 0 } else { length };
    log.seek(SeekFrom::Start(begin))?;
    let mut text = Vec::new();
    log.take(LOGGED_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
