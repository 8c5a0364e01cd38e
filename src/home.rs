//! `SUPD_HOME`: where everything is that belongs to one daemon.
//!
//! Question answered here: *which file is where?* Shared by daemon and client; it may not read what the files say.

use std::path::{Path, PathBuf};
use std::{env, io};

use nix::unistd::geteuid;

/// The directory of one daemon: `--home`, else `$SUPD_HOME`, else for root the machine's `/var/lib/supd` if there is one
/// (the systemd unit makes it), else `~/.supd`. Absolute.
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
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let system = || Some(PathBuf::from(SYSTEM)).filter(|path| geteuid().is_root() && path.is_dir());
        let user =
            || env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".supd"));
        let directory = given.map(Path::to_owned).or_else(|| set("SUPD_HOME")).or_else(system).or_else(user);
        Self::at(&directory.ok_or(NoHome::Unknown)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_home_wins_and_a_long_one_is_refused() {
        let home = Home::find(Some(Path::new("/srv/supd"))).expect("a home");
        assert_eq!(home.socket(), Path::new("/srv/supd/supd.sock"));
        assert!(Home::at(Path::new(&format!("/{}", "x".repeat(96)))).is_ok());
        assert!(matches!(Home::at(Path::new(&format!("/{}", "x".repeat(97)))), Err(NoHome::TooLong(_))));
    }
}
