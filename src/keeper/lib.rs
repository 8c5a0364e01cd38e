//! The floor to the operating system: fork, exec, reap, descriptors.
//!
//! [`run`] is the keeper, the process that is parent of everything: of every worker and of the supervisor. It does what
//! the [`protocol`] says and knows no policy; it parses no configuration and decides nothing about apps. [`Link`] is
//! how the two talk. This is the only crate with `unsafe`; whoever needs a system call without a safe wrapper finds
//! the wrapper here.

mod attributes;
pub mod cgroup;
mod clock;
mod companion;
mod datagram;
mod grouping;
mod handover;
mod keeper;
mod leftovers;
mod link;
pub mod log;
mod log_files;
pub mod memfd;
mod no_wait;
mod notify;
mod orders;
mod priority;
mod program;
pub mod protocol;
mod reap;
mod reserve;
mod runs;
mod spawn;
mod supervisor;
mod table;
mod tree;
mod upgrade;

pub use clock::monotonic_ns;
pub use companion::{Companion, CompanionPlan};
pub use datagram::{Datagram, look};
pub use handover::{Handover, handed_over};
pub use keeper::{Options, go_on, run};
pub use leftovers::end_leftovers;
pub use link::Link;
pub use no_wait::NoWait;
pub use notify::Notifier;
pub use priority::idle_priority;
pub use table::can_take_over;
pub use tree::marked;
