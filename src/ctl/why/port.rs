//! Which port do a program's words complain of? Recognises the messages of common runtimes; looks at nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::cluster::Endpoint;

/// How programs spell `EADDRINUSE`, in small letters: Node; the C library; Rust's `ErrorKind`; gunicorn.
const TAKEN: [&str; 4] = ["eaddrinuse", "address already in use", "addrinuse", "connection in use"];

/// Python's `('127.0.0.1', 8000)`, and Ruby's `"127.0.0.1" port 8000`.
static PAIR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"\('([^']*)', (\d{1,5})\)|"([^"]*)" port (\d{1,5})"#).expect("it is one"));
/// `127.0.0.1:80`, `[::1]:80`, Node's `:::80`, Go's ` :80`.
static COLON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?:^|[\s/(])((?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]+\]|::|localhost|):(\d{1,5})(?:[\s:,.);]|$)",
    )
    .expect("it is one")
});
/// A socket file.
static FILE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"in use:? '?(/[^\s']+)").expect("it is one"));

/// A line that complains of an address, and which, if it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) line: String,
    pub(super) endpoint: Option<Endpoint>,
}

/// Every complaint among these lines.
pub(super) fn complaints<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Complaint> {
    let complains = |line: &&str| {
        let small = line.to_lowercase();
        TAKEN.iter().any(|words| small.contains(words))
    };
    let one = |line: &str| Complaint { line: line.trim().to_owned(), endpoint: endpoint(line) };
    lines.into_iter().filter(complains).map(one).collect()
}

fn endpoint(line: &str) -> Option<Endpoint> {
    let file = || Some(Endpoint::Unix(PathBuf::from(FILE.captures(line)?.get(1)?.as_str())));
    PAIR.captures(line).or_else(|| COLON.captures(line)).and_then(|found| tcp(&found)).or_else(file)
}

fn tcp(found: &Captures<'_>) -> Option<Endpoint> {
    let mut texts = found.iter().skip(1).flatten().map(|text| text.as_str());
    let (host, port) = (texts.next()?, texts.next()?);
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "" | "::" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().ok()?,
    };
    Some(Endpoint::Tcp { address: SocketAddr::new(ip, port), ipv6_only: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_common_runtimes() {
        for (line, address) in [
            ("Error: listen EADDRINUSE: address already in use :::3000", "[::]:3000"),
            ("Error: listen EADDRINUSE: address already in use 127.0.0.1:3000", "127.0.0.1:3000"),
            ("Error: listen EADDRINUSE: address already in use /run/a.sock", "/run/a.sock"),
            ("listen tcp :8080: bind: address already in use", "[::]:8080"),
            ("2026/11/20 10:00:00 listen tcp 127.0.0.1:8080: bind: address already in use", "127.0.0.1:8080"),
            (
                "error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
                "127.0.0.1:8000",
            ),
            ("[ERROR] Connection in use: ('0.0.0.0', 8000)", "0.0.0.0:8000"),
            (
                r#"Address already in use - bind(2) for "127.0.0.1" port 3000 (Errno::EADDRINUSE)"#,
                "127.0.0.1:3000",
            ),
            ("nginx: bind() to 0.0.0.0:80 failed (98: Address already in use)", "0.0.0.0:80"),
            ("cannot listen on [::1]:80: Address already in use", "[::1]:80"),
        ] {
            let found = complaints([line, "listening on 127.0.0.1:1"]);
            let endpoint = found[0].endpoint.as_ref().unwrap_or_else(|| panic!("{line}"));
            let shown =
                endpoint.address().map_or_else(|| endpoint.to_string(), |address| address.to_string());
            assert_eq!((found.len(), shown.as_str()), (1, address), "{line}");
        }
        for line in [
            "OSError: [Errno 98] Address already in use",
            "Os { code: 98, kind: AddrInUse, message: \"Address already in use\" }",
            "java.net.BindException: Address already in use",
            "at 10:00:00 EADDRINUSE",
            "EADDRINUSE 127.0.0.1:99999",
        ] {
            assert_eq!(complaints([line]), [Complaint { line: line.to_owned(), endpoint: None }]);
        }
        assert_eq!(complaints(["connection refused 127.0.0.1:80", ""]), []);
    }
}
