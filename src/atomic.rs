//! Files that are there whole or not at all.
//!
//! Question answered here: *how is a file replaced so that no crash and no full disk leaves half of it?*

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Writes beside `path`, makes it durable, renames it over `path` and makes the renaming durable. Mode 0600: such files
/// hold environments. One writer at a time.
///
/// # Errors
/// Those of the steps; the old file is then untouched.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_with_mode(path, content, 0o600)
}

/// The same with another mode, whatever the umask.
///
/// # Errors
/// As for [`write()`].
pub fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let beside = path.with_extension("new");
    let result = write_through(&beside, content, mode).and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // What is left of the attempt would only take up space.
        let _ = fs::remove_file(&beside);
    }
    result.and_then(|()| File::open(directory)?.sync_all())
}

fn write_through(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_and_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger.json");
        write(&path, b"one").expect("written");
        write(&path, b"two").expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1);
        write_with_mode(&path, b"three", 0o644).expect("replaced");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_failure_leaves_the_old_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ledger.json");
        write(&path, b"one").expect("written");
        fs::create_dir(directory.path().join("ledger.new")).expect("in the way");
        assert!(write(&path, b"two").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"one");
    }
}
