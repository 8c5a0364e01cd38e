//! Looking into a pipe without taking anything out of it.
//!
//! Question answered here: *what does this pipe hold?* It may not decide what becomes of the bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice, tee};
use nix::unistd::pipe2;

/// The most that is taken from a pipe at a time, in bytes: the capacity of a pipe unless its owner changes it (pipe(7)).
pub(super) const CHUNK: usize = 64 * 1024;

/// What a pipe holds.
pub(super) enum Peek {
    /// Nothing now.
    Empty,
    /// Nothing, and there is no writer left.
    End,
    /// So many bytes, to be found in [`Lens::bytes`].
    Bytes(usize),
}

/// One scratch pipe and one buffer, for all pipes.
pub(super) struct Lens {
    scratch_out: File,
    scratch_in: OwnedFd,
    buffer: Box<[u8]>,
}

impl Lens {
    pub(super) fn new() -> io::Result<Self> {
        let (scratch_out, scratch_in) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { scratch_out: scratch_out.into(), scratch_in, buffer: vec![0; CHUNK].into() })
    }

    /// # Errors
    /// `EINVAL` when this is no pipe.
    pub(super) fn peek(&mut self, pipe: &OwnedFd) -> io::Result<Peek> {
        let count = match tee(pipe, &self.scratch_in, CHUNK, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => return Ok(Peek::End),
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Peek::Empty),
            Err(error) => return Err(error.into()),
        };
        self.scratch_out.read_exact(&mut self.buffer[..count])?;
        Ok(Peek::Bytes(count))
    }

    /// The first bytes of the pipe looked at last.
    pub(super) fn bytes(&self, count: usize) -> &[u8] {
        &self.buffer[..count]
    }
}

/// Moves `count` bytes, which must be there, out of the pipe into this file at its offset.
pub(super) fn consume(pipe: &OwnedFd, into: &File, mut count: usize) -> io::Result<()> {
    while count > 0 {
        match splice(pipe, None, into, None, count, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) | Err(Errno::EAGAIN) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(moved) => count -= moved,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How many bytes this pipe can hold.
pub(super) fn capacity(pipe: &OwnedFd) -> usize {
    fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(CHUNK)
}
