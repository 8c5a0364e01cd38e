//! Output that has left its pipe and is not in its file yet.
//!
//! Question answered here: *what came first, and waits for the file?* Only `drop_newest` needs that: a pipe gives its oldest bytes
//! first, so whoever wants to keep them and let the worker go on must put them somewhere else. They stand in the journal's memory, which
//! the keeper holds, one chunk for each stream at most. It may not decide what is kept.
//!
//! A chunk is put there before it leaves the pipe, and is valid from the moment in which the journal says that it will:
//! a supervisor killed in between leaves it in exactly one of the two places.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::fcntl::{FallocateFlags, fallocate};

use super::Source;
use super::journal::code;
use super::loss::{LOSSES, SIZE};
use super::pipe::CHUNK;

/// Where the first one stands in the journal, in bytes.
const SHELF: u64 = LOSSES + SIZE;
/// One page that says whose it is, and its bytes.
const SLOT: u64 = 4096 + CHUNK as u64;
const WORDS: usize = 5;

/// The chunks of all streams.
#[derive(Clone)]
pub(super) struct Shelf(Arc<File>);

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Its bytes may still be in the pipe.
    Pending,
    Valid,
}

struct Label {
    state: State,
    run: u64,
    stream: u64,
    /// Which of its bytes are not in the file yet.
    start: u64,
    end: u64,
}

impl Label {
    fn belongs_to(&self, source: &Source) -> bool {
        self.state != State::Free && (self.run, self.stream) == (source.run.0, code(source.stream))
    }
}

impl Shelf {
    pub(super) fn new(memory: Arc<File>) -> Self {
        Self(memory)
    }

    /// Puts these bytes, at most [`CHUNK`], on the shelf. They count only once they are [confirmed](Self::confirm).
    pub(super) fn put(&self, source: &Source, bytes: &[u8]) -> io::Result<Slot> {
        let mut index = 0;
        while self.label(Slot(index))?.state != State::Free {
            index += 1;
        }
        let slot = Slot(index);
        self.0.write_all_at(bytes, slot.bytes())?;
        let (run, stream) = (source.run.0, code(source.stream));
        let label = Label { state: State::Pending, run, stream, start: 0, end: bytes.len() as u64 };
        self.write(slot, &label)?;
        Ok(slot)
    }

    /// From now on these bytes are here, and no more in the pipe.
    pub(super) fn confirm(&self, slot: Slot) -> io::Result<()> {
        self.write(slot, &Label { state: State::Valid, ..self.label(slot)? })
    }

    /// What a predecessor kept of this source. `leaving`: the journal says that bytes of its pipe were leaving it.
    pub(super) fn find(&self, source: &Source, leaving: bool) -> io::Result<Option<Slot>> {
        for slot in self.slots()? {
            let label = self.label(slot)?;
            if label.belongs_to(source) {
                return match label.state {
                    State::Pending if !leaving => self.free(slot).map(|()| None),
                    State::Pending => self.confirm(slot).map(|()| Some(slot)),
                    State::Valid | State::Free => Ok(Some(slot)),
                };
            }
        }
        Ok(None)
    }

    /// What is left of it, and how much of it is gone.
    pub(super) fn bytes(&self, slot: Slot) -> io::Result<(Vec<u8>, u64)> {
        let Label { start, end, .. } = self.label(slot)?;
        let length = end.min(CHUNK as u64).saturating_sub(start);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.0.read_exact_at(&mut bytes, slot.bytes() + start)?;
        Ok((bytes, start))
    }

    /// So many of its bytes are in the file now. `true`: all of them are, and it is there no more.
    pub(super) fn take(&self, slot: Slot, count: usize) -> io::Result<bool> {
        let label = self.label(slot)?;
        let start = label.start + count as u64;
        if start >= label.end {
            return self.free(slot).map(|()| true);
        }
        self.write(slot, &Label { start, ..label }).map(|()| false)
    }

    /// Nobody wants these any more.
    pub(super) fn free(&self, slot: Slot) -> io::Result<()> {
        self.0.write_all_at(&[0; WORDS * 8], slot.label())?;
        let whole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let at = |number| i64::try_from(number).map_err(io::Error::other);
        Ok(fallocate(&*self.0, whole, at(slot.label())?, at(SLOT)?)?)
    }

    /// Frees all but these.
    pub(super) fn retain(&self, wanted: &[Slot]) -> io::Result<()> {
        for slot in self.slots()? {
            if !wanted.contains(&slot) && self.label(slot)?.state != State::Free {
                self.free(slot)?;
            }
        }
        Ok(())
    }

    fn slots(&self) -> io::Result<impl Iterator<Item = Slot> + use<>> {
        let end = self.0.metadata()?.len();
        Ok((0..end.saturating_sub(SHELF).div_ceil(SLOT)).map(Slot))
    }

    fn label(&self, slot: Slot) -> io::Result<Label> {
        let mut bytes = [0; WORDS * 8];
        match self.0.read_exact_at(&mut bytes, slot.label()) {
            // Behind the last one.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => bytes.fill(0),
            other => other?,
        }
        let (words, _) = bytes.as_chunks::<8>();
        let [state, run, stream, start, end] = std::array::from_fn(|i| u64::from_ne_bytes(words[i]));
        let state = match state {
            1 => State::Pending,
            2 => State::Valid,
            _ => State::Free,
        };
        Ok(Label { state, run, stream, start, end })
    }

    fn write(&self, slot: Slot, label: &Label) -> io::Result<()> {
        let state = match label.state {
            State::Free => 0,
            State::Pending => 1,
            State::Valid => 2,
        };
        let words = [state, label.run, label.stream, label.start, label.end];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.0.write_all_at(&bytes, slot.label())
    }
}

impl Slot {
    fn label(self) -> u64 {
        SHELF + self.0 * SLOT
    }

    fn bytes(self) -> u64 {
        self.label() + 4096
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use supd_api::{AppName, Stream};
    use supd_keeper::protocol::RunId;

    use super::*;
    use crate::logs::new_journal;

    fn source(run: u64) -> Source {
        Source {
            run: RunId(run),
            app: AppName::new("app").unwrap(),
            namespace: String::new(),
            worker: 1,
            stream: Stream::Out,
        }
    }

    #[test]
    fn what_is_kept_is_found_by_the_next_one_and_leaves_nothing() {
        let memory = Arc::new(File::from(new_journal().unwrap()));
        let shelf = Shelf::new(Arc::clone(&memory));
        let first = shelf.put(&source(1), b"one").unwrap();
        let second = shelf.put(&source(2), b"second").unwrap();
        shelf.confirm(second).unwrap();
        let next = Shelf::new(Arc::clone(&memory));
        assert_eq!(next.find(&source(1), false).unwrap(), None, "it is still in the pipe");
        assert_eq!(next.find(&source(2), false).unwrap(), Some(second));
        assert!(!next.take(second, 2).unwrap());
        assert_eq!(next.bytes(second).unwrap(), (b"cond".to_vec(), 2));
        let third = next.put(&source(3), &[b'x'; CHUNK]).unwrap();
        assert_eq!(third, first, "its place was free");
        assert_eq!(next.find(&source(3), true).unwrap(), Some(third), "it had left the pipe");
        next.retain(&[third]).unwrap();
        assert_eq!(next.find(&source(2), false).unwrap(), None);
        assert!(next.take(third, CHUNK).unwrap());
        assert_eq!(memory.metadata().unwrap().blocks(), 0, "no memory");
    }
}
