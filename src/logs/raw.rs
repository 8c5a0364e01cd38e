//! A log file as the kernel has it.
//!
//! Question answered here: *how is it opened, and how much does it take?* It may not know lines.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// Not blocking, because a path may name a FIFO (fifo(7)); without becoming a controlling terminal, because it may name one.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
}

/// How much of this the file takes, and why not all of it.
pub(super) fn write(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// With what it ends; `None`: it is empty, or no regular file.
pub(super) fn last_byte(path: &Path) -> Option<u8> {
    let metadata = path.metadata().ok()?;
    let mut byte = [0];
    let at = metadata.is_file().then(|| metadata.len().checked_sub(1))??;
    File::open(path).ok()?.read_exact_at(&mut byte, at).ok()?;
    Some(byte[0])
}
