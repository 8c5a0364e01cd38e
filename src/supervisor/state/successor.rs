//! Is that file a supd, does it run on this machine, and could it go on from here?
//!
//! Asked before anything is given up for it, by running it: that proves its loader and libraries too. It may not be the one to
//! judge what is done about the answer.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use serde::{Deserialize, Serialize};
use supd_api::{Fault, FaultCode};
use supd_keeper::{can_take_over, memfd, protocol};

use crate::home::Home;
use crate::supervisor::state::ledger::Ledger;
use crate::supervisor::state::snapshot::Snapshot;
use crate::supervisor::state::upgrade::VERSION;

/// How long it may take to read everything and answer.
const CHECK_TIME: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// So much of what it says is read, in bytes. A pipe holds no less (pipe(7)); one that says more blocks until its time is over.
const SAID_MAX: usize = 64 << 10;
/// Of what it says about its failure, the last lines are shown.
const LINES_SHOWN: usize = 10;

/// All that there is to be read, each in the words of its owner.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    /// Version of the keeper's protocol.
    pub(crate) protocol: u32,
    pub(crate) snapshot: String,
    pub(crate) ledger: String,
    /// The keeper's table.
    pub(crate) table: String,
}

/// What a program answers that can read it.
#[derive(Serialize, Deserialize)]
struct Verdict {
    supd: String,
}

/// The role `supd check-state`: reads the state of a daemon from standard input and says whether this program could go on
/// from it.
pub fn check_state() -> ExitCode {
    match read_state() {
        Ok(()) => {
            let text = serde_json::to_string(&Verdict { supd: VERSION.to_owned() }).unwrap_or_default();
            // Whoever asked sees that the answer is missing.
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            let _ = writeln!(io::stderr(), "supd {VERSION} cannot go on from here: {why}");
            ExitCode::FAILURE
        }
    }
}

fn read_state() -> Result<(), String> {
    let mut text = Vec::new();
    io::stdin().read_to_end(&mut text).map_err(|error| error.to_string())?;
    let state: State = serde_json::from_slice(&text).map_err(|error| format!("the state: {error}"))?;
    if state.protocol > protocol::VERSION {
        let ours = protocol::VERSION;
        return Err(format!("the keeper speaks version {}, this program up to {ours}", state.protocol));
    }
    Snapshot::parse(state.snapshot.as_bytes())
        .and_then(Snapshot::try_out)
        .map_err(|error| format!("the snapshot: {error}"))?;
    Ledger::parse(state.ledger.as_bytes()).map_err(|error| format!("the ledger: {error}"))?;
    can_take_over(state.table.as_bytes())
}

/// Shows everything to the program and returns where it is and its version. Blocks.
///
/// # Errors
/// Why it cannot be the successor, and what to do.
pub(crate) fn check(binary: &Path, home: &Home, state: &State) -> Result<(PathBuf, String), Fault> {
    let program = inspect(binary)?;
    let shown = program.display();
    let invalid = |text: String| Fault::new(FaultCode::Invalid, text).hint("name the new `supd`");
    let broken =
        |error: io::Error| Fault::new(FaultCode::Failed, format!("{shown} could not be asked: {error}"));
    let mut child = start(&program, home, state).map_err(|error| match error.raw_os_error() {
        Some(libc_errno) => not_started(&program, Errno::from_raw(libc_errno)),
        None => broken(error),
    })?;
    let Some(status) = wait(&mut child).map_err(broken)? else {
        let text = format!("{shown} did not say within {CHECK_TIME:?} whether it can go on from here");
        return Err(
            Fault::new(FaultCode::Failed, text).hint("is it a supd? `supd --version` should answer at once")
        );
    };
    let said = |pipe: Option<OwnedFd>| pipe.map(said).unwrap_or_default();
    let (out, err) = (said(child.stdout.take().map(Into::into)), said(child.stderr.take().map(Into::into)));
    if !status.success() {
        return Err(refused(&program, status, &err));
    }
    let verdict: Verdict =
        serde_json::from_str(&out).map_err(|_| invalid(format!("{shown} is not a supd")))?;
    Ok((program, verdict.supd))
}

