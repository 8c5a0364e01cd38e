//! What a probe asks, and where.

use std::net::Ipv6Addr;

use serde_json::Value;
use supd_api::{Check, Millis};

use super::super::problem::shown;
use super::{Count, Span, expected, whole};

field_type!(
    /// Where a GET goes: a path from `/` on, after an address unless the worker itself is asked.
    Http(Check),
    { "type": "string", "pattern": "/" }
);

impl TryFrom<Value> for Http {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) => http(text.trim()).map(Self),
            None => expected(
                "a path such as \"/health\", or an address and a path such as \":8080/health\"",
                &value,
            ),
        }
    }
}

field_type!(
    /// Where a connection goes: a port, or host and port.
    Tcp(Check),
    { "type": ["string", "integer"], "minimum": 1, "maximum": 65535 }
);

impl TryFrom<Value> for Tcp {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let address = match (&value, whole(&value)) {
            (Value::String(text), _) => text.trim().to_owned(),
            (_, Some(port)) => port.to_string(),
            _ => return expected("a port, or an address such as \"127.0.0.1:8080\"", &value),
        };
        Address::parse(&address)?;
        Ok(Self(Check::Tcp { address }))
    }
}

field_type!(
    /// A span between two checks: as [`Span`], but at least [`SHORTEST_INTERVAL`].
    Interval(Millis),
    { "type": ["integer", "string"], "minimum": 100, "pattern": "^[0-9]+ *(ms|s|m|h)?$" }
);

impl TryFrom<Value> for Interval {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        at_least(SHORTEST_INTERVAL, value).map(Self)
    }
}

field_type!(
    /// A span that something may take: as [`Span`], but not 0.
    Limit(Millis),
    { "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+ *(ms|s|m|h)?$" }
);

impl TryFrom<Value> for Limit {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        at_least(Millis(1), value).map(Self)
    }
}

field_type!(
    /// How many, at least 1; also as text.
    Threshold(u32),
    { "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$" }
);

impl TryFrom<Value> for Threshold {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match Count::try_from(value.clone()) {
            Ok(Count(count @ 1..)) => Ok(Self(count)),
            Ok(Count(0)) | Err(_) => expected("a whole number from 1", &value),
        }
    }
}

/// Polling faster costs more than it tells; a smaller number was probably meant in seconds.
pub(in crate::config) const SHORTEST_INTERVAL: Millis = Millis(100);

fn at_least(shortest: Millis, value: Value) -> Result<Millis, String> {
    let span = Span::try_from(value)?.0;
    check_at_least(shortest, span)?;
    Ok(span)
}

/// Whether a span is long enough; if not, why.
pub(in crate::config) fn check_at_least(shortest: Millis, span: Millis) -> Result<(), String> {
    if span >= shortest {
        return Ok(());
    }
    Err(format!(
        "expected at least {} ms, found {}; a bare number means milliseconds, and 5 seconds are \"5s\"",
        shortest.0, span.0
    ))
}

fn http(text: &str) -> Result<Check, String> {
    let scheme = text.split_once("://");
    let rest = match scheme {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
            return Err("a probe speaks no TLS: write an `http` address, \
                or `exec` with `curl -fsk` and the https address"
                .to_owned());
        }
        Some(_) => return Err(format!("expected an http address, found {}", shown(text))),
        None => text,
    };
    let (address, path) = match (rest.find('/'), scheme) {
        (Some(slash), _) => rest.split_at(slash),
        (None, Some(_)) => (rest, "/"),
        (None, None) => {
            return Err(format!(
                "expected a path from `/` on, after an address or alone, found {}; for a mere connection write `tcp`",
                shown(text)
            ));
        }
    };
    check_path(path)?;
    let address = match (address, scheme) {
        ("", Some(_)) => return Err(format!("the address names no host: {}", shown(text))),
        ("", None) => None,
        (host, Some(_)) if !names_a_port(host) => Some(format!("{host}:80")),
        (address, _) => Some(address.to_owned()),
    };
    if let Some(address) = &address {
        Address::parse(address)?;
    }
    Ok(Check::Http { address, path: path.to_owned() })
}

/// Whether the authority of a URL ends with a port: `[::1]` and `${HOST}` do not.
fn names_a_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with([']', '}']) || port.starts_with("${"))
}

/// Whether a GET can ask for it: it stands in the request line as it is (RFC 9112, section 3).
pub(in crate::config) fn check_path(path: &str) -> Result<(), String> {
    const LONGEST: usize = 4096;
    if !path.starts_with('/') {
        return Err(format!("expected a path from `/` on, found {}", shown(path)));
    }
    if path.len() > LONGEST {
        return Err(format!("the path is longer than {LONGEST} bytes"));
    }
    if path.contains("${") {
        return Err("variables are filled into the address, not into the path".to_owned());
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(format!(
            "the path holds a character that no request has, write it as %XX: {}",
            shown(path)
        ));
    }
    Ok(())
}

/// An address as a probe has it: `8080`, `:8080`, `host:8080`, each part also `${NAME}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Address<'a> {
    /// `None`: this machine.
    pub(in crate::config) host: Option<Part<'a>>,
    /// The port.
    pub(in crate::config) port: Part<'a>,
}

