//! `SUPD_HOME`: where everything is that belongs to one daemon.
//!
//! Question answered here: *which file is where?* Shared by daemon and client; it may not read what the files say.

use std::fs::{DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{env, io};

use nix::unistd::{AccessFlags, access, geteuid};

/// The directory of one daemon: `--home`, else `$SUPD_HOME`, else for root the machine's `/var/lib/supd` if there is one
/// (the systemd unit makes it), else `~/.supd`; where that is not there, `supd-UID` in the temporary directory if a daemon that could
/// not make it has made that one, as in a container ([`Home::find_writable`]). Absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    directory: PathBuf,
}

/// Home of the daemon that serves the whole machine.
pub const SYSTEM: &str = "/var/lib/supd";

/// So many files the daemon's own log has at most.
const DAEMON_LOGS: usize = 5;

/// The longest path `sockaddr_un` holds, without its closing NUL (unix(7)).
const SUN_PATH_MAX: usize = 107;

/// Why there is no home.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHome {
    /// Nothing says where.
    #[error("neither --home, SUPD_HOME nor HOME says where supd shall keep its files")]
    Unknown,
    /// The socket would not fit.
    #[error("{}: {} bytes are too long for a socket path (at most {SUN_PATH_MAX})", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// Neither the usual one nor the one in its place can be written to.
    #[error("neither ~/.supd nor {} can be made: {reason}", .directory.display())]
    Unwritable {
        /// The one in its place.
        directory: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is no current directory to begin a relative path from.
    #[error("{0}: {1}")]
    Relative(String, String),
}

impl Home {
    /// Finds it.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn find(given: Option<&Path>) -> Result<Self, NoHome> {
        let temporary = || Some(temporary()).filter(|path| is_ours(path));
        let directory = match (named(given), usual()) {
            (Some(named), _) => Some(named),
            (None, Some(usual)) if usual.is_dir() => Some(usual),
            (None, usual) => temporary().or(usual),
        };
        Self::at(&directory.ok_or(NoHome::Unknown)?)
    }

    /// Finds one for a daemon in the foreground. Where nobody names one and the usual one cannot be written to, it is a private one in
    /// the temporary directory, which is made here.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn find_writable(given: Option<&Path>) -> Result<Self, NoHome> {
        if named(given).is_some() || usual().is_some_and(|usual| can_be_written(&usual)) {
            return Self::find(given);
        }
        let temporary = temporary();
        // It may be there from last time.
        let made = DirBuilder::new().mode(0o700).create(&temporary);
        let reason = match made {
            _ if is_ours(&temporary) => return Self::at(&temporary),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => error.to_string(),
            Ok(()) | Err(_) => "it is there, and not a directory that is this user's alone".to_owned(),
        };
        Err(NoHome::Unwritable { directory: temporary, reason })
    }

    /// Finds one for a daemon that somebody develops with: apart from the usual one, whose apps go on meanwhile.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn find_for_development(given: Option<&Path>) -> Result<Self, NoHome> {
        Self::at(&named(given).or_else(|| of_user(".supd-dev")).ok_or(NoHome::Unknown)?)
    }

    /// The home in this directory.
    ///
    /// # Errors
    /// [`NoHome`].
    pub fn at(directory: &Path) -> Result<Self, NoHome> {
        let absolute = std::path::absolute(directory);
        let relative =
            |error: io::Error| NoHome::Relative(directory.display().to_string(), error.to_string());
        let home = Self { directory: absolute.map_err(relative)? };
        let socket = home.socket();
        if socket.as_os_str().len() > SUN_PATH_MAX { Err(NoHome::TooLong(socket)) } else { Ok(home) }
    }

    /// The directory itself, mode 0700.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The control socket, mode 0600.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("supd.sock")
    }

    /// Locked (flock(2)) by the one daemon.
    pub fn lock(&self) -> PathBuf {
        self.directory.join("supd.lock")
    }

    /// Process id of the keeper.
    pub fn pid_file(&self) -> PathBuf {
        self.directory.join("supd.pid")
    }

    /// The daemon's own log, when it was started detached; mode 0600.
    pub fn daemon_log(&self) -> PathBuf {
        self.directory.join("supd.log")
    }

    /// That log and where its older lines are, the newest file first.
    pub fn daemon_logs(&self) -> Vec<PathBuf> {
        let older = (1..DAEMON_LOGS).map(|age| self.directory.join(format!("supd.log.{age}")));
        [self.daemon_log()].into_iter().chain(older).collect()
    }

    /// What is entrusted to the daemon, mode 0600.
    pub fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.json")
    }

    /// Settings of the daemon, mode 0600.
    pub fn settings(&self) -> PathBuf {
        self.directory.join("settings.json")
    }

    /// Logs of the apps.
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// What is known of crashes, one directory an app.
    pub fn crashes(&self) -> PathBuf {
        self.directory.join("crashes")
    }

    /// Pid files of the workers.
    pub fn pids(&self) -> PathBuf {
        self.directory.join("pids")
    }

    /// All of these, and what they are called while they are being replaced ([`crate::atomic`]).
    pub fn all(&self) -> Vec<PathBuf> {
        let replaced = [self.ledger(), self.settings()];
        let unfinished = replaced.clone().map(|file| file.with_extension("new"));
        let others = [self.socket(), self.lock(), self.pid_file(), self.logs(), self.crashes(), self.pids()];
        replaced.into_iter().chain(unfinished).chain(others).chain(self.daemon_logs()).collect()
    }
}

/// The directory that somebody names.
fn named(given: Option<&Path>) -> Option<PathBuf> {
    let set = || env::var_os("SUPD_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    given.map(Path::to_owned).or_else(set)
}

/// Where it is if nobody does.
fn usual() -> Option<PathBuf> {
    let system = || Some(PathBuf::from(SYSTEM)).filter(|path| geteuid().is_root() && path.is_dir());
    system().or_else(|| of_user(".supd"))
}

fn of_user(name: &str) -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(name))
}

fn temporary() -> PathBuf {
    env::temp_dir().join(format!("supd-{}", geteuid()))
}

/// Whether it is, or can be made, a directory to write to.
fn can_be_written(directory: &Path) -> bool {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(directory);
    made.is_ok() && access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Whether it is a directory, no link to one, that is ours alone: everybody may make something of this name there.
fn is_ours(directory: &Path) -> bool {
    let ours = |found: Metadata| {
        found.is_dir() && found.uid() == geteuid().as_raw() && found.permissions().mode() & 0o077 == 0
    };
    directory.symlink_metadata().is_ok_and(ours)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_of_somebody_elses_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, mode| {
            let path = directory.path().join(name);
            DirBuilder::new().mode(mode).create(&path).unwrap();
            path
        };
        let (ours, open) = (at("ours", 0o700), at("open", 0o755));
        symlink(&ours, directory.path().join("link")).unwrap();
        assert!(is_ours(&ours));
        assert!(
            !is_ours(&open) && !is_ours(&directory.path().join("link")) && !is_ours(Path::new("/absent"))
        );
        assert!(
            can_be_written(&directory.path().join("new/and/deep")) && !can_be_written(Path::new("/proc/x"))
        );
    }

    #[test]
    fn a_given_home_wins_and_a_long_one_is_refused() {
        let home = Home::find(Some(Path::new("/srv/supd"))).expect("a home");
        assert_eq!(home.socket(), Path::new("/srv/supd/supd.sock"));
        assert!(Home::at(Path::new(&format!("/{}", "x".repeat(96)))).is_ok());
        assert!(matches!(Home::at(Path::new(&format!("/{}", "x".repeat(97)))), Err(NoHome::TooLong(_))));
    }
}
