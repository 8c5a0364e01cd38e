//! From declarations to versions of apps.
//!
//! Question answered here: *is this declaration accepted, and what would it change?* What a version is to the core says [`spec`].

pub(super) mod accept;
pub(super) mod admit;
pub(super) mod changes;
pub(super) mod depends;
pub(super) mod difference;
pub(super) mod pin;
pub(super) mod reload;
pub(super) mod revision;
pub(super) mod spec;
