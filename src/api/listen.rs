//! Addresses that the supervisor binds on behalf of an app.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One entry of `listen = [...]`: `"127.0.0.1:8175"`, `"[::1]:80"`, `":8080"` (every interface, both IP
/// versions), `"8080"` (the same) or an absolute path (`"unix:/run/app.sock"` or `"/run/app.sock"`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ListenAddress {
    /// A TCP address. `[::]` accepts IPv4 too, as Node's default does.
    Tcp(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
}

/// Why a text is not a [`ListenAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an address: expected `host:port` with a numeric host, `:port`, or an absolute socket path"
)]
pub struct NotAnAddress(String);

/// The longest path `sockaddr_un` holds, without its closing NUL (unix(7)).
const SUN_PATH_MAX: usize = 107;

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let bad = || NotAnAddress(text.to_owned());
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            let fits = path.len() <= SUN_PATH_MAX && !path.contains('\0');
            return if fits { Ok(Self::Unix(path.into())) } else { Err(bad()) };
        }
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            return Ok(Self::Tcp(SocketAddr::new(IpAddr::from([0u16; 8]), port)));
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text).replace("localhost:", "127.0.0.1:");
        text.parse().map(Self::Tcp).map_err(|_| bad())
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => path.display().fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_spellings() {
        for (text, shown) in [
            ("127.0.0.1:8175", "127.0.0.1:8175"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            (":8080", "[::]:8080"),
            ("8080", "[::]:8080"),
            ("tcp:0.0.0.0:1", "0.0.0.0:1"),
            ("/run/a.sock", "/run/a.sock"),
            ("unix:/run/a.sock", "/run/a.sock"),
        ] {
            assert_eq!(
                text.parse::<ListenAddress>().map(|address| address.to_string()).as_deref(),
                Ok(shown)
            );
        }
    }

    #[test]
    fn refused_spellings() {
        let long = format!("/{}", "x".repeat(SUN_PATH_MAX));
        for text in
            ["", "host", "example.com:80", "127.0.0.1:70000", "-1", "run/a.sock", long.as_str(), "/a\0b"]
        {
            assert!(text.parse::<ListenAddress>().is_err(), "{text:?}");
        }
    }
}
