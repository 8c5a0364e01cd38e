//! Making sockets that listen.
//!
//! Question answered here: *how does an [`Endpoint`] become a descriptor, or an error that says what to do?* May
//! not know apps or runs, and keeps nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrStorage, UnixAddr,
    setsockopt, sockopt,
};
use supd_api::Balance;

use super::Endpoint;

/// A socket ready to be shared: listening (except UDP), non-blocking, close-on-exec.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: OwnedFd,
    /// Where it is bound, with the port the kernel chose.
    pub endpoint: Endpoint,
}

/// Why an endpoint could not be had. Its text names the address and the reason, [`BindError::remedy`] what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What the kernel said. `EADDRINUSE`: [`holder`](super::holder()) may find out by whom.
    pub errno: Errno,
}

impl std::error::Error for BindError {}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot listen on {}: {}", self.endpoint, self.errno.desc())
    }
}

impl BindError {
    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        let directory = || match &self.endpoint {
            Endpoint::Unix(path) => path.parent().unwrap_or(Path::new("/")).display().to_string(),
            Endpoint::Tcp { .. } | Endpoint::Udp { .. } => String::new(),
        };
        match (self.errno, &self.endpoint) {
            (Errno::EADDRINUSE, Endpoint::Unix(path)) => format!(
                "stop the process that answers on {0}; if {0} is not a socket, remove it or choose another path",
                path.display()
            ),
            (Errno::EADDRINUSE, _) => {
                "stop the process that has this port, or choose another port".to_owned()
            }
            (Errno::EACCES, Endpoint::Unix(_)) => format!("make {} writable for the daemon", directory()),
            (Errno::EACCES, _) => format!(
                "ports below {} need the capability CAP_NET_BIND_SERVICE (in a systemd unit: \
                 AmbientCapabilities=CAP_NET_BIND_SERVICE), or choose a higher port",
                first_unprivileged_port()
            ),
            (Errno::ENOENT, Endpoint::Unix(_)) => format!("create the directory {}", directory()),
            (Errno::EADDRNOTAVAIL, _) => {
                "no network interface has this address: choose one of this machine, or 0.0.0.0 for all"
                    .to_owned()
            }
            (Errno::EAFNOSUPPORT, _) => "this machine has no IPv6: choose an IPv4 address".to_owned(),
            (Errno::EMFILE | Errno::ENFILE, _) => "raise the daemon's limit of open files".to_owned(),
            _ => "choose another address".to_owned(),
        }
    }
}

/// `net.ipv4.ip_unprivileged_port_start` (Linux' Documentation/networking/ip-sysctl.rst).
pub fn first_unprivileged_port() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

/// Binds and listens.
///
/// TCP gets `SO_REUSEADDR`, so that connections of an earlier life in `TIME_WAIT` do not count, and with
/// [`Balance::Reuseport`] also `SO_REUSEPORT`, so that several sockets can have one address. `[::]` means both IP
/// versions, and `0.0.0.0` where there is no IPv6. A socket file on which nobody answers is replaced.
///
/// # Errors
/// [`BindError`]; `EADDRINUSE` includes a Unix path at which somebody answers or that is no socket.
pub fn bind(endpoint: &Endpoint, balance: Balance) -> Result<Bound, BindError> {
    let refused = |errno| BindError { endpoint: endpoint.clone(), errno };
    let made = match endpoint {
        Endpoint::Unix(path) => listen_on_path(path).map(|socket| (socket, endpoint.clone())),
        Endpoint::Tcp { address, .. } | Endpoint::Udp { address, .. } => {
            match listen_on_address(endpoint, *address, balance) {
                Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if endpoint.is_dual_stack() => {
                    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
                    listen_on_address(endpoint, v4, balance)
                }
                made => made,
            }
        }
    };
    let (socket, endpoint) = made.map_err(refused)?;
    Ok(Bound { socket, endpoint })
}

