//! Names and numbers that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of an app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppName(pub String);

impl fmt::Display for AppName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $vis:vis $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        $vis struct $name($vis $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

number! {
    /// A seat of an app (PM2's `pm_id`). Stable over restarts; not reused while any worker exists.
    pub WorkerId(u32)
}
number! {
    /// One life of one process. Never reused.
    pub RunId(u64)
}
number! {
    /// One version of an app's declaration.
    pub RevisionId(u64)
}
number! {
    /// One request of a client that waits for an answer.
    pub RequestId(u64)
}
number! {
    /// A process id. Only shown, never decided upon: pids are reused.
    pub Pid(i32)
}
number! {
    /// Counts the times all workers of an app were told to be replaced. Two runs of one generation are equivalent.
    pub(crate) Generation(u64)
}
