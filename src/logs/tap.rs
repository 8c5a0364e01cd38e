//! One pipe on its way into a file.
//!
//! Question answered here: *how much of what this pipe holds may go now?* It knows lines and patience; it may not do
//! any input or output.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use supd_api::OnFull;

use super::form::{Form, whole_characters};
use super::live::Framing;
use super::loss::Tally;
use super::pipe::{CHUNK, capacity};
use super::rotation::Rule;
use super::shelf::Slot;
use super::sink::Branch;
use super::{Output, Source};

/// After so many fruitless looks (1, 2, 4 … 1024 ms, about two seconds) patience is over.
const LOOKS: u32 = 11;

pub(super) struct Tap {
    pub(super) source: Source,
    pub(super) pipe: OwnedFd,
    pub(super) key: u64,
    /// The first one decides what leaves the pipe, a second one gets a copy.
    pub(super) files: Vec<PathBuf>,
    pub(super) form: Form,
    /// Where its output goes beside its files, or in their place.
    pub(super) branch: Option<Branch>,
    pub(super) rule: Arc<Rule>,
    pub(super) on_full: OnFull,
    pub(super) tally: Arc<Tally>,
    /// What came first while the file took nothing.
    pub(super) kept: Option<Slot>,
    /// Another supervisor carried its output before.
    pub(super) resumed: bool,
    /// Every write end is closed: nothing will be added.
    pub(super) hung_up: bool,
    /// It waits for its turn.
    pub(super) queued: bool,
    /// When it will be looked at though nothing woke us.
    pub(super) look_at: Option<Instant>,
    pub(super) framing: Framing,
    capacity: usize,
    /// After the release of its run: how many bytes may still come. What is more than the pipe could hold at that moment was
    /// written later, by a process that escaped.
    rest: Option<usize>,
    looks: u32,
    /// How many bytes it held when it was looked at last.
    held: usize,
}

/// What comes after a turn.
pub(super) enum Next {
    /// Another turn: there may be more.
    Turn,
    /// Nothing until the pipe wakes us.
    Sleep,
    /// Something is left in the pipe. A writer that blocks on a pipe which was not empty wakes nobody (`pipe_write` in
    /// Linux's fs/pipe.c), so it must be looked at again after this time.
    Look(Duration),
    /// It is finished.
    End,
}

/// What becomes of what a pipe holds while its file takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spill {
    /// It stays where it is.
    Leave,
    /// So many of the oldest bytes are dropped.
    Drop(usize),
    /// So many of them are put on the shelf.
    Keep(usize),
}

impl Tap {
    pub(super) fn new(key: u64, source: Source, pipe: OwnedFd, output: Output) -> Self {
        let capacity = capacity(&pipe);
        Self {
            key,
            form: Form::new(&output.form, &source),
            branch: Branch::new(&output, &source),
            rule: Arc::new(Rule::new(&output.rotation)),
            files: output.files,
            on_full: output.on_full,
            tally: output.tally,
            kept: None,
            resumed: output.resumed,
            source,
            pipe,
            hung_up: false,
            queued: false,
            look_at: None,
            framing: Framing::default(),
            capacity,
            rest: None,
            looks: 0,
            held: 0,
        }
    }

    pub(super) fn release(&mut self) {
        self.capacity = capacity(&self.pipe);
        self.rest.get_or_insert(self.capacity);
    }

    /// The pipe is empty.
    pub(super) fn empty(&mut self) -> Next {
        (self.looks, self.held) = (0, 0);
        if self.rest.is_some() { Next::End } else { Next::Sleep }
    }

    /// What it holds cannot be had. That happens to what is no pipe, or one that somebody else reads too.
    pub(super) fn give_up(&self, error: &io::Error) -> Next {
        let Source { run, app, worker, stream, .. } = &self.source;
        tracing::error!("cannot read the {stream:?} pipe of {app} worker {worker} (run {}): {error}", run.0);
        Next::End
    }

