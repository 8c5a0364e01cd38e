//! Where does the daemon of this user live? Paths below `SUPD_HOME` and whether they can be used.

use std::env;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use supd_api::{Fault, FaultCode};

/// The longest path `sockaddr_un` holds, without its closing NUL (unix(7)).
const SUN_PATH_MAX: usize = 107;

/// So much of the end of the daemon's log goes into an error.
const LOG_TAIL_BYTES: u64 = 4096;
const LOG_TAIL_LINES: usize = 5;

/// `SUPD_HOME`: an absolute path whose socket path fits into a socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// `--home`, else `$SUPD_HOME`, else `~/.supd`.
    ///
    /// # Errors
    /// `Invalid` when there is no home directory or the path is too long for a socket.
    pub(crate) fn resolve(flag: Option<&Path>) -> Result<Self, Fault> {
        let given = flag
            .map(Path::to_path_buf)
            .or_else(|| env::var_os("SUPD_HOME").filter(|value| !value.is_empty()).map(PathBuf::from));
        let path = match given {
            Some(path) => path,
            None => env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .ok_or_else(|| {
                    Fault::new(FaultCode::Invalid, "no home directory is known for this user")
                        .hint("set SUPD_HOME or give --home DIR")
                })?
                .join(".supd"),
        };
        Self::at(&path)
    }

    /// The home at this path, made absolute.
    ///
    /// # Errors
    /// `Invalid` as for [`Home::resolve`].
    pub(crate) fn at(path: &Path) -> Result<Self, Fault> {
        let path = std::path::absolute(path)
            .map_err(|error| Fault::new(FaultCode::Invalid, format!("{}: {error}", path.display())))?;
        let home = Self(path);
        let length = home.socket().as_os_str().as_bytes().len();
        if length > SUN_PATH_MAX {
            return Err(Fault::new(
                FaultCode::Invalid,
                format!("{}: {length} bytes are too long for a socket path", home.socket().display()),
            )
            .hint(format!(
                "choose a shorter SUPD_HOME: at most {} bytes",
                SUN_PATH_MAX - "/supd.sock".len()
            )));
        }
        Ok(home)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("supd.sock")
    }

    /// The daemon's own log.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("supd.log")
    }

    /// Whether a daemon of this user may be started here: absent, or a directory of ours.
    ///
    /// # Errors
    /// `Invalid` when it is no directory, `Forbidden` when it is another user's or cannot be looked at.
    pub(crate) fn check_ours(&self) -> Result<(), Fault> {
        let shown = self.0.display();
        let meta = match fs::metadata(&self.0) {
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
    pub(crate) fn log_tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = fs::File::open(self.log())?;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_refused_with_its_limit() {
        let fits = Home::at(Path::new(&format!("/{}", "x".repeat(96))));
        assert!(fits.is_ok());
        let fault = Home::at(Path::new(&format!("/{}", "x".repeat(97)))).unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        assert_eq!(fault.hint.as_deref(), Some("choose a shorter SUPD_HOME: at most 97 bytes"));
    }

    #[test]
    fn a_file_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let fault = Home::at(&file).unwrap().check_ours().unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        assert!(fault.message.ends_with("is not a directory"), "{}", fault.message);
        assert!(Home::at(&dir.path().join("absent")).unwrap().check_ours().is_ok());
    }

    #[test]
    fn the_tail_of_the_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        assert_eq!(home.log_tail(), "");
        let lines: Vec<String> = (0..2000).map(|line| line.to_string()).collect();
        fs::write(home.log(), lines.join("\n") + "\n").unwrap();
        assert_eq!(home.log_tail(), "1995\n1996\n1997\n1998\n1999");
    }
}
