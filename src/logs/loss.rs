//! Output that is missing.
//!
//! Question answered here: *how much of what was written is not in the file, and has that been told?* What is dropped is noted in the
//! journal's memory before it leaves its pipe, so that the next supervisor can tell it too. If that is killed in this very
//! moment, more may be told than was lost, but never less.

use std::fmt;
use std::fs::File;
use std::ops::AddAssign;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::place::millis;

/// Where they are noted, in bytes from the beginning of the journal.
pub(super) const LOSSES: u64 = 4 << 20;
/// A page. What is longer than a page may be cut in two by a signal.
pub(super) const SIZE: u64 = 4096;
const ENTRY: usize = 32;

/// So much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Ends of lines; what is left of a line after a part of it was dropped is not counted.
    pub lines: u64,
    /// In bytes.
    pub bytes: u64,
}

impl Loss {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        Self { lines: lines as u64, bytes: bytes.len() as u64 }
    }
}

impl AddAssign for Loss {
    fn add_assign(&mut self, more: Self) {
        self.lines += more.lines;
        self.bytes += more.bytes;
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines {
            0 => write!(out, "{} bytes", self.bytes),
            1 => write!(out, "1 line ({} bytes)", self.bytes),
            lines => write!(out, "{lines} lines ({} bytes)", self.bytes),
        }
    }
}

/// What has become of one stream's output so far. The log thread counts, anybody may look.
#[derive(Debug, Default)]
pub struct Tally {
    written: AtomicU64,
    lost_lines: AtomicU64,
    lost_bytes: AtomicU64,
    lost_since: AtomicU64,
}

/// What a [`Tally`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Bytes of output that are in their file, or with the sink in place of files.
    pub written: u64,
    /// What is missing in a file.
    pub lost: Loss,
    /// When the first of it was dropped, in milliseconds since the epoch; 0: nothing was.
    pub lost_since: u64,
}

impl Tally {
    /// Goes on from here.
    pub fn from(count: Count) -> Self {
        Self {
            written: count.written.into(),
            lost_lines: count.lost.lines.into(),
            lost_bytes: count.lost.bytes.into(),
            lost_since: count.lost_since.into(),
        }
    }

    /// What it says now.
    pub fn count(&self) -> Count {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let lost = Loss { lines: read(&self.lost_lines), bytes: read(&self.lost_bytes) };
        Count { written: read(&self.written), lost, lost_since: read(&self.lost_since) }
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, loss: Loss) {
        self.lost_lines.fetch_add(loss.lines, Ordering::Relaxed);
        self.lost_bytes.fetch_add(loss.bytes, Ordering::Relaxed);
        if self.lost_since.load(Ordering::Relaxed) == 0 {
            self.lost_since.store(millis(SystemTime::now()), Ordering::Relaxed);
        }
    }
}

/// What was lost of each file and is not told in it yet, in the journal's memory: so many files in one page, by a hash of
/// their paths. Of one file more, a kill of the supervisor loses the number.
#[derive(Clone)]
pub(super) struct Losses(Arc<File>);

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Untold {
    pub(super) loss: Loss,
    /// Why, as errno(3); 0: for another reason.
    pub(super) errno: i32,
}

impl Losses {
    pub(super) fn new(memory: Arc<File>) -> Self {
        Self(memory)
    }

    /// What a predecessor has left to be told in the file with this hash.
    pub(super) fn untold(&self, path: u64) -> Untold {
        let entries = self.read();
        let found = entries.iter().find(|entry| entry[0] == path).copied().unwrap_or_default();
        let [_, lines, bytes, errno] = found;
        Untold { loss: Loss { lines, bytes }, errno: i32::try_from(errno).unwrap_or_default() }
    }

    /// Notes what is to be told there; nothing, once it has been told.
    pub(super) fn note(&self, path: u64, untold: Untold) {
        let entries = self.read();
        let place = entries.iter().position(|entry| entry[0] == path);
        let Some(index) = place.or_else(|| entries.iter().position(|entry| entry[0] == 0)) else { return };
        let Untold { loss, errno } = untold;
        let entry = match loss {
            Loss { lines: 0, bytes: 0 } => [0; 4],
            Loss { lines, bytes } => [path, lines, bytes, u64::try_from(errno).unwrap_or_default()],
        };
        let bytes: Vec<u8> = entry.iter().flat_map(|word| word.to_ne_bytes()).collect();
        if let Err(error) = self.0.write_all_at(&bytes, LOSSES + (index * ENTRY) as u64) {
            tracing::error!("the journal of output cannot be written: {error}");
        }
    }

    fn read(&self) -> Vec<[u64; 4]> {
        let mut page = [0; SIZE as usize];
        // It may end within the page, or before.
        if let Err(error) = self.0.read_at(&mut page, LOSSES) {
            tracing::error!("the journal of output cannot be read: {error}");
        }
        let (words, _) = page.as_chunks::<8>();
        let (entries, _) = words.as_chunks::<4>();
        entries.iter().map(|entry| entry.map(u64::from_ne_bytes)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::new_journal;

    #[test]
    fn what_is_not_told_is_noted_by_file() {
        let memory = Arc::new(File::from(new_journal().unwrap()));
        let losses = Losses::new(Arc::clone(&memory));
        let untold = |lines| Untold { loss: Loss { lines, bytes: lines * 10 }, errno: 28 };
        assert_eq!(losses.untold(7), Untold::default());
        losses.note(7, untold(1));
        losses.note(8, untold(2));
        losses.note(7, untold(3));
        let next = Losses::new(memory);
        assert_eq!((next.untold(7), next.untold(8)), (untold(3), untold(2)));
        next.note(7, Untold::default());
        assert_eq!((next.untold(7), next.untold(8)), (Untold::default(), untold(2)));
        for path in 100..1000 {
            next.note(path, untold(path));
        }
        assert_eq!((next.untold(8), next.untold(120)), (untold(2), untold(120)));
        assert_eq!(next.untold(999), Untold::default(), "the page is full");
    }

    #[test]
    fn a_loss_is_told_in_lines_and_bytes() {
        for (bytes, text) in
            [(&b"a\nb\n"[..], "2 lines (4 bytes)"), (b"ab\n", "1 line (3 bytes)"), (b"ab", "2 bytes")]
        {
            assert_eq!(Loss::of(bytes).to_string(), text);
        }
    }
}