/// Makes the accept queue as long as the kernel allows (`net.core.somaxconn`, 4096 by default; listen(2)).
///
/// A worker that calls `listen` on a shared socket sets the length for all, and Node does so with 511. Done again
/// after a worker says that it listens, connections that arrive while no worker accepts have room to wait.
///
/// # Errors
/// The kernel's, for something that is not a socket that can listen.
pub fn deepen(socket: &impl AsFd) -> nix::Result<()> {
    socket::listen(socket, Backlog::MAXALLOWABLE)
}

fn listen_on_address(
    endpoint: &Endpoint,
    address: SocketAddr,
    balance: Balance,
) -> nix::Result<(OwnedFd, Endpoint)> {
    let (kind, ipv6_only, reuse_address) = match endpoint {
        Endpoint::Udp { ipv6_only, reuse_address, .. } => (SockType::Datagram, *ipv6_only, *reuse_address),
        Endpoint::Tcp { ipv6_only, .. } => (SockType::Stream, *ipv6_only, true),
        Endpoint::Unix(_) => return Err(Errno::EINVAL),
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &reuse_address)?;
    if kind == SockType::Stream && balance == Balance::Reuseport {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    match address {
        SocketAddr::V4(v4) => socket::bind(socket.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &ipv6_only)?;
            socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(v6))?;
        }
    }
    if kind == SockType::Stream {
        deepen(&socket)?;
    }
    let address = local_address(&socket)?;
    Ok((socket, endpoint.at(address)))
}

fn local_address(socket: &OwnedFd) -> nix::Result<SocketAddr> {
    let name: SockaddrStorage = socket::getsockname(socket.as_raw_fd())?;
    if let Some(v4) = name.as_sockaddr_in() {
        return Ok(SocketAddrV4::from(*v4).into());
    }
    name.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()).ok_or(Errno::EAFNOSUPPORT)
}

