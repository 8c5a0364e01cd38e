//! Looking after workers.
//!
//! Question answered here: *what do we notice without being told, and when is it time?* Each file notices one kind of thing and hands the
//! core an event.

pub(super) mod cgroups;
pub(super) mod checks;
pub(super) mod cron;
pub(super) mod figures;
pub(super) mod jobs;
pub(super) mod load;
pub(super) mod oom;
pub(super) mod watching;
