//! Who may look through the door: the file modes of the control socket protect nothing that listens on TCP.

use std::net::IpAddr;

use axum::Json;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use supd_api::{Fault, FaultCode, Secret};

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It does not have the token.
    Token,
    /// It is the page of a site, in somebody's browser.
    Origin,
    /// It came by a name that may have been made to lead here (DNS rebinding).
    Host,
}

/// Whether a request with these fields may pass. A page in a browser never may. Without a token, only who names the address itself may:
/// a browser that was led here by a foreign name says that name.
pub(super) fn admit(headers: &HeaderMap, token: Option<&Secret>) -> Result<(), Refused> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Refused::Origin);
    }
    match token {
        Some(token) if has(headers, token) => Ok(()),
        Some(_) => Err(Refused::Token),
        None if names_an_address(headers) => Ok(()),
        None => Err(Refused::Host),
    }
}

/// RFC 6750. How much of a wrong token is right cannot be measured.
fn has(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.split_once(' ')).is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.trim().as_bytes().ct_eq(token.reveal().as_bytes()))
    })
}

fn names_an_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (text, hint) = match self {
            Self::Token => ("the token is missing or wrong", "send `Authorization: Bearer TOKEN`"),
            Self::Origin => ("pages of sites may not look here", "ask without the field `Origin`"),
            Self::Host => {
                ("this name is not known here", "use the address itself, or set supd:metrics_token")
            }
        };
        let fault = Json(Fault::new(FaultCode::Forbidden, text).hint(hint));
        match self {
            Self::Token => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], fault).into_response()
            }
            Self::Origin | Self::Host => (StatusCode::FORBIDDEN, fault).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn fields(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in fields.iter().map(field) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn without_a_token_only_by_address() {
        for host in
            ["127.0.0.1:9209", "127.0.0.1", "localhost:9209", "LOCALHOST", "[::1]:9209", "10.0.0.7:80"]
        {
            assert_eq!(admit(&fields(&[("host", host)]), None), Ok(()), "{host}");
        }
        for host in
            ["evil.example:9209", "localhost.evil.example", "127.0.0.1.evil.example", "", "::1", "a b"]
        {
            assert_eq!(admit(&fields(&[("host", host)]), None), Err(Refused::Host), "{host}");
        }
        assert_eq!(admit(&fields(&[]), None), Err(Refused::Host));
        let two = fields(&[("host", "127.0.0.1"), ("host", "evil.example")]);
        assert_eq!(admit(&two, None), Err(Refused::Host));
    }

    #[test]
    fn with_a_token_only_by_it() {
        let token = Secret::from("0123456789abcdef");
        let by =
            |value: &str| admit(&fields(&[("host", "any.example"), ("authorization", value)]), Some(&token));
        assert_eq!(by("Bearer 0123456789abcdef"), Ok(()));
        assert_eq!(by("bearer  0123456789abcdef"), Ok(()));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert_eq!(by(wrong), Err(Refused::Token), "{wrong}");
        }
        assert_eq!(admit(&fields(&[("host", "127.0.0.1")]), Some(&token)), Err(Refused::Token));
    }

    #[test]
    fn never_from_a_page() {
        let token = Secret::from("0123456789abcdef");
        let page = fields(&[
            ("host", "127.0.0.1"),
            ("origin", "http://127.0.0.1:9209"),
            ("authorization", "Bearer 0123456789abcdef"),
        ]);
        assert_eq!(admit(&page, None), Err(Refused::Origin));
        assert_eq!(admit(&page, Some(&token)), Err(Refused::Origin));
        assert_eq!(admit(&fields(&[("host", "::1"), ("origin", "null")]), None), Err(Refused::Origin));
    }
}