/// Whether it may be executed at all.
fn inspect(binary: &Path) -> Result<PathBuf, Fault> {
    let shown = binary.display();
    if !binary.is_absolute() {
        return Err(Fault::new(FaultCode::Invalid, format!("{shown} is not an absolute path")));
    }
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(FaultCode::NotFound, format!("there is no {shown}")),
        _ => Fault::new(FaultCode::Invalid, format!("{shown}: {error}")),
    };
    let program = binary.canonicalize().map_err(missing)?;
    let metadata = program.metadata().map_err(missing)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(Fault::new(FaultCode::Invalid, format!("{shown} is not an executable file")));
    }
    let open = program.ancestors().find(|part| is_open_to_others(part));
    if let Some(open) = open.filter(|_| geteuid().is_root()) {
        let open = open.display();
        let text = format!("{shown}: others than root could replace it, for {open} is theirs to write");
        return Err(Fault::new(FaultCode::Forbidden, text)
            .hint("a daemon of root executes only what root alone can change; install it in /usr/bin, say"));
    }
    Ok(program)
}

/// In a directory with the sticky bit nobody replaces what is somebody else's (inode(7)).
fn is_open_to_others(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(true, |metadata| {
        let (mode, sticky) = (metadata.mode(), metadata.is_dir() && metadata.mode() & 0o1000 != 0);
        metadata.uid() != 0 || (mode & 0o022 != 0 && !sticky)
    })
}

fn start(program: &Path, home: &Home, state: &State) -> io::Result<Child> {
    let mut input = File::from(memfd::write(c"supd-state", &serde_json::to_vec(state)?)?);
    input.rewind()?;
    Command::new(program)
        .arg("check-state")
        .arg("--home")
        .arg(home.path())
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // So that all of it can be ended.
        .process_group(0)
        .spawn()
}

/// Waits for its end; `None`: it took too long and has been killed.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + CHECK_TIME;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(LOOK_AGAIN);
    }
    // It has not been reaped, so the number of its group is still its own.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    child.wait()?;
    Ok(None)
}

/// What is in the pipe; whoever holds its other end is not waited for.
fn said(pipe: OwnedFd) -> String {
    let mut text = vec![0; SAID_MAX];
    let read = fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(io::Error::from)
        .and_then(|_| File::from(pipe).read(&mut text));
    text.truncate(read.unwrap_or(0));
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn not_started(program: &Path, errno: Errno) -> Fault {
    let shown = program.display();
    let text = match errno {
        Errno::ENOEXEC => format!("{shown} is not a program of this machine"),
        Errno::ENOENT => format!("{shown}: what it needs to be loaded, or its interpreter, is missing"),
        errno => format!("{shown} cannot be executed: {}", errno.desc()),
    };
    Fault::new(FaultCode::Invalid, text).hint("`supd --version` should work")
}

fn refused(program: &Path, status: ExitStatus, said: &str) -> Fault {
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
    let why = if last.is_empty() { status.to_string() } else { format!("{status}: {last}") };
    Fault::new(FaultCode::Failed, format!("{} cannot go on from the present state: {why}", program.display()))
        .hint("nothing has been changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(binary: &Path) -> Fault {
        let home = Home::at(Path::new("/tmp")).expect("a home");
        let state =
            State { protocol: 2, snapshot: String::new(), ledger: String::new(), table: String::new() };
        check(binary, &home, &state).expect_err("no successor")
    }

    #[test]
    fn what_is_not_a_supd_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &str, mode: u32| {
            let path = directory.path().join(name);
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            path
        };
        let cases = [
            (PathBuf::from("supd"), FaultCode::Invalid, "not an absolute path"),
            (PathBuf::from("/nonexistent/supd"), FaultCode::NotFound, "there is no"),
            (directory.path().to_owned(), FaultCode::Invalid, "not an executable file"),
            (file("plain", "", 0o644), FaultCode::Invalid, "not an executable file"),
            (file("garbage", "\u{1}\u{2}\u{3}", 0o755), FaultCode::Invalid, "not a program of this machine"),
            (file("lost", "#!/nonexistent/sh\n", 0o755), FaultCode::Invalid, "its interpreter, is missing"),
            (PathBuf::from("/bin/true"), FaultCode::Invalid, "is not a supd"),
            (file("sad", "#!/bin/sh\necho why >&2\nexit 3", 0o755), FaultCode::Failed, "exit status: 3: why"),
        ];
        for (binary, code, text) in cases {
            let fault = fault(&binary);
            assert_eq!(fault.code, code, "{fault:?}");
            assert!(fault.message.contains(text), "{fault:?}");
        }
        if geteuid().is_root() {
            assert_eq!(fault(&file("open", "#!/bin/sh\n", 0o777)).code, FaultCode::Forbidden);
        }
    }

    #[test]
    fn one_that_hangs_or_never_stops_talking_is_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("supd");
        fs::write(&path, "#!/bin/sh\nsleep 1000 & while :; do echo talk; done\n").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        let fault = fault(&path);
        assert!(fault.message.contains("did not say within 10s"), "{fault:?}");
    }
}
