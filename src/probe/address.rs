//! Where is something reached over TCP?
//!
//! `8080`, `:8080`, `host:8080`, `[::1]:8080`, with `${NAME}` for variables of the worker. Values of variables are secrets:
//! what does not give an address is shown as it was declared.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use supd_api::VariableView;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::thread::elsewhere;

/// The longest host name (RFC 1035).
const NAME_MAX: usize = 253;

/// A host and a port.
#[derive(Debug)]
pub(super) struct Address {
    host: Host,
    port: u16,
    /// A look-up that took longer than its check; the next check uses what it finds.
    pending: Option<oneshot::Receiver<io::Result<Vec<SocketAddr>>>>,
}

#[derive(Debug, PartialEq)]
enum Host {
    /// This machine, by either IP version: where a program listens that was told a port, or `localhost`.
    Local,
    Ip(IpAddr),
    Name(String),
}

impl Address {
    /// # Errors
    /// In words, when a variable is missing or the result is no address.
    pub(super) fn declared(template: &str, environment: &[VariableView]) -> Result<Self, String> {
        let text = expand(template, environment)?;
        Self::parse(&text)
            .ok_or_else(|| format!("`{template}` gives no address: expected `host:port` or `port`"))
    }

    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::checked(Host::Ip(address.ip()), address.port());
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = match host {
            "" | "localhost" => Host::Local,
            name if is_name(name) => Host::Name(name.to_owned()),
            _ => return None,
        };
        Self::checked(host, port.parse().ok()?)
    }

    /// A worker that listens here is reached there.
    pub(super) fn of_listener(address: SocketAddr) -> Option<Self> {
        Self::checked(Host::Ip(address.ip()), address.port())
    }

    fn checked(host: Host, port: u16) -> Option<Self> {
        let host = match host {
            Host::Ip(ip) if ip.is_unspecified() => Host::Local,
            host => host,
        };
        (port != 0).then_some(Self { host, port, pending: None })
    }

    /// Connects to the first of its addresses that accepts.
    ///
    /// # Errors
    /// That of the first address.
    pub(super) async fn connect(&mut self) -> io::Result<TcpStream> {
        let mut first_error = None;
        for address in self.resolve().await? {
            match TcpStream::connect(address).await {
                // Connecting to a free port may end at ourselves, when the kernel has chosen just that one as our own.
                Ok(stream) if stream.local_addr()? == address => {
                    first_error.get_or_insert(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or_else(|| io::Error::other("the name has no address")))
    }

    async fn resolve(&mut self) -> io::Result<Vec<SocketAddr>> {
        let port = self.port;
        let at = |ips: &[IpAddr]| Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
        let name = match &self.host {
            Host::Local => return at(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
            Host::Ip(ip) => return at(&[*ip]),
            Host::Name(name) => name.clone(),
        };
        let pending = match self.pending.take() {
            Some(pending) => pending,
            None => elsewhere(move || (name, port).to_socket_addrs().map(Iterator::collect))?,
        };
        let found = self.pending.insert(pending).await;
        self.pending = None;
        found.unwrap_or_else(|_| Err(io::Error::other("the name could not be looked up")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.host {
            Host::Local => write!(out, "localhost:{port}"),
            Host::Ip(ip) => SocketAddr::new(*ip, port).fmt(out),
            Host::Name(name) => write!(out, "{name}:{port}"),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter))
}

/// Puts values in place of `${NAME}`.
fn expand(template: &str, environment: &[VariableView]) -> Result<String, String> {
    let mut parts = template.split("${");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) =
            part.split_once('}').ok_or_else(|| format!("`{template}`: a `${{` is not closed"))?;
        let variable = environment.iter().find(|variable| variable.name == name);
        let variable = variable.ok_or_else(|| {
            format!("`{template}`: the worker has no variable `{name}`; add it to its `env`")
        })?;
        text.push_str(variable.value.reveal());
        text.push_str(rest);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use supd_api::Layer;

    use super::*;

    fn environment() -> Vec<VariableView> {
        let variable = |(name, value): (&str, &str)| VariableView {
            name: name.to_owned(),
            value: value.into(),
            layer: Layer::Supd,
        };
        let all = [
            ("PORT", "8080"),
            ("HOST", "db.internal"),
            ("URL", "postgres://me:hunter2@db/x"),
            ("NESTED", "${PORT}"),
        ];
        all.map(variable).to_vec()
    }

    fn shown(template: &str) -> Result<String, String> {
        Address::declared(template, &environment()).map(|address| address.to_string())
    }

    #[test]
    fn spellings() {
        for (template, expected) in [
            ("8080", "localhost:8080"),
            (":8080", "localhost:8080"),
            ("localhost:8080", "localhost:8080"),
            ("0.0.0.0:8080", "localhost:8080"),
            ("[::]:8080", "localhost:8080"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("my-db.example.com:5432", "my-db.example.com:5432"),
            ("${PORT}", "localhost:8080"),
            ("${HOST}:${PORT}", "db.internal:8080"),
            ("${HOST}:1${PORT}", "db.internal:18080"),
        ] {
            assert_eq!(shown(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_is_no_address_is_shown_as_declared() {
        for template in [
            "",
            "0",
            ":0",
            "host",
            "host:",
            "a b:80",
            "::1:80",
            "http://x:80",
            "x:99999",
            "$PORT",
            "${URL}",
            "${NESTED}",
            "${URL}:80",
        ] {
            let error = shown(template).unwrap_err();
            assert!(error.starts_with(&format!("`{template}` gives no address")), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_expanded() {
        assert_eq!(
            shown("${PRT}:80").unwrap_err(),
            "`${PRT}:80`: the worker has no variable `PRT`; add it to its `env`"
        );
        assert_eq!(shown("${PORT").unwrap_err(), "`${PORT`: a `${` is not closed");
        assert!(shown("${}").is_err());
    }

    #[tokio::test]
    async fn a_name_is_looked_up_elsewhere() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut address = Address {
            host: Host::Name("localhost".to_owned()),
            port: listener.local_addr().unwrap().port(),
            pending: None,
        };
        // A look-up that was given up is taken up again.
        let _ = tokio::time::timeout(Duration::ZERO, address.connect()).await;
        let stream = address.connect().await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        address.host = Host::Name("no-such-host.invalid".to_owned());
        assert!(address.connect().await.is_err());
    }

    #[tokio::test]
    async fn a_program_on_one_ip_version_only_is_found() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = tokio::net::TcpListener::bind(local).await else { continue };
            let port = listener.local_addr().unwrap().port();
            assert!(Address::parse(&port.to_string()).unwrap().connect().await.is_ok(), "{local}");
        }
    }
}
