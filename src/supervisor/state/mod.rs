//! What outlives a supervisor.
//!
//! Question answered here: *how does the next supervisor know all that this one knew?* The ledger is for a reboot, the snapshot for a
//! death, both for an upgrade; [`boot`] is where each of them ends.

pub(super) mod boot;
pub(super) mod carried;
pub(super) mod extents;
pub(super) mod ledger;
pub(super) mod runtime;
#[cfg(test)]
pub(super) mod skew;
pub(super) mod snapshot;
pub(super) mod successor;
pub(super) mod upgrade;
