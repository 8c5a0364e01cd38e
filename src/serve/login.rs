//! Name and password (RFC 7617).

use std::fmt;

use axum::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq;

/// Who may come in.
#[derive(Clone)]
pub(super) struct Login {
    /// Both, as a client sends them.
    credentials: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Login {
    /// One of `PM2_SERVE_BASIC_AUTH` and the two that belong to it is enough to want all: nothing is served openly by mistake.
    ///
    /// # Errors
    /// Which is missing or cannot be sent.
    pub(super) fn new(variable: &impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let wanted = variable("PM2_SERVE_BASIC_AUTH").is_some_and(|text| text == "true");
        let [name, password] = ["PM2_SERVE_BASIC_AUTH_USERNAME", "PM2_SERVE_BASIC_AUTH_PASSWORD"];
        match (variable(name), variable(password)) {
            (None, None) if !wanted => Ok(None),
            (Some(name), Some(_)) if name.contains(':') => {
                Err("a name for basic authentication cannot contain a colon (RFC 7617)".to_owned())
            }
            (Some(name), Some(password)) => {
                Ok(Some(Self { credentials: BASE64_STANDARD.encode(format!("{name}:{password}")) }))
            }
            (None, _) => Err(format!("{name} is missing")),
            (Some(_), None) => Err(format!("{password} is missing")),
        }
    }

    /// Whether the request that these belong to may pass. How much of a wrong answer is right cannot be measured.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        given.is_some_and(|(scheme, credentials)| {
            scheme.eq_ignore_ascii_case("basic")
                && bool::from(credentials.trim().as_bytes().ct_eq(self.credentials.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(set: &[(&str, &str)]) -> Result<Option<Login>, String> {
        Login::new(&|wanted: &str| {
            let name = wanted.strip_prefix("PM2_SERVE_BASIC_AUTH").expect("no other is asked for");
            set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_open_by_mistake() {
        assert!(login(&[]).expect("open").is_none());
        assert!(login(&[("", "false")]).expect("open").is_none());
        for set in [
            &[("", "true")][..],
            &[("_USERNAME", "a")],
            &[("_PASSWORD", "b")],
            &[("", "true"), ("_USERNAME", "a")],
            &[("_USERNAME", "a:b"), ("_PASSWORD", "c")],
        ] {
            let why = login(set).expect_err("refused");
            assert!(!why.contains("a:b"), "{why}");
        }
    }

    #[test]
    fn only_the_right_credentials_pass() {
        let login =
            login(&[("_USERNAME", "Aladdin"), ("_PASSWORD", "open sesame")]).expect("set").expect("one");
        let admits = |value: &str| {
            login.admits(&HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))]))
        };
        assert!(!login.admits(&HeaderMap::new()));
        // The example of RFC 7617, section 2.
        assert!(
            admits("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") && admits("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZA==",
        ] {
            assert!(!admits(wrong), "{wrong}");
        }
        assert_eq!(format!("{login:?}"), "***");
    }
}
