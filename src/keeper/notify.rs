//! What does systemd want to hear? (sd_notify(3), sd_watchdog_enabled(3))

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::keeper::say;
use crate::log::Level;

/// Prefixes of the variables that speak to the keeper alone and are inherited by nobody.
const OURS: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"];

/// Whether a variable of the keeper's own environment is meant for it alone.
pub(crate) fn is_private(name: &str) -> bool {
    OURS.iter().any(|prefix| name.starts_with(prefix))
}

/// The way to systemd, if it started us.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET` says: a path, or an abstract name after `@`.
    pub fn from_env() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = address(&name).ok()?;
            let socket = UnixDatagram::unbound().ok()?;
            // A service supervisor that does not read must not stop us.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        Self { socket }
    }

    /// Whether there is one.
    pub fn is_listened_to(&self) -> bool {
        self.socket.is_some()
    }

    /// Tells it, for example, `READY=1`. Nothing happens without systemd.
    pub fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            say(Level::Warning, format_args!("systemd cannot be told {state:?}: {error}"));
        }
    }
}

fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    }
}

/// How often systemd wants a sign of life, halved; `None` when it wants none from us.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    let pid = env::var("WATCHDOG_PID").ok();
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let micros: u64 = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros / 2))
}
