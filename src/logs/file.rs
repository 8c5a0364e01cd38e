//! One log file, shared by all who write into it.
//!
//! Question answered here: *did these bytes reach the file?* While they cannot, it counts what had to be dropped and
//! writes one line about that when it can again. It may not decide what is dropped.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::journal::Journal;
use super::live::Reached;
use super::place::Place;
use super::{Notice, Source};

const RETRY: Duration = Duration::from_secs(1);

pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// How many pipes end here.
    pub(super) writers: usize,
    /// The last byte written was not a newline.
    mid_line: bool,
    fault: Option<Fault>,
}

struct Fault {
    text: String,
    retry_at: Instant,
    lost_since: u64,
    lost_unmarked: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, writers: 0, mid_line: false, fault: None }
    }

    /// One pipe more ends here. The file is made now, so that it is there before the first output, and that a path
    /// that cannot be written is told at the start.
    pub(super) fn join(&mut self, tell: &dyn Fn(Notice)) {
        self.writers += 1;
        if let Err(error) = self.open() {
            self.fail(error, Instant::now(), tell);
        }
    }

    /// Writes as much of `bytes` as the file takes and says how much that was; 0: nothing now. A change for the worse or the
    /// better is told.
    pub(super) fn put(
        &mut self,
        source: &Source,
        bytes: &[u8],
        journal: &mut Journal,
        now: Instant,
        tell: &dyn Fn(Notice),
    ) -> usize {
        if self.fault.as_ref().is_some_and(|fault| now < fault.retry_at) {
            return 0;
        }
        match self.write(source, bytes, journal) {
            Ok(count) => {
                self.mid_line = bytes[..count].last() != Some(&b'\n');
                if let Some(fault) = self.fault.take() {
                    tell(Notice::Recovered { path: self.path.clone(), lost: fault.lost_since });
                }
                count
            }
            Err(error) => {
                self.fail(error, now, tell);
                0
            }
        }
    }

    fn write(&mut self, source: &Source, bytes: &[u8], journal: &mut Journal) -> io::Result<usize> {
        self.mark_loss()?;
        let file = self.open()?;
        journal.intend(source, &file.metadata()?, bytes.len())?;
        match file.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(count),
        }
    }

    fn mark_loss(&mut self) -> io::Result<()> {
        let Some(fault) = self.fault.as_ref().filter(|fault| fault.lost_unmarked > 0) else { return Ok(()) };
        let start = if self.mid_line { "\n" } else { "" };
        let marker =
            format!("{start}[supd] {} bytes of output were lost: {}\n", fault.lost_unmarked, fault.text);
        let written = self.open()?.write(marker.as_bytes())?;
        self.mid_line = written < marker.len();
        if self.mid_line {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(fault) = &mut self.fault {
            fault.lost_unmarked = 0;
        }
        Ok(())
    }

    fn fail(&mut self, error: io::Error, now: Instant, tell: &dyn Fn(Notice)) {
        let retry_at = now + RETRY;
        match &mut self.fault {
            Some(fault) => fault.retry_at = retry_at,
            None => {
                self.fault =
                    Some(Fault { text: error.to_string(), retry_at, lost_since: 0, lost_unmarked: 0 });
                tell(Notice::Trouble { path: self.path.clone(), error });
            }
        }
    }

    /// So many bytes were dropped because they could not be written.
    pub(super) fn lose(&mut self, count: usize) {
        if let Some(fault) = &mut self.fault {
            fault.lost_since += count as u64;
            fault.lost_unmarked += count as u64;
        }
    }

    /// Where it ends now; `None` when it is no regular file, or not open.
    pub(super) fn end(&self) -> Option<Reached> {
        let metadata = self.file.as_ref()?.metadata().ok()?;
        let reached = || Reached { path: self.path.clone(), place: Place::end_of(&metadata) };
        metadata.is_file().then(reached)
    }

    /// Whether a single pipe ends here, so that its bytes are written as they come.
    pub(super) fn sole(&self) -> bool {
        self.writers == 1
    }

    /// Whether something must be remembered even without a writer.
    pub(super) fn owes_a_marker(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.lost_unmarked > 0)
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
            self.mid_line = false;
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens the path anew. Until that works, the file opened before stays in use.
    pub(super) fn reopen(&mut self, tell: &dyn Fn(Notice)) {
        match open(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.mid_line = false;
            }
            Err(error) => tell(Notice::Trouble { path: self.path.clone(), error }),
        }
    }

    pub(super) fn truncate(&mut self) -> io::Result<()> {
        self.mid_line = false;
        self.open()?.set_len(0)
    }
}

/// Not blocking, because a path may name a FIFO (fifo(7)); without becoming a controlling terminal, because it may name one.
fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(directory)?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
        .open(path)
}
