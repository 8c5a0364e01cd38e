//! Sharing listening sockets with workers.
//!
//! Question answered here: *how does a worker get to accept from a socket that we own?* By inheritance
//! (`LISTEN_FDS`) or by asking on its IPC channel, as a Node cluster worker does. No byte of traffic passes
//! through us. This module may not decide which workers run, and it knows neither HTTP nor the core.
//!
//! * [`endpoint`]: what a socket is bound to.
//! * [`mod@bind`]: making such sockets, and [`mod@holder`]: who has the one we cannot get.
//! * [`ports`]: which sockets an app has, and which run uses which.
//! * [`channel`]: the conversation with one run; its words are in [`message`].
//! * [`preload`]: what helps a Node worker to leave gently.

mod allowance;
pub mod bind;
pub mod channel;
pub mod endpoint;
pub mod holder;
mod lines;
pub mod message;
mod outbox;
pub mod ports;
pub mod preload;

#[cfg(test)]
mod drain_tests;
#[cfg(test)]
mod load;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod parent;

pub use bind::{BindError, Bound, bind, first_unprivileged_port};
pub use channel::{Channel, Delivery, Heard, Receipt, Unheard};
pub use endpoint::Endpoint;
pub use holder::{Holder, Holding, holder, holding};
pub use message::{Ended, FromWorker, ServerData, ServerQuery, ToWorker};
pub use ports::{Asker, Claim, Decision, PortKey, Ports, Seat};