/// One part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Part<'a> {
    /// As it stands; a host in brackets without them.
    Literal(&'a str),
    /// The variable of that name.
    Variable(&'a str),
}

impl<'a> Address<'a> {
    /// Takes an address apart.
    ///
    /// # Errors
    /// What is expected of an address.
    pub(in crate::config) fn parse(text: &'a str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let host = if host.is_empty() { Some(None) } else { self::host(host).map(Some) };
        match (host, self::port(port)) {
            (Some(host), Some(port)) => Ok(Self { host, port }),
            _ => Err(format!(
                "expected an address such as 8080, \":8080\", \"127.0.0.1:8080\" or \"127.0.0.1:${{PORT}}\", found {}",
                shown(text)
            )),
        }
    }

    /// The variables that stand in it.
    pub(in crate::config) fn variables(self) -> impl Iterator<Item = &'a str> {
        self.host.into_iter().chain([self.port]).filter_map(|part| match part {
            Part::Variable(name) => Some(name),
            Part::Literal(_) => None,
        })
    }
}

fn port(text: &str) -> Option<Part<'_>> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits && text.parse::<u16>().is_ok_and(|port| port > 0);
    variable(text).or(number.then_some(Part::Literal(text)))
}

fn host(text: &str) -> Option<Part<'_>> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok().then_some(Part::Literal(inner));
    }
    let name =
        text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    variable(text).or(name.then_some(Part::Literal(text)))
}

fn variable(text: &str) -> Option<Part<'_>> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && !name.is_empty()).then_some(Part::Variable(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn what_a_get_asks_for() {
        for (text, address, path) in [
            ("/health", None, "/health"),
            ("/", None, "/"),
            ("/a?b=c&d=%20", None, "/a?b=c&d=%20"),
            (":8080/health", Some(":8080"), "/health"),
            ("8080/health", Some("8080"), "/health"),
            ("${PORT}/health", Some("${PORT}"), "/health"),
            ("127.0.0.1:8080/", Some("127.0.0.1:8080"), "/"),
            (" HTTP://localhost:1/x ", Some("localhost:1"), "/x"),
            ("http://127.0.0.1:${PORT}/health", Some("127.0.0.1:${PORT}"), "/health"),
            ("http://${HOST}:${PORT}/health", Some("${HOST}:${PORT}"), "/health"),
            ("http://${HOST}/health", Some("${HOST}:80"), "/health"),
            ("http://localhost", Some("localhost:80"), "/"),
            ("http://[::1]/x", Some("[::1]:80"), "/x"),
            ("[::1]:8080/x", Some("[::1]:8080"), "/x"),
        ] {
            let wanted = Check::Http { address: address.map(str::to_owned), path: path.to_owned() };
            assert_eq!(read::<Http>(json!(text)).map(|http| http.0), Ok(wanted), "{text}");
        }
        for (value, part) in [
            (json!("https://localhost/health"), "speaks no TLS"),
            (json!("ftp://localhost/"), "expected an http address"),
            (json!("health"), "expected a path from `/` on"),
            (json!("8080"), "write `tcp`"),
            (json!(""), "expected a path"),
            (json!("http:///x"), "names no host"),
            (json!("localhost/health"), "expected an address"),
            (json!("user:secret@host:1/x"), "expected an address"),
            (json!("host:0/x"), "expected an address"),
            (json!("host:65536/x"), "expected an address"),
            (json!("/a b"), "write it as %XX"),
            (json!("/a\r\nHost: x"), "write it as %XX"),
            (json!("/a#b"), "write it as %XX"),
            (json!("/${NAME}"), "not into the path"),
            (json!(format!("/{}", "x".repeat(5000))), "longer than 4096"),
            (json!(8080), "expected a path such as"),
            (json!(["/x"]), "expected a path such as"),
        ] {
            let error = read::<Http>(value.clone()).map(|http| http.0).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }

    #[test]
    fn where_a_connection_goes() {
        for (value, address) in [
            (json!(8080), "8080"),
            (json!("8080"), "8080"),
            (json!(":8080"), ":8080"),
            (json!("db.internal:5432"), "db.internal:5432"),
            (json!("[::1]:80"), "[::1]:80"),
            (json!("${PORT}"), "${PORT}"),
            (json!(":${PORT}"), ":${PORT}"),
        ] {
            let wanted = Check::Tcp { address: address.to_owned() };
            assert_eq!(read::<Tcp>(value.clone()).map(|tcp| tcp.0), Ok(wanted), "{value}");
        }
        for value in [
            json!(0),
            json!(70000),
            json!(-1),
            json!(1.5),
            json!("host"),
            json!("::1:80"),
            json!("[::1"),
            json!("a b:80"),
            json!("+80"),
            json!("$PORT"),
            json!("${}"),
            json!("${A:-80}"),
            json!("http://localhost:80"),
            json!("/run/a.sock"),
            json!(true),
            json!({}),
        ] {
            assert!(read::<Tcp>(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn spans_and_counts_that_are_not_nothing() {
        assert_eq!(read::<Interval>(json!("1s")).unwrap().0, Millis(1000));
        assert_eq!(read::<Interval>(json!(100)).unwrap().0, Millis(100));
        assert_eq!(read::<Limit>(json!(1)).unwrap().0, Millis(1));
        assert_eq!(read::<Threshold>(json!("1")).unwrap().0, 1);
        assert!(read::<Interval>(json!(99)).unwrap_err().starts_with("expected at least 100 ms, found 99"));
        assert!(read::<Interval>(json!("x")).unwrap_err().starts_with("expected milliseconds"));
        assert!(read::<Limit>(json!(0)).is_err());
        for value in [json!(0), json!(-1), json!("x"), json!(1.5)] {
            assert!(read::<Threshold>(value).unwrap_err().starts_with("expected a whole number from 1"));
        }
    }

    #[test]
    fn an_address_names_its_variables() {
        let address = Address::parse("${HOST}:${PORT}").unwrap();
        assert_eq!(address.variables().collect::<Vec<_>>(), ["HOST", "PORT"]);
        let address = Address::parse("[::1]:80").unwrap();
        assert_eq!((address.host, address.port), (Some(Part::Literal("::1")), Part::Literal("80")));
    }
}
