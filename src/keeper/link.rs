//! How do keeper and supervisor exchange messages and descriptors?
//!
//! A packet of the `SOCK_SEQPACKET` pair is one marker byte and a JSON body. A body over [`INLINE_MAX`] travels in a
//! memfd, attached as the last descriptor: a packet as large as the body would have to fit into the socket's
//! buffer, and the environment of a worker may be larger than that. Nothing here blocks and nothing is retried:
//! `WouldBlock` surfaces, because only the caller knows what else it has to do.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, getsockopt, sendmsg, setsockopt, socketpair,
    sockopt,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::memfd;

/// The largest body, in bytes, that travels in the packet itself.
const INLINE_MAX: usize = 32 * 1024;
/// The largest body at all, in bytes.
const BODY_MAX: u64 = 16 * 1024 * 1024;
/// The kernel's limit of descriptors in one message (`SCM_MAX_FD`, unix(7)).
const DESCRIPTORS_MAX: usize = 253;
/// What we ask for as send buffer, in bytes; the kernel gives what it allows.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

const INLINE: u8 = b'i';
const IN_MEMFD: u8 = b'm';

/// The descriptor at which a supervisor finds its end of the link.
pub(crate) const SUPERVISOR_END: RawFd = 3;
/// The variable that says so: its value is the number.
pub(crate) const SUPERVISOR_ENV: &str = "SUPD_LINK";

/// One end of the connection between keeper and supervisor.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
}

impl Link {
    /// Two connected ends, both closed on exec.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        for socket in [&a, &b] {
            // Larger is better; whatever is granted suffices. FORCE needs CAP_NET_ADMIN (socket(7)).
            let _ = setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER)
                .or_else(|_| setsockopt(socket, sockopt::SndBuf, &SEND_BUFFER));
        }
        Ok((Self { socket: a }, Self { socket: b }))
    }

    /// The supervisor's end, as the keeper passed it. Takes ownership of the descriptor, so it works once.
    ///
    /// # Errors
    /// `NotFound` when this process was not started by a keeper, or the link has been taken already.
    pub fn inherited() -> io::Result<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let named = std::env::var(SUPERVISOR_ENV).is_ok_and(|number| number == SUPERVISOR_END.to_string());
        if !named || TAKEN.swap(true, Ordering::Relaxed) {
            let text = "no link to a keeper: the supervisor is started by the keeper, not by hand";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        // SAFETY: the keeper opened this number for us and nobody else knows of it; TAKEN makes us its only owner.
        // Were it closed after all, the next line fails and the value is not dropped.
        let socket = mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(SUPERVISOR_END) });
        if getsockopt(&*socket, sockopt::SockType)? != SockType::SeqPacket {
            let text = "the descriptor of the link is not the keeper's socket";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        fcntl(&*socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(Self { socket: mem::ManuallyDrop::into_inner(socket) })
    }

    /// Sends one message with descriptors, or nothing at all.
    ///
    /// # Errors
    /// `WouldBlock` when the other side has to read first; `InvalidInput` for more than 252 descriptors or a body
    /// over 16 MiB; else the connection is of no more use.
    pub fn try_send<T: Serialize>(&self, message: &T, attached: &[BorrowedFd<'_>]) -> io::Result<()> {
        let body = serde_json::to_vec(message)?;
        if body.len() as u64 > BODY_MAX || attached.len() >= DESCRIPTORS_MAX {
            let text =
                format!("a message of {} bytes with {} descriptors is too large", body.len(), attached.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut numbers: Vec<RawFd> = attached.iter().map(AsRawFd::as_raw_fd).collect();
        if body.len() <= INLINE_MAX {
            return self.send_packet(&[IoSlice::new(&[INLINE]), IoSlice::new(&body)], &numbers);
        }
        let file = memfd::write(c"supd-message", &body)?;
        numbers.push(file.as_raw_fd());
        self.send_packet(&[IoSlice::new(&[IN_MEMFD])], &numbers)
    }

    fn send_packet(&self, packet: &[IoSlice<'_>], numbers: &[RawFd]) -> io::Result<()> {
        let rights = [ControlMessage::ScmRights(numbers)];
        let control: &[ControlMessage<'_>] = if numbers.is_empty() { &[] } else { &rights };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.socket.as_raw_fd(), packet, control, flags, None)?;
        Ok(())
    }

    /// Receives one message with its descriptors; `None` when the other side is gone.
    ///
    /// When this process had no room for all descriptors (`EMFILE`), only those that fit come with the message: the
    /// receiver counts them anyway.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `InvalidData` for one that is not understood (it has been consumed, its
    /// descriptors are closed); else the connection is of no more use.
    pub fn try_recv<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut packet = [0; 1 + INLINE_MAX];
        let (size, mut attached) = receive(self.socket.as_fd(), &mut packet)?;
        let Some((&marker, body)) = packet.get(..size).ok_or_else(|| malformed("too long"))?.split_first()
        else {
            return Ok(None);
        };
        let message = match marker {
            INLINE => serde_json::from_slice(body),
            IN_MEMFD => {
                let file = attached.pop().ok_or_else(|| malformed("its body is missing"))?;
                serde_json::from_slice(&memfd::read(file.as_fd(), BODY_MAX).map_err(malformed)?)
            }
            _ => return Err(malformed("unknown marker")),
        };
        Ok(Some((message.map_err(malformed)?, attached)))
    }
}

fn malformed(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed message on the link: {why}"))
}

/// One packet: its true size, which exceeds the buffer when it was cut, and what was attached.
///
/// By hand and not by nix, which hides descriptors that have arrived when others were cut off: they would leak.
fn receive(socket: BorrowedFd<'_>, packet: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    // u64 for the alignment of cmsghdr; 8 bytes more than one header (16 bytes at most) and all numbers need.
    let mut control = [0u64; (16 + DESCRIPTORS_MAX * mem::size_of::<RawFd>()).div_ceil(8) + 1];
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    // SAFETY: all zeros is a valid msghdr (null pointers, no lengths).
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
    // SAFETY: header points to the buffers above, with their sizes, which live until the end of this function.
    let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if size < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut attached = Vec::new();
    // SAFETY: the kernel has filled in header and control; the macros walk within msg_controllen.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: not null, so it points to a header inside `control`.
        let found = unsafe { &*next };
        if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: plain arithmetic.
            let bytes = found.cmsg_len as usize - unsafe { libc::CMSG_LEN(0) } as usize;
            for at in 0..bytes / mem::size_of::<RawFd>() {
                // SAFETY: within the data the kernel wrote; each number is a new descriptor that is ours alone.
                attached.push(unsafe {
                    OwnedFd::from_raw_fd(libc::CMSG_DATA(next).cast::<RawFd>().add(at).read_unaligned())
                });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok((size as usize, attached))
}

impl From<OwnedFd> for Link {
    /// An end that came some other way; it must be a connected `SOCK_SEQPACKET` socket.
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.socket
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