fn stream_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn listen_on_path(path: &Path) -> nix::Result<OwnedFd> {
    let name = UnixAddr::new(path)?;
    let socket = stream_socket()?;
    match socket::bind(socket.as_raw_fd(), &name) {
        Err(Errno::EADDRINUSE) => {
            remove_stale(path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
            socket::bind(socket.as_raw_fd(), &name)?;
        }
        bound => bound?,
    }
    deepen(&socket)?;
    Ok(socket)
}

/// Removes the file of a Unix socket on which nobody listens any more: at bind, and after the last descriptor of
/// a port has been closed. The kernel leaves such files behind (unix(7)).
///
/// # Errors
/// `EADDRINUSE` when somebody answers there or the file is not a socket, else what unlink(2) says. That the file
/// is gone already is no error.
pub fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = || io::Error::from(Errno::EADDRINUSE);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => return Err(in_use()),
        Ok(_) => {}
    }
    let probe = stream_socket()?;
    match socket::connect(probe.as_raw_fd(), &UnixAddr::new(path)?) {
        // Only this means that no process has the socket: a full queue is EAGAIN, a datagram socket EPROTOTYPE.
        Err(Errno::ECONNREFUSED) => std::fs::remove_file(path),
        Ok(()) | Err(_) => Err(in_use()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

    use super::*;

    fn tcp(address: &str) -> Endpoint {
        Endpoint::Tcp { address: address.parse().expect("address"), ipv6_only: false }
    }

    fn shared(endpoint: &Endpoint) -> Result<Bound, BindError> {
        bind(endpoint, Balance::Shared)
    }

    /// The socket accepts a connection from this address and carries a byte.
    fn serves(bound: &Bound, host: &str) {
        let port = bound.endpoint.port().expect("port");
        let mut client = TcpStream::connect((host, port)).expect("connect");
        let listener = TcpListener::from(bound.socket.try_clone().expect("dup"));
        listener.set_nonblocking(false).expect("blocking");
        client.write_all(b"x").expect("write");
        let mut byte = [0];
        listener.accept().expect("accept").0.read_exact(&mut byte).expect("read");
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn flags() {
        let bound = shared(&tcp("127.0.0.1:0")).expect("bind");
        let descriptor = fcntl(&bound.socket, FcntlArg::F_GETFD).expect("F_GETFD");
        assert!(FdFlag::from_bits_retain(descriptor).contains(FdFlag::FD_CLOEXEC));
        let status = fcntl(&bound.socket, FcntlArg::F_GETFL).expect("F_GETFL");
        assert!(OFlag::from_bits_retain(status).contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn ipv4_and_both_stacks() {
        serves(&shared(&tcp("127.0.0.1:0")).expect("v4"), "127.0.0.1");
        let dual = shared(&tcp("[::]:0")).expect("dual stack");
        serves(&dual, "127.0.0.1");
        if dual.endpoint.address().is_some_and(|address| address.is_ipv6()) {
            serves(&dual, "::1");
        }
    }

    #[test]
    fn ipv6_only_leaves_ipv4_to_others() {
        let asked = Endpoint::Tcp { address: "[::]:0".parse().expect("address"), ipv6_only: true };
        let six = match shared(&asked) {
            Ok(six) => six,
            Err(error) => return assert_eq!(error.errno, Errno::EAFNOSUPPORT),
        };
        let port = six.endpoint.port().expect("port");
        shared(&tcp(&format!("127.0.0.1:{port}"))).expect("the same port of IPv4 is free");
    }

    #[test]
    fn taken_is_named() {
        let first = shared(&tcp("127.0.0.1:0")).expect("bind");
        let error = shared(&first.endpoint).expect_err("taken");
        assert_eq!(error.errno, Errno::EADDRINUSE);
        assert!(error.to_string().contains(&first.endpoint.to_string()), "{error}");
        assert!(error.remedy().contains("another port"));
        let elsewhere = shared(&tcp("192.0.2.1:8175")).expect_err("no such interface");
        assert_eq!(elsewhere.errno, Errno::EADDRNOTAVAIL);
    }

    #[test]
    fn several_sockets_of_one_address() {
        let first = bind(&tcp("127.0.0.1:0"), Balance::Reuseport).expect("first");
        bind(&first.endpoint, Balance::Reuseport).expect("second");
        assert!(shared(&first.endpoint).is_err());
    }

    #[test]
    fn udp() {
        let address = "127.0.0.1:0".parse().expect("address");
        let asked = Endpoint::Udp { address, ipv6_only: false, reuse_address: false };
        let bound = shared(&asked).expect("bind");
        let client = UdpSocket::bind("127.0.0.1:0").expect("client");
        client.send_to(b"x", bound.endpoint.address().expect("address")).expect("send");
        let server = UdpSocket::from(bound.socket);
        server.set_nonblocking(false).expect("blocking");
        assert_eq!(server.recv_from(&mut [0; 8]).expect("receive").0, 1);
        assert_eq!(shared(&bound.endpoint).expect_err("taken").errno, Errno::EADDRINUSE);
    }

    #[test]
    fn a_socket_file_is_replaced_only_when_nobody_answers() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("app.sock");
        let endpoint = Endpoint::Unix(path.clone());
        let alive = UnixListener::bind(&path).expect("someone else");
        assert_eq!(shared(&endpoint).expect_err("alive").errno, Errno::EADDRINUSE);
        drop(alive);
        let bound = shared(&endpoint).expect("stale");
        UnixStream::connect(&path).expect("connect");
        assert_eq!(remove_stale(&path).expect_err("ours is alive").raw_os_error(), Some(98));
        drop(bound);
        remove_stale(&path).expect("stale again");
        remove_stale(&path).expect("gone");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_in_the_way_is_never_removed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("precious");
        std::fs::write(&path, "data").expect("write");
        assert_eq!(shared(&Endpoint::Unix(path.clone())).expect_err("file").errno, Errno::EADDRINUSE);
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
        let missing = shared(&Endpoint::Unix(directory.path().join("no/such.sock"))).expect_err("directory");
        assert_eq!(missing.errno, Errno::ENOENT);
        assert!(missing.remedy().contains("/no"), "{}", missing.remedy());
    }
}
