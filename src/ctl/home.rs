//! Where does the daemon of this user live, and may it be started there?

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use supd_api::{Fault, FaultCode};

use crate::home::{Home, NoHome};

/// So much of the end of the daemon's log goes into an error.
const LOG_TAIL_BYTES: u64 = 4096;
const LOG_TAIL_LINES: usize = 5;

/// `--home`, else `$SUPD_HOME`, else `~/.supd`.
///
/// # Errors
/// `Invalid` when there is no home directory or the path is too long for a socket.
pub(crate) fn find(flag: Option<&Path>) -> Result<Home, Fault> {
    Home::find(flag).map_err(nowhere)
}

/// As [`find`], for a daemon in the foreground: where nobody names one and `~/.supd` cannot be written to, it is in the temporary
/// directory.
///
/// # Errors
/// As there.
pub(crate) fn find_writable(flag: Option<&Path>) -> Result<Home, Fault> {
    Home::find_writable(flag).map_err(nowhere)
}

/// As [`find`], for a daemon that somebody develops with: `~/.supd-dev`, beside the daemon of this user.
///
/// # Errors
/// As there.
pub(crate) fn find_for_development(flag: Option<&Path>) -> Result<Home, Fault> {
    Home::find_for_development(flag).map_err(nowhere)
}

fn nowhere(error: NoHome) -> Fault {
    let hint = match error {
        NoHome::Unknown | NoHome::Relative(..) => "set SUPD_HOME or give --home DIR",
        NoHome::TooLong(_) => "choose a shorter SUPD_HOME",
        NoHome::Unwritable { .. } => {
            "set SUPD_HOME to a directory that can be written to (in a container with a read-only root: `--tmpfs /tmp`)"
        }
    };
    Fault::new(FaultCode::Invalid, error.to_string()).hint(hint)
}

/// Whether a daemon of this user may be started here: absent, or a directory of ours.
///
/// # Errors
/// `Invalid` when it is no directory, `Forbidden` when it is another user's or cannot be looked at.
pub(crate) fn check_ours(home: &Home) -> Result<(), Fault> {
    let shown = home.path().display();
    let meta = match fs::metadata(home.path()) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let code = match error.kind() {
                io::ErrorKind::PermissionDenied => FaultCode::Forbidden,
                _ => FaultCode::Invalid,
            };
            return Err(Fault::new(code, format!("{shown}: {error}")).hint("check SUPD_HOME or --home"));
        }
    };
    if !meta.is_dir() {
        return Err(Fault::new(FaultCode::Invalid, format!("{shown} is not a directory"))
            .hint("check SUPD_HOME or --home"));
    }
    let me = nix::unistd::geteuid().as_raw();
    if meta.uid() != me {
        return Err(Fault::new(
            FaultCode::Forbidden,
            format!("{shown} belongs to user id {}, this is user id {me}", meta.uid()),
        )
        .hint("run supctl as its owner, or give another --home"));
    }
    Ok(())
}

/// The last lines of the daemon's log; empty when there is none.
pub(crate) fn log_tail(home: &Home) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(home.daemon_log())?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let fault = check_ours(&Home::at(&file).unwrap()).unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        assert!(fault.message.ends_with("is not a directory"), "{}", fault.message);
        assert!(check_ours(&Home::at(&dir.path().join("absent")).unwrap()).is_ok());
    }

    #[test]
    fn the_tail_of_the_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        assert_eq!(log_tail(&home), "");
        let lines: Vec<String> = (0..2000).map(|line| line.to_string()).collect();
        fs::write(home.daemon_log(), lines.join("\n") + "\n").unwrap();
        assert_eq!(log_tail(&home), "1995\n1996\n1997\n1998\n1999");
    }
}
