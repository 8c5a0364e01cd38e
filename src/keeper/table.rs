//! What does a keeper have to know that takes over from an earlier image of the same process?
//!
//! The document in which the present state travels through exec(2), with descriptors by their numbers. A newer program reads
//! what an older one wrote: fields may be added with a default, never renamed. Only the writer itself can be expected to
//! read a newer version.

use std::collections::BTreeSet;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::{DescriptorName, Exit, RunId, Step, Upgrade};

/// Version of the document.
pub(crate) const VERSION: u32 = 1;
/// A larger one is none of ours.
pub(crate) const SIZE_MAX: u64 = 256 << 20;

/// The document.
#[derive(Serialize, Deserialize)]
pub(crate) struct Table {
    /// [`VERSION`] of the writer.
    pub(crate) version: u32,
    /// `SUPD_HOME`.
    pub(crate) home: PathBuf,
    pub(crate) runs: Vec<RunEntry>,
    pub(crate) store: Vec<(DescriptorName, RawFd)>,
    pub(crate) snapshot: Option<RawFd>,
    /// Held for its own sake.
    pub(crate) lock: Option<RawFd>,
    pub(crate) supervisor: SupervisorEntry,
    /// `None` in a rehearsal.
    pub(crate) upgrade: Option<Upgrade>,
    /// Orders of a supervisor on trial, in their sequence.
    pub(crate) held: Vec<HeldOrder>,
    /// The limits of open files that runs get; the keeper has raised its own.
    pub(crate) open_files: (u64, u64),
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub(crate) since: u64,
    /// Whether systemd knows that the service is up.
    pub(crate) announced: bool,
    /// Whether the keeper was asked to end.
    pub(crate) terminate: bool,
}

/// One run.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunEntry {
    pub(crate) run: RunId,
    pub(crate) pid: i32,
    pub(crate) doomed: bool,
    #[serde(default)]
    pub(crate) peak_memory: u64,
    #[serde(default)]
    pub(crate) leaf: Option<PathBuf>,
    pub(crate) phase: PhaseEntry,
}

/// How far it is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PhaseEntry {
    Spawning { status: RawFd },
    Failing { step: Step, errno: i32 },
    Alive,
    Exited { exit: Exit, survivors: bool },
}

/// The living supervisor.
#[derive(Serialize, Deserialize)]
pub(crate) struct SupervisorEntry {
    pub(crate) pid: i32,
    pub(crate) age: Duration,
    pub(crate) start: RawFd,
    pub(crate) link: RawFd,
    pub(crate) unanswered: u8,
    pub(crate) starts: u32,
    pub(crate) short_lives: u32,
}

/// An order that has not been carried out, as its sender wrote it.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeldOrder {
    pub(crate) order: Value,
    pub(crate) attached: Vec<RawFd>,
}

impl Table {
    /// Reads the document and looks whether it makes sense.
    ///
    /// # Errors
    /// Why this program cannot go on from it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let wrong = |error: serde_json::Error| format!("the keeper's table cannot be read: {error}");
        let Head { version } = serde_json::from_slice(text).map_err(wrong)?;
        if version > VERSION {
            return Err(format!(
                "the keeper's table has version {version}, this program reads up to {VERSION}"
            ));
        }
        let table: Self = serde_json::from_slice(text).map_err(wrong)?;
        let mut seen = BTreeSet::new();
        let wrong = table.numbers().find(|number| *number <= 2 || !seen.insert(*number));
        match wrong {
            None => Ok(table),
            Some(number) => Err(format!("the keeper's table names descriptor {number}, which cannot be")),
        }
    }

    /// Every descriptor in it.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        let status = |run: &RunEntry| match run.phase {
            PhaseEntry::Spawning { status } => Some(status),
            PhaseEntry::Failing { .. } | PhaseEntry::Alive | PhaseEntry::Exited { .. } => None,
        };
        let stored = self.store.iter().map(|(_, number)| *number);
        let held = self.held.iter().flat_map(|held| held.attached.iter().copied());
        let single = [Some(self.supervisor.start), Some(self.supervisor.link), self.snapshot, self.lock];
        self.runs.iter().filter_map(status).chain(stored).chain(held).chain(single.into_iter().flatten())
    }
}

/// Whether this program could become the keeper that wrote this document
/// ([`Report::Rehearsal`](crate::protocol::Report::Rehearsal)).
///
/// # Errors
/// Why not.
pub fn can_take_over(document: &[u8]) -> Result<(), String> {
    Table::parse(document).map(drop)
}
