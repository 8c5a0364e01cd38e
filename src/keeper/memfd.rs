//! How does a large document travel as one descriptor? In an anonymous file (memfd_create(2)).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A new anonymous file that holds `bytes`, closed on exec. `name` is shown in `/proc/PID/fd` only.
///
/// # Errors
/// Those of memfd_create(2) and write(2).
pub fn write(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// The whole content of `file`, wherever its offset stands, so that duplicates do not disturb each other.
///
/// # Errors
/// `InvalidData` when it is larger than `max` bytes; `InvalidInput` when it is no anonymous file: reading from a pipe
/// or a network file system could block.
pub fn read(file: BorrowedFd<'_>, max: u64) -> io::Result<Vec<u8>> {
    // Only files in memory have seals (F_GET_SEALS in fcntl(2)).
    fcntl(file, FcntlArg::F_GET_SEALS)?;
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    let size = file.metadata()?.len();
    if size > max {
        let text = format!("a document of {size} bytes; at most {max} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
