//! A socket of somebody who takes one message at a time.
//!
//! Question answered here: *does it take this message now?* The path is looked up for every message, so that whoever comes back after a
//! restart gets the next one.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

/// As much as may wait for a receiver that is busy, as sd_journal_send(3) asks for; the kernel gives less (`wmem_max`, socket(7)).
const WAITING_BYTES: usize = 8 << 20;
/// Below that a message is not cut any further.
const LEAST: usize = 64;

pub(super) struct Datagrams {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// So many bytes of output go into a message.
    most: usize,
}

impl Datagrams {
    pub(super) fn to(path: &Path, most: usize) -> Self {
        Self { path: path.to_owned(), socket: None, most }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// # Errors
    /// `WouldBlock`: not now. Otherwise those of socket(2) and send(2).
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(open()?),
        };
        match socket.send_to(message, &self.path) {
            Ok(_) => Ok(()),
            // The kernel is short of memory for a moment (unix(7)).
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether that is why a message of so many bytes of output was refused; smaller ones are to be sent from now on.
    pub(super) fn is_too_long(&mut self, error: &io::Error, taken: usize) -> bool {
        if error.raw_os_error() != Some(Errno::EMSGSIZE as i32) || self.most <= LEAST {
            return false;
        }
        self.most = (taken.min(self.most) / 2).max(LEAST);
        true
    }
}

fn open() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    // Without it less waits.
    let _ = setsockopt(&socket, sockopt::SndBuf, &WAITING_BYTES);
    Ok(socket)
}