    /// How many of these bytes may be written. In a file with several writers, and where a line has a frame or goes to a sink: whole lines, unless
    /// the line will not get whole.
    pub(super) fn cut(&mut self, bytes: &[u8], shared: bool) -> usize {
        let allowed = self.rest.map_or(bytes.len(), |rest| rest.min(bytes.len()));
        let in_lines = self.form.wants_lines() || self.branch.is_some();
        if !shared && !in_lines {
            return allowed;
        }
        if let Some(newline) = bytes[..allowed].iter().rposition(|&byte| byte == b'\n') {
            return newline + 1;
        }
        let stuck = bytes.len() == self.held && self.may_be_full(bytes.len());
        let closed = self.hung_up || self.rest.is_some();
        if closed || bytes.len() >= CHUNK || stuck || self.looks >= LOOKS {
            return if in_lines { whole_characters(&bytes[..allowed]) } else { allowed };
        }
        self.note(bytes.len());
        0
    }

    /// The file takes nothing now. What becomes of these bytes, so that the writer is not blocked unless that is wished; whole
    /// lines where there are any.
    pub(super) fn spill(&mut self, bytes: &[u8]) -> Spill {
        if self.is_given_up() {
            return Spill::Drop(bytes.len());
        }
        let crowded = self.may_be_full(bytes.len());
        let lines =
            || bytes.iter().rposition(|&byte| byte == b'\n').map_or(bytes.len(), |newline| newline + 1);
        match self.on_full {
            OnFull::DropOldest if crowded => {
                let least = bytes.len() - (self.capacity / 8).min(bytes.len() / 2);
                let newline = bytes[least..].iter().position(|&byte| byte == b'\n');
                Spill::Drop(newline.map_or(least, |newline| least + newline + 1))
            }
            OnFull::DropNewest if crowded && self.kept.is_none() => Spill::Keep(lines()),
            OnFull::DropNewest if crowded => Spill::Drop(lines()),
            OnFull::Block | OnFull::DropOldest | OnFull::DropNewest => {
                self.note(bytes.len());
                Spill::Leave
            }
        }
    }

    /// Its run is over, and its file has taken nothing for a while.
    pub(super) fn is_given_up(&self) -> bool {
        match self.on_full {
            OnFull::Block => false,
            OnFull::DropOldest | OnFull::DropNewest => self.rest.is_some() && self.looks >= LOOKS,
        }
    }

    /// Its run is over.
    pub(super) fn is_released(&self) -> bool {
        self.rest.is_some()
    }

    /// A pipe has room for a number of pages, some of which hold less than a page; two neighbours
    /// always hold more than one page, so a full pipe is at least almost half full. Of a larger pipe only a chunk is seen.
    fn may_be_full(&self, held: usize) -> bool {
        held >= (self.capacity * 3 / 8).min(CHUNK)
    }

    fn note(&mut self, held: usize) {
        if held > self.held {
            self.looks = 0;
        }
        self.held = held;
    }

    /// So many bytes have been consumed.
    pub(super) fn moved(&mut self, count: usize) -> Next {
        (self.looks, self.held) = (0, 0);
        if let Some(rest) = &mut self.rest {
            *rest = rest.saturating_sub(count);
            if *rest == 0 {
                return Next::End;
            }
        }
        Next::Turn
    }

    /// When to look again at what had to be left.
    pub(super) fn wait(&mut self) -> Next {
        let delay = Duration::from_millis(1 << self.looks.min(LOOKS - 1));
        self.looks += 1;
        Next::Look(delay)
    }
}

#[cfg(test)]
mod tests {
    use supd_api::{AppName, Stream};
    use supd_keeper::protocol::RunId;

    use super::*;

    #[test]
    fn after_a_release_a_tap_takes_what_its_pipe_can_hold_and_not_a_byte_more() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let app = AppName::new("app").unwrap();
        let source = Source { run: RunId(1), app, namespace: String::new(), worker: 1, stream: Stream::Out };
        let mut tap = Tap::new(1, source, reader.into(), Output::default());
        let full = vec![b'x'; tap.capacity];
        tap.release();
        assert_eq!(tap.cut(&full, true), full.len());
        assert!(matches!(tap.moved(full.len() - 3), Next::Turn));
        // An escaped process has written more meanwhile.
        assert_eq!(tap.cut(&full, false), 3);
        assert!(matches!(tap.moved(3), Next::End));
    }
}
