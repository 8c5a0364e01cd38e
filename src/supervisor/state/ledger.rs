//! What is entrusted to us, on disk: it comes back after a reboot without anybody having saved it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use supd_core::{Ended, Recalled, WorkerId};
use tokio::sync::mpsc;

use crate::atomic;
use crate::supervisor::versions::revision::Revision;

/// Version of the file. Older ones keep loading; a newer one is left alone.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    version: u32,
    pub(crate) apps: Vec<Entry>,
}

/// One app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) revision: Arc<Revision>,
    /// The version before, for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<Arc<Revision>>,
    workers: Vec<Seat>,
    /// From when on the next time of a job counts that makes up for what it misses; milliseconds of Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts_from: Option<u64>,
}

/// One worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seat {
    id: u32,
    instance: u32,
    up: bool,
    /// It has ended by itself with code 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    completed: bool,
    /// How the last run of a job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Ended>,
}

/// A write that has ended.
#[derive(Debug)]
pub(crate) struct Saved {
    number: u64,
    failure: Option<String>,
}

/// Writes one ledger at a time, always the latest.
pub(crate) struct Writer {
    /// `None`: nowhere. Whoever starts the daemon tells it again.
    path: Option<PathBuf>,
    outlet: mpsc::UnboundedSender<Saved>,
    /// How many changes there were, and up to which one is being written or has been.
    changes: u64,
    writing: Option<u64>,
    written: u64,
    failure: Option<String>,
}

impl Entry {
    pub(crate) fn new(
        revision: Arc<Revision>,
        previous: Option<Arc<Revision>>,
        seats: &[Recalled],
        counts_from: Option<u64>,
    ) -> Self {
        let workers = seats
            .iter()
            .map(|seat| Seat {
                id: seat.worker.0,
                instance: seat.instance,
                up: seat.up,
                completed: seat.completed,
                last: seat.last.clone(),
            })
            .collect();
        Self { revision, previous, workers, counts_from }
    }

    pub(crate) fn seats(&self) -> Vec<Recalled> {
        let recalled = |seat: &Seat| Recalled {
            worker: WorkerId(seat.id),
            instance: seat.instance,
            up: seat.up,
            completed: seat.completed,
            last: seat.last.clone(),
        };
        self.workers.iter().map(recalled).collect()
    }
}

impl Ledger {
    pub(crate) fn new(apps: Vec<Entry>) -> Self {
        Self { version: VERSION, apps }
    }

    /// Reads the file. One that cannot be understood is put aside, never overwritten.
    ///
    /// # Errors
    /// It cannot be read, or it was written by a newer supd.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new(Vec::new())),
            Err(error) => return Err(in_file(path, &error.to_string())),
        };
        match Self::parse(&text) {
            Ok(ledger) => Ok(ledger),
            Err(Unreadable::Newer(why)) => Err(in_file(path, &why)),
            Err(Unreadable::Damaged(error)) => {
                let aside = path.with_extension(format!("unreadable-{}", std::process::id()));
                fs::rename(path, &aside).map_err(|error| in_file(path, &error.to_string()))?;
                tracing::error!("{} is damaged ({error}); it is kept as {}", path.display(), aside.display());
                Ok(Self::new(Vec::new()))
            }
        }
    }

    /// Reads the text of a ledger.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(text).map_err(Unreadable::Damaged)?;
        if version > VERSION {
            return Err(Unreadable::Newer(format!(
                "it has version {version}, this supd reads up to {VERSION}: use the newer supd that wrote it"
            )));
        }
        serde_json::from_slice(text).map_err(Unreadable::Damaged)
    }
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// By this supd.
    #[error("{0}")]
    Newer(String),
    /// By any.
    #[error("{0}")]
    Damaged(serde_json::Error),
}

fn in_file(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{}: {why}", path.display()))
}

impl Writer {
    pub(crate) fn new(path: Option<PathBuf>, outlet: mpsc::UnboundedSender<Saved>) -> Self {
        Self { path, outlet, changes: 0, writing: None, written: 0, failure: None }
    }

    /// Notes a change and returns its number: see [`Writer::is_written`].
    pub(crate) fn change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// Whether a write should begin now.
    pub(crate) fn wants(&self) -> bool {
        self.path.is_some() && self.writing.is_none() && self.written < self.changes
    }

    /// Writes in a blocking task; the result comes as [`Saved`].
    pub(crate) fn write(&mut self, ledger: Ledger) {
        let Some(path) = self.path.clone() else { return };
        let number = self.changes;
        self.writing = Some(number);
        let outlet = self.outlet.clone();
        tokio::task::spawn_blocking(move || {
            let written = serde_json::to_vec(&ledger).map_err(io::Error::other);
            let written = written.and_then(|text| atomic::write(&path, &text));
            let failure = written.err().map(|error| in_file(&path, &error.to_string()).to_string());
            // The loop may have ended meanwhile.
            let _ = outlet.send(Saved { number, failure });
        });
    }

    /// Takes note of the end of a write. A failed one is tried again with the next change, or when asked to retry.
    pub(crate) fn on_saved(&mut self, saved: Saved) {
        self.writing = None;
        match saved.failure {
            None => {
                if let Some(failure) = self.failure.take() {
                    tracing::info!("the ledger can be written again (before: {failure})");
                }
                self.written = self.written.max(saved.number);
            }
            Some(failure) => {
                if self.failure.is_none() {
                    tracing::error!("the ledger cannot be written: {failure}");
                }
                self.failure = Some(failure);
            }
        }
    }

    /// Whether everything up to this change is on disk, or why it is not although it was tried.
    pub(crate) fn is_written(&self, change: u64) -> Result<bool, &str> {
        match &self.failure {
            _ if self.written >= change || self.path.is_none() => Ok(true),
            Some(failure) if self.writing.is_none() => Err(failure),
            Some(_) | None => Ok(false),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }
}
