//! What waits at the head of a datagram socket, and who has sent it?
//!
//! By hand and not by nix, which gives the credentials only when everything attached has arrived. Here nothing else is
//! to arrive: there is no room for descriptors, so the kernel closes them when the datagram is taken (unix(7)).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One datagram that has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its true length in bytes: more than the buffer has when it was cut.
    pub size: usize,
    /// The user of the process that sent it; `None` when the socket does not ask for credentials (`SO_PASSCRED`).
    pub sender: Option<u32>,
}

/// Shows the first datagram that waits, without taking it and without blocking.
///
/// # Errors
/// `WouldBlock` when there is none; those of recvmsg(2).
pub fn look(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    // SAFETY: plain arithmetic.
    const ROOM: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<libc::ucred>() as u32) } as usize;
    // u64 for the alignment of cmsghdr.
    let mut control = [0u64; ROOM.div_ceil(8)];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid msghdr (null pointers, no lengths).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = ROOM as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: header points to the buffers above, with their sizes, which live until the end of this function.
    let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if size < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled in header and control.
    let found = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: not null, so it points to a header inside `control`.
    let is_credentials = !found.is_null()
        && unsafe { (*found).cmsg_level == libc::SOL_SOCKET && (*found).cmsg_type == libc::SCM_CREDENTIALS };
    // SAFETY: credentials come whole or not at all (put_cmsg in the kernel cuts only what is larger than the room).
    let sender =
        is_credentials.then(|| unsafe { libc::CMSG_DATA(found).cast::<libc::ucred>().read_unaligned() }.uid);
    Ok(Datagram { size: size as usize, sender })
}
