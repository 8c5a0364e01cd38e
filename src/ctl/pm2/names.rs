//! By which names do units, probes and scripts know the files of the daemon? PM2's, as links to ours; nothing of somebody else's is touched.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::ctl::output::Output;
use crate::home::Home;

/// Makes the links, where a variable names one or the home is one of PM2's.
pub(super) fn link(home: &Home, is_pm2s: bool, output: &mut Output) {
    for (variable, name, ours) in [
        ("PM2_PID_FILE_PATH", "pm2.pid", home.pid_file()),
        ("PM2_LOG_FILE_PATH", "pm2.log", home.daemon_log()),
    ] {
        let given = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
        match given {
            _ if !ours.exists() => {}
            Some(theirs) => {
                if let Err(error) = make(&theirs, &ours) {
                    output.warn(&format!("{}: {error}; the file is {}", theirs.display(), ours.display()));
                }
            }
            // PM2's own files of before may be there.
            None if is_pm2s => drop(make(&home.path().join(name), &ours)),
            None => {}
        }
    }
}

/// A link of ours may be there already.
fn make(link: &Path, file: &Path) -> io::Result<()> {
    match symlink(file, link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match fs::read_link(link) {
            Ok(before) if before == file => Ok(()),
            Ok(_) | Err(_) => Err(error),
        },
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_somebody_elses_stays() {
        let directory = tempfile::tempdir().unwrap();
        let [ours, link, theirs] = ["supd.pid", "pm2.pid", "theirs"].map(|name| directory.path().join(name));
        fs::write(&ours, "1").unwrap();
        fs::write(&theirs, "2").unwrap();
        assert!(make(&link, &ours).is_ok() && make(&link, &ours).is_ok());
        assert_eq!(fs::read_to_string(&link).unwrap(), "1");
        assert!(make(&theirs, &ours).is_err() && make(&link, &theirs).is_err());
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "2");
    }
}
