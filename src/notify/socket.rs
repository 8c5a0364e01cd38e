//! Where does a worker send its messages?
//!
//! To a datagram socket with an abstract name (unix(7)): workers of any user reach it, it needs no directory, and nothing is
//! left when it is closed. Who may speak is decided by the sender's credentials, not by permissions. A worker in another
//! network namespace cannot reach it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, setsockopt, socket, sockopt};
use nix::unistd::getppid;
use supd_keeper::protocol::RunId;

/// A new socket for this run, and the value of `NOTIFY_SOCKET` by which it is reached.
///
/// # Errors
/// Those of socket(2) and bind(2), above all `EMFILE`.
pub fn open(run: RunId) -> io::Result<(String, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    // Before it has a name: every datagram shall carry its sender's credentials.
    setsockopt(&socket, sockopt::PassCred, &true)?;
    // A name that nobody can have taken before; it need not be a secret. The keeper is our parent.
    let token = RandomState::new().build_hasher().finish();
    let name = format!("supd/{}/{}/{token:016x}", getppid(), run.0);
    bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name.as_bytes())?)?;
    Ok((format!("@{name}"), socket))
}
