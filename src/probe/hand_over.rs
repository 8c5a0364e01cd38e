//! How is one of several workers asked that accept from the same port?
//!
//! By a connection of its own: both ends of it are ours until one is handed to the worker. It is a TCP connection, because
//! that is what the worker's server expects (a remote address, for example).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use tokio::net::{TcpListener, TcpStream};

/// A connected pair on the loopback interface: our end, and the accepted one.
///
/// # Errors
/// Those of socket(2), bind(2) and connect(2).
pub(super) async fn pair() -> io::Result<(TcpStream, OwnedFd)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let us = ours.local_addr()?;
    loop {
        let (accepted, peer) = listener.accept().await?;
        // Anybody may have connected meanwhile.
        if peer == us {
            return Ok((ours, accepted.into_std()?.into()));
        }
    }
}
