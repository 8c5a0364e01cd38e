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
    let accepted = accept(&listener, &ours).await?;
    Ok((ours, accepted.into_std()?.into()))
}

/// The other end of `ours`. Anybody else may have connected meanwhile.
async fn accept(listener: &TcpListener, ours: &TcpStream) -> io::Result<TcpStream> {
    let us = ours.local_addr()?;
    loop {
        let (accepted, peer) = listener.accept().await?;
        if peer == us {
            return Ok(accepted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stranger_is_not_handed_to_the_worker() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _stranger = TcpStream::connect(address).await.unwrap();
        let ours = TcpStream::connect(address).await.unwrap();
        let accepted = accept(&listener, &ours).await.unwrap();
        assert_eq!(accepted.peer_addr().unwrap(), ours.local_addr().unwrap());
    }
}
