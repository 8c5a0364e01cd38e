//! Hearing what workers say about themselves.
//!
//! Question answered here: *what does a worker say over `NOTIFY_SOCKET`?* In the words of sd_notify(3), which many programs
//! and libraries speak, and with the watchdog of sd_watchdog_enabled(3): silence is a message too. This module may not
//! decide what follows, and it knows neither the core nor systemd, which the keeper speaks to.
//!
//! Every run has a socket of its own, so that it is clear who speaks however the message was sent. It stays open in the
//! keeper while supervisors change.
//!
//! * `socket`: making such a socket.
//! * `listener`: listening to it.
//! * `message`: what a datagram says.

mod listener;
mod message;
mod socket;

#[cfg(test)]
mod tests;

pub use listener::{Delivery, Listener, Receipt};
pub use message::Note;
pub use socket::open;
