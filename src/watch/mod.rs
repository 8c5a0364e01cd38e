//! Noticing that files have changed.
//!
//! Question answered here: *which change of these directories is one that an app should be started anew for, and when is it
//! over?* This module may not decide what follows, and it knows no apps.
//!
//! [`watch`] starts one thread per watch. It asks inotify(7) for closed, created, moved and deleted files, never for opened or
//! written ones: an app that reads its own modules, or keeps a log open, wakes nobody. Directories that are ignored are not
//! even looked into. Changes are gathered until it has been quiet for a while, so that many of them are told as one and the
//! last one is never missed.
//!
//! * `rules`: which path counts.
//! * `quiet`: when a burst of changes is over.
//! * `tree`: the directories that are watched.
//! * `thread`: the loop.
//! * `trouble`: why nothing can be watched.

mod quiet;
mod rules;
mod thread;
mod tree;
mod trouble;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

pub use thread::{Watch, watch};

/// What is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Files, and directories with all that is in them. Absolute. One that is not there yet is watched once it is.
    pub paths: Vec<PathBuf>,
    /// Where patterns with a `/` begin, and what is left out where a path is shown. Absolute.
    pub base: PathBuf,
    /// What does not count, in the patterns of gitignore(5) on top of [`DEFAULTS`]; but one that begins with `/` is an absolute
    /// path, and one with `./` begins at the base.
    pub ignore: Vec<String>,
    /// What `.gitignore` files say does not count either.
    pub gitignore: bool,
    /// Files, and directories with all that is in them, that never count, whatever else is said.
    pub own: Vec<PathBuf>,
    /// Nor does a path whose text begins with one of these.
    pub own_prefixes: Vec<PathBuf>,
    /// A burst of changes is over when nothing has changed for so long.
    pub delay: Duration,
    /// A file that was changed after this moment and before it was watched counts as changed.
    pub since: SystemTime,
}

/// What does not count unless a pattern that begins with `!` says otherwise: what tools keep beside sources, what programs
/// write while they run, and what editors make while they save.
pub const DEFAULTS: [&str; 13] = [
    ".*",
    "node_modules",
    "__pycache__",
    "*.pyc",
    "./logs/",
    "*.log",
    "*.log.*",
    "*.pid",
    "*~",
    r"\#*#",
    "*.sw[a-p]",
    "*.tmp",
    // Vim tries out with it whether it may write.
    "4913",
];

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// So many directories are watched now.
    Watching {
        /// How many.
        directories: usize,
    },
    /// Something has changed, and nothing more for a while.
    Changed(Change),
    /// Nothing is watched, and why, with the remedy. It is the last that a watch tells.
    Trouble(String),
}

/// A burst of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first path, as seen from [`Plan::base`] if it is in there.
    pub path: PathBuf,
    /// Others changed too.
    pub others: bool,
}
