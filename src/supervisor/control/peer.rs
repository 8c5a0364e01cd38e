//! Who is at the other end.

use nix::unistd::Uid;
use tokio::net::UnixStream;

/// Whether this client may do anything: it is the daemon's own user, or root. The kernel vouches for it
/// (`SO_PEERCRED`, unix(7)); the file modes say the same, but they can be changed.
pub(super) fn is_allowed(stream: &UnixStream) -> bool {
    let own = Uid::effective();
    stream.peer_cred().is_ok_and(|peer| Uid::from_raw(peer.uid()) == own || peer.uid() == 0)
}
