//! Where is the log of the daemon itself, and how is it shown?
//!
//! It is wherever the keeper's standard error leads, so that is looked at, also of a daemon that does not answer. Where none
//! runs it is where the next one would write.

mod pages;
mod words;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use supd_api::{Fault, FaultCode};
use tokio::time::sleep;

use super::Session;
use super::args::DaemonLogArgs;
use super::boot::units_of;
use super::client::{Dialled, dial};
use super::output::{Failure, Output};
use crate::home::Home;
use crate::processes::unit_of;
use pages::Pages;

/// As many as `supctl logs` shows.
const LINES: usize = 15;
/// Between two looks at whether there are more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where the log is.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Files,
    /// The journal has it, under this unit of the machine's systemd or the user's.
    Journal {
        unit: String,
        user: bool,
    },
    /// Whatever the daemon was started with.
    Elsewhere(PathBuf),
}

/// `daemon logs`.
///
/// # Errors
/// `NotFound` when nobody keeps it, `Failed` when journalctl fails, and those of standard output.
pub(crate) async fn show(args: &DaemonLogArgs, session: &mut Session) -> Result<(), Failure> {
    let home = session.client.home().clone();
    let runs = matches!(dial(&home).await, Ok(Dialled::Open(_)));
    let place = if runs { place_of_running(&home) } else { place_of_next(&home) };
    let lines = args.lines.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    match place {
        Place::Files => files(&home, lines, args.follow, &mut session.output).await,
        Place::Journal { unit, user } => {
            let command = journalctl(&unit, user, lines, args.follow, session.output.style.json);
            journal(&command, &mut session.output)
        }
        Place::Elsewhere(path) => {
            let text = format!(
                "the daemon runs in the foreground: its log goes to its standard error, {}",
                path.display()
            );
            Err(Fault::new(FaultCode::NotFound, text).hint("look where it was started").into())
        }
    }
}

fn place_of_running(home: &Home) -> Place {
    let found = || {
        let pid: i32 = fs::read_to_string(home.pid_file()).ok()?.trim().parse().ok()?;
        let link = fs::read_link(format!("/proc/{pid}/fd/2")).ok()?;
        let directory = fs::canonicalize(home.path()).ok()?;
        Some(match unit_of(pid).filter(|_| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")) {
            Some(unit) => Place::Journal { unit: unit.name, user: unit.user },
            None if link.starts_with(&directory) => Place::Files,
            None => Place::Elsewhere(link),
        })
    };
    // A daemon that cannot be looked at: its files can perhaps be read.
    found().unwrap_or(Place::Files)
}

fn place_of_next(home: &Home) -> Place {
    // sd_booted(3)
    let booted = Path::new("/run/systemd/system").is_dir();
    let owner = home.path().metadata().map(|home| home.uid());
    let unit = owner.ok().filter(|_| booted).and_then(|owner| units_of(home, owner).into_iter().next());
    unit.map_or(Place::Files, |(unit, user)| Place::Journal { unit, user })
}

fn journalctl(unit: &str, user: bool, lines: usize, follow: bool, json: bool) -> Vec<String> {
    let mut words = vec!["journalctl"];
    words.extend(user.then_some("--user"));
    let lines = lines.to_string();
    words.extend(["--unit", unit, "--lines", &lines, "--no-pager"]);
    words.extend(["--output", if json { "json" } else { "short-iso" }]);
    words.extend(follow.then_some("--follow"));
    words.into_iter().map(str::to_owned).collect()
}

fn journal(command: &[String], output: &mut Output) -> Result<(), Failure> {
    let line = command.join(" ");
    output.note(&line);
    let [program, words @ ..] = command else { return Ok(()) };
    let failed = |why: String| Fault::new(FaultCode::Failed, format!("`{line}` failed: {why}"));
    let ended = Command::new(program).args(words).stdin(Stdio::null()).status();
    let status = ended.map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(status.to_string()).into()) }
}

async fn files(home: &Home, lines: usize, follow: bool, output: &mut Output) -> Result<(), Failure> {
    let paths = home.daemon_logs();
    let unreadable = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => FaultCode::Forbidden,
            _ => FaultCode::Failed,
        };
        Fault::new(code, error.to_string())
    };
    let (mut pages, last) = Pages::open(paths, lines).map_err(unreadable)?;
    if last.is_empty() && !follow {
        let text = format!("no daemon has logged anything in {}", home.path().display());
        return Err(Fault::new(FaultCode::NotFound, text).hint("`supctl ping` starts one").into());
    }
    tell(&last, output)?;
    if !follow {
        return Ok(());
    }
    loop {
        sleep(LOOK_AGAIN).await;
        let more = pages.more().map_err(unreadable)?;
        tell(&more, output)?;
    }
}

fn tell(lines: &[Vec<u8>], output: &mut Output) -> io::Result<()> {
    for line in lines {
        let text = if output.style.json { words::object(line) } else { words::readable(line) };
        output.line(text)?;
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_asked_in_words_that_can_be_typed() {
        let command = journalctl("supd.service", false, 15, false, false).join(" ");
        assert_eq!(command, "journalctl --unit supd.service --lines 15 --no-pager --output short-iso");
        let command = journalctl("supd.service", true, 1, true, true).join(" ");
        let expected = "journalctl --user --unit supd.service --lines 1 --no-pager --output json --follow";
        assert_eq!(command, expected);
    }
}
