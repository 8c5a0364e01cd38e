//! What a socket of an app is bound to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use supd_api::ListenAddress;

/// An address with everything that bind(2) needs to know. Its text is unique among endpoints.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A listening TCP socket.
    Tcp {
        /// Port 0: any free one.
        address: SocketAddr,
        /// For `[::]`: leave IPv4 to others (`IPV6_V6ONLY`, ipv6(7)).
        ipv6_only: bool,
    },
    /// A listening stream socket in the file system; an absolute path.
    Unix(PathBuf),
    /// A UDP socket, which Node's `dgram` shares among cluster workers too.
    Udp {
        /// Port 0: any free one.
        address: SocketAddr,
        /// As for TCP.
        ipv6_only: bool,
        /// `SO_REUSEADDR`, asked for by `dgram.createSocket({reuseAddr: true})`.
        reuse_address: bool,
    },
}

impl Endpoint {
    /// The port, where there is such a thing.
    pub fn port(&self) -> Option<u16> {
        self.address().map(|address| address.port())
    }

    /// The IP address and port, where there is such a thing.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { address, .. } | Self::Udp { address, .. } => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether the kernel is to choose the port.
    pub fn is_random(&self) -> bool {
        self.port() == Some(0)
    }

    /// The same with another IP address or port.
    pub(crate) fn at(&self, to: SocketAddr) -> Self {
        let mut moved = self.clone();
        match &mut moved {
            Self::Tcp { address, .. } | Self::Udp { address, .. } => *address = to,
            Self::Unix(_) => {}
        }
        moved
    }

    /// Whether this is `[::]` for both IP versions, which on a machine without IPv6 means `0.0.0.0`.
    pub(crate) fn is_dual_stack(&self) -> bool {
        match self {
            Self::Tcp { address, ipv6_only } | Self::Udp { address, ipv6_only, .. } => {
                address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !ipv6_only
            }
            Self::Unix(_) => false,
        }
    }
}

impl From<&ListenAddress> for Endpoint {
    fn from(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Tcp(address) => Self::Tcp { address: *address, ipv6_only: false },
            ListenAddress::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, ipv6_only, reuse_address) = match self {
            Self::Unix(path) => return write!(out, "{}", path.display()),
            Self::Tcp { address, ipv6_only } => (address, ipv6_only, false),
            Self::Udp { address, ipv6_only, reuse_address } => {
                out.write_str("udp ")?;
                (address, ipv6_only, *reuse_address)
            }
        };
        write!(out, "{address}")?;
        if *ipv6_only {
            out.write_str(" (IPv6 only)")?;
        }
        if reuse_address {
            out.write_str(" (reusable)")?;
        }
        Ok(())
    }
}
