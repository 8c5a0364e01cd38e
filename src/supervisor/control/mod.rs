//! The control API: HTTP/1.1 with JSON over a Unix socket.
//!
//! Question answered here: *how does a client's request become a call to the loop, and how is a bad client kept from
//! hurting anybody but itself?* It may not decide anything about apps: it checks the form, asks the loop, and answers.

mod body;
mod connections;
mod door;
mod gate;
mod log_query;
mod observe;
mod openapi;
mod peer;
mod routes;
mod stream;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::watch;

pub(super) use door::{Door, Place, bind};

use crate::home::Home;
use crate::supervisor::inbox::Outlets;
use crate::supervisor::state::upgrade::Step;

/// The control socket: the one that the keeper has kept, or a new one. Mode 0600.
///
/// # Errors
/// Those of bind(2), with the path.
pub(super) fn listen(home: &Home, kept: Option<Arc<OwnedFd>>) -> io::Result<Arc<OwnedFd>> {
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let path = home.socket();
    let in_path = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.path()).map_err(in_path)?;
    // We hold the lock of this home, so whatever is there is a leftover.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_path(error)),
        Err(_) | Ok(()) => {}
    }
    let listener = StdListener::bind(&path).map_err(in_path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(in_path)?;
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::MAXALLOWABLE)?;
    Ok(Arc::new(listener.into()))
}

/// Serves clients until the doors are closed, which those who are being served may delay.
///
/// # Errors
/// The socket cannot be watched.
pub(super) fn serve(
    listener: Arc<OwnedFd>,
    closing: watch::Receiver<bool>,
    outlets: Outlets,
) -> io::Result<()> {
    let listener = StdListener::from(listener.as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let (listener, router) = (UnixListener::from_std(listener)?, routes::router(outlets.calls));
    tokio::spawn(async move {
        connections::accept(listener, router, closing).await;
        // The loop may have ended.
        let _ = outlets.steps.send(Step::DoorsClosed);
    });
    Ok(())
}
