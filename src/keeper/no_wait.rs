//! Writing to a stream that others may stop reading.
//!
//! Question answered here: *how much does it take right now?* The description of an inherited stream is shared with
//! whoever started us, so it may not be made non-blocking: that would be felt by them.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};

/// So much can be written without waiting when poll(2) says that a pipe can be written to (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

/// A stream that is written to without waiting.
#[derive(Debug)]
pub struct NoWait {
    stream: OwnedFd,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Every call can be told not to wait.
    Socket,
    /// The description is our own and does not wait, or it is a file.
    Own,
    /// Somebody else's pipe or terminal, which we may not open. Should another writer fill it between our looking and
    /// writing, we would wait.
    Shared,
}

impl NoWait {
    /// Another way to the same stream.
    ///
    /// # Errors
    /// `ENXIO`: a named pipe that nobody reads (fifo(7)); those of dup(2).
    pub fn to(stream: BorrowedFd<'_>) -> io::Result<Self> {
        let mode = SFlag::from_bits_truncate(fstat(stream)?.st_mode) & SFlag::S_IFMT;
        if mode == SFlag::S_IFSOCK {
            return Ok(Self { stream: stream.try_clone_to_owned()?, kind: Kind::Socket });
        }
        if mode == SFlag::S_IFREG {
            return Ok(Self { stream: stream.try_clone_to_owned()?, kind: Kind::Own });
        }
        let mut anew = OpenOptions::new();
        anew.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        match anew.open(format!("/proc/self/fd/{}", stream.as_raw_fd())) {
            Ok(anew) => Ok(Self { stream: anew.into(), kind: Kind::Own }),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Err(error),
            Err(_) => Ok(Self { stream: stream.try_clone_to_owned()?, kind: Kind::Shared }),
        }
    }

    /// Writes as much as it takes; of at most 4096 bytes a pipe takes all or nothing (pipe(7)).
    ///
    /// # Errors
    /// `WouldBlock`: nothing now. Otherwise those of write(2) and send(2).
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.kind {
            Kind::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(send(self.stream.as_raw_fd(), bytes, flags)?)
            }
            Kind::Own => Ok(nix::unistd::write(&self.stream, bytes)?),
            Kind::Shared => {
                let mut ready = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
                poll(&mut ready, PollTimeout::ZERO)?;
                if !ready[0].any().unwrap_or(false) {
                    return Err(Errno::EAGAIN.into());
                }
                Ok(nix::unistd::write(&self.stream, &bytes[..bytes.len().min(AT_ONCE)])?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _};

    use super::*;

    fn fill(stream: &NoWait) -> usize {
        let mut held = 0;
        while let Ok(count) = stream.write(&[b'x'; 5000]) {
            held += count;
        }
        held
    }

    fn drain(reader: &mut PipeReader, held: usize) {
        reader.read_exact(&mut vec![0; held]).unwrap();
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read_and_the_others_description_is_left_alone() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let own = NoWait::to(writer.as_fd()).unwrap();
        let held = fill(&own);
        assert!(held >= 50_000, "{held}");
        let flags = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        drain(&mut reader, held);
        assert_eq!(own.write(b"more").unwrap(), 4);
        drain(&mut reader, 4);

        let shared = NoWait { stream: writer.as_fd().try_clone_to_owned().unwrap(), kind: Kind::Shared };
        let held = fill(&shared);
        assert!(held >= 50_000, "{held}");
        drop(reader);
        assert!(own.write(b"more").is_err());
    }

    #[test]
    fn nobody_waits_for_a_socket() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = NoWait::to(ours.as_fd()).unwrap();
        assert!(fill(&stream) > 0);
        assert_eq!(stream.write(b"more").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(theirs);
        assert!(stream.write(b"more").is_err());
    }
}
