//! A log that is one file and a few older ones.
//!
//! Question answered here: *into which file does the next line go?* Keeper and supervisor write into the same one without
//! telling each other: whoever finds it too long renames it, and whoever finds that the path leads elsewhere opens it anew.
//! So it may also be renamed or removed by others. It may not look at lines.

use std::fs::{File, Metadata, OpenOptions, canonicalize, metadata, read_link, rename};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::fstat;

/// From this length on, in bytes, a file is put aside.
const LENGTH_MAX: u64 = 4 << 20;

/// The files, the newest one first.
#[derive(Debug)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    length_max: u64,
}

impl Files {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, length_max: LENGTH_MAX }
    }

    /// Whether this descriptor is one of them, whatever it is called by now.
    pub(crate) fn have(&self, open: &impl AsFd) -> bool {
        let number = open.as_fd().as_raw_fd();
        let found = || {
            let file = metadata(format!("/proc/self/fd/{number}")).ok()?;
            // One that was removed has " (deleted)" behind its name (proc_pid_fd(5)).
            let link = read_link(format!("/proc/self/fd/{number}")).ok()?;
            let newest = self.paths.first()?;
            let beside = canonicalize(newest.parent()?).ok()? == link.parent()?;
            let name = newest.file_name()?.as_encoded_bytes();
            Some(file.is_file() && beside && link.file_name()?.as_encoded_bytes().starts_with(name))
        };
        found().unwrap_or(false)
    }

    /// The file to write into from now on, if it is another one than this.
    ///
    /// # Errors
    /// Those of open(2); the present one is still of use.
    pub(crate) fn renewed(&self, open: &impl AsFd) -> io::Result<Option<File>> {
        let Some(newest) = self.paths.first() else { return Ok(None) };
        let open = fstat(open)?;
        match metadata(newest) {
            Ok(there) if !is_same(&there, open.st_dev, open.st_ino) => {}
            Ok(there) if there.len() < self.length_max => return Ok(None),
            Ok(_) => self.put_aside()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = appending(newest)?;
        let known = file.metadata().is_ok_and(|file| is_same(&file, open.st_dev, open.st_ino));
        Ok((!known).then_some(file))
    }

    /// Every file takes the place of the next older one. One that cannot be renamed is emptied, for it may not grow for ever.
    fn put_aside(&self) -> io::Result<()> {
        let Some(newest) = self.paths.first() else { return Ok(()) };
        // A description of its own: the one that keeper and supervisor share would be locked for both.
        let Ok(file) = Flock::lock(appending(newest)?, FlockArg::LockExclusiveNonblock) else {
            // The other one is at it.
            return Ok(());
        };
        let held = file.metadata()?;
        let still = metadata(newest).is_ok_and(|there| is_same(&there, held.dev(), held.ino()));
        if !still || held.len() < self.length_max {
            return Ok(());
        }
        for pair in self.paths.windows(2).rev() {
            let [newer, older] = pair else { continue };
            match rename(newer, older) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return file.set_len(0),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn appending(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn is_same(file: &Metadata, device: u64, inode: u64) -> bool {
    (file.dev(), file.ino()) == (device, inode)
}

#[cfg(test)]
mod tests {
    use std::fs::{read_to_string, remove_file};
    use std::io::Write as _;

    use super::*;

    fn files(directory: &std::path::Path, length_max: u64) -> Files {
        let paths = ["log", "log.1", "log.2"].map(|name| directory.join(name)).to_vec();
        Files { paths, length_max }
    }

    #[test]
    fn there_are_never_more_or_longer_ones_whoever_writes() {
        let directory = tempfile::tempdir().unwrap();
        let log = files(directory.path(), 40);
        let first = appending(&log.paths[0]).unwrap();
        assert_eq!(first.metadata().unwrap().mode() & 0o777, 0o600);
        // Both begin with the description that one of them has inherited.
        let mut writers = [first.try_clone().unwrap(), first];
        for number in 0..100 {
            let writer = &mut writers[number % 2];
            if let Some(file) = log.renewed(writer).unwrap() {
                *writer = file;
            }
            writeln!(writer, "line {number:04}").unwrap();
        }
        let texts: Vec<String> = log.paths.iter().rev().map(|path| read_to_string(path).unwrap()).collect();
        let lines: Vec<String> = (88..100).map(|number| format!("line {number:04}\n")).collect();
        assert_eq!(texts, [lines[..4].concat(), lines[4..8].concat(), lines[8..].concat()]);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn one_that_was_renamed_or_removed_is_made_anew_and_still_known() {
        let directory = tempfile::tempdir().unwrap();
        let log = files(directory.path(), 1000);
        let file = appending(&log.paths[0]).unwrap();
        assert!(log.have(&file));
        assert!(log.renewed(&file).unwrap().is_none());
        rename(&log.paths[0], directory.path().join("log-20261121")).unwrap();
        assert!(log.have(&file));
        let anew = log.renewed(&file).unwrap().expect("another one");
        assert_eq!(anew.metadata().unwrap().ino(), metadata(&log.paths[0]).unwrap().ino());
        remove_file(&log.paths[0]).unwrap();
        assert!(log.have(&anew));
        assert!(log.renewed(&anew).unwrap().is_some());
        let other = appending(&directory.path().join("other")).unwrap();
        assert!(!log.have(&other) && !log.have(&std::io::pipe().unwrap().0));
    }

    #[test]
    fn what_cannot_be_put_aside_is_emptied() {
        let directory = tempfile::tempdir().unwrap();
        let log = files(directory.path(), 5);
        let mut file = appending(&log.paths[0]).unwrap();
        write!(file, "too long").unwrap();
        for older in &log.paths[1..] {
            std::fs::create_dir_all(older.join("x")).unwrap();
        }
        assert!(log.renewed(&file).unwrap().is_none());
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}
