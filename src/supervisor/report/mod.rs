//! What is told of what has happened.
//!
//! Question answered here: *who is told, and what?* Nothing here has a part in what runs.

pub(super) mod alerts;
pub(super) mod counts;
pub(super) mod crash_files;
pub(super) mod crashes;
pub(super) mod events;
pub(super) mod health;
pub(super) mod scene;
