//! Which settings say where whoever watches may look, and who may.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use supd_api::{Fault, FaultCode, Secret};

use crate::supervisor::control::{Door, Place, bind};
use crate::supervisor::turn::Shell;

const LISTEN: &str = "supd:metrics_listen";
const TOKEN: &str = "supd:metrics_token";
/// Both.
pub(super) const KEYS: [&str; 2] = [LISTEN, TOKEN];
/// A shorter token is guessed.
const TOKEN_MIN: usize = 16;

/// What these settings want.
///
/// # Errors
/// They cannot be used, one or both together.
pub(super) fn wanted(settings: &BTreeMap<String, Secret>) -> Result<Option<Place>, Fault> {
    let invalid = |text: String| Fault::new(FaultCode::Invalid, text);
    let token = settings.get(TOKEN).cloned();
    if token.as_ref().is_some_and(|token| !is_token(token.reveal())) {
        return Err(invalid(format!(
            "{TOKEN}: expected at least {TOKEN_MIN} letters, digits or signs without spaces"
        ))
        .hint(format!("`supctl set {TOKEN} \"$(openssl rand -hex 16)\"`")));
    }
    let Some(address) = settings.get(LISTEN).map(Secret::reveal) else { return Ok(None) };
    let address: SocketAddr =
        address.parse().ok().filter(|address: &SocketAddr| address.port() > 0).ok_or_else(|| {
            invalid(format!("{LISTEN}: expected an address and a port, found `{}`", address.escape_debug()))
                .hint(format!("`supctl set {LISTEN} 127.0.0.1:9209`"))
        })?;
    if !address.ip().is_loopback() && token.is_none() {
        let text = format!("{LISTEN}: others can reach {address}, so a token is needed");
        return Err(invalid(text).hint(format!(
            "`supctl set {TOKEN} \"$(openssl rand -hex 16)\"` first, or listen on 127.0.0.1"
        )));
    }
    Ok(Some(Place { address, token }))
}

fn is_token(text: &str) -> bool {
    text.len() >= TOKEN_MIN && text.chars().all(|letter| letter.is_ascii_graphic())
}

/// A socket for what is wanted after a change, if it has to be another one than before: one that cannot be had is not set.
///
/// # Errors
/// They cannot be used, or the address cannot be had.
pub(super) fn socket(
    before: &BTreeMap<String, Secret>,
    after: &BTreeMap<String, Secret>,
) -> Result<Option<TcpListener>, Fault> {
    let address = wanted(after)?.map(|place| place.address);
    let same = wanted(before).ok().flatten().map(|place| place.address) == address;
    let Some(address) = address.filter(|_| !same) else { return Ok(None) };
    let refused = |error: std::io::Error| {
        Fault::new(FaultCode::Conflict, format!("{LISTEN}: {address}: {error}"))
            .hint("another address or port; `ss -ltnp` shows who listens")
    };
    bind(address).map(Some).map_err(refused)
}

impl Shell {
    /// Opens, moves or closes the door as the settings say. `socket`: bound already.
    pub(in crate::supervisor) fn open_door(&mut self, socket: Option<TcpListener>) {
        let place = wanted(&self.settings.settings).unwrap_or_else(|fault| {
            tracing::error!("passed over: {fault}");
            None
        });
        match (place, &self.door) {
            (None, _) => self.door = None,
            (Some(place), Some(door)) if door.address() == place.address => door.want(place.token),
            (Some(place), _) => self.door = Some(Door::open(place, socket, self.outlets.calls.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Secret::from(*value))).collect()
    }

    #[test]
    fn an_address_and_who_may_come() {
        let token = "0123456789abcdef";
        let place = |address: &str, token: Option<&str>| {
            Some(Place { address: address.parse().expect("an address"), token: token.map(Secret::from) })
        };
        for (set, expected) in [
            (&[][..], None),
            (&[(TOKEN, token)], None),
            (&[(LISTEN, "127.0.0.1:9209")], place("127.0.0.1:9209", None)),
            (&[(LISTEN, "[::1]:9209")], place("[::1]:9209", None)),
            (&[(LISTEN, "127.0.0.1:9209"), (TOKEN, token)], place("127.0.0.1:9209", Some(token))),
            (&[(LISTEN, "0.0.0.0:9209"), (TOKEN, token)], place("0.0.0.0:9209", Some(token))),
        ] {
            assert_eq!(wanted(&settings(set)).expect("usable"), expected, "{set:?}");
        }
        for set in [
            &[(LISTEN, "")][..],
            &[(LISTEN, "9209")],
            &[(LISTEN, "localhost:9209")],
            &[(LISTEN, "127.0.0.1:0")],
            &[(LISTEN, "0.0.0.0:9209")],
            &[(LISTEN, "[::]:9209")],
            &[(LISTEN, "10.0.0.7:9209")],
            &[(LISTEN, "127.0.0.1:9209"), (TOKEN, "short")],
            &[(TOKEN, "with a space in it, though long")],
        ] {
            let fault = wanted(&settings(set)).expect_err("refused");
            assert_eq!(fault.code, FaultCode::Invalid);
            assert!(fault.hint.is_some() && !fault.to_string().contains("short"), "{set:?}");
        }
    }

    #[test]
    fn an_address_that_somebody_has_cannot_be_set() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = taken.local_addr().expect("an address").to_string();
        let set = settings(&[(LISTEN, &address)]);
        assert_eq!(socket(&settings(&[]), &set).expect_err("refused").code, FaultCode::Conflict);
        assert!(socket(&set, &set).expect("the same").is_none());
        drop(taken);
        assert!(socket(&settings(&[]), &set).expect("free").is_some());
    }
}
