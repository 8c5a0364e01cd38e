//! What was being written when the supervisor was killed.
//!
//! Question answered here: *which bytes were on their way into which files?* One record is enough, because one thread writes
//! one chunk at a time. It may not hold output for longer than that chunk.
//!
//! The record says how many bytes of which pipe go to which files at which offsets, so a file's length says how many
//! arrived, and the next supervisor writes the rest. Bytes that go into a file as they are still stand in the pipe; what has
//! been given another form is in the journal, behind the record. Whether the bytes have left the pipe says the journal's own
//! file offset: they are consumed by splice(2) *into* the journal, and the kernel moves bytes and offset in one system call, which
//! a signal cannot cut in two. The offset belongs to the open file description, which the keeper shares. Bytes that come from
//! the [shelf](super::shelf) are framed always, and have left it when it says so.
//!
//! The record stands at the beginning of this memory, behind it the losses and the shelf have their places.
//!
//! A record lies within one page, which a signal does not cut either. It is taken back before a new one is prepared: no
//! record claims nothing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use supd_api::Stream;

use super::Source;
use super::pipe::{CHUNK, consume};
use super::raw::open;

/// A record begins with this word ("supdlog2"); a zero takes its place when it is taken back.
const MAGIC: u64 = 0x7375_7064_6c6f_6732;
const WORDS: usize = 4 + 5 * FILES + 1;
/// What is added to the code of a stream when the bytes come from the shelf.
const KEPT: u64 = 2;
/// Into how many files a chunk goes at most.
const FILES: usize = 2;
/// Where consumed bytes go, behind the record's page.
const CONSUMED: u64 = 4096;
/// Where bytes stand that were given another form. A chunk's are less than 1 MiB for each file ([`super::form::MOST`], and one piece).
const FRAMED: u64 = CONSUMED + CHUNK as u64;

/// A new journal: memory that lives as long as any process holds it.
///
/// # Errors
/// Those of memfd_create(2).
pub fn new_journal() -> io::Result<OwnedFd> {
    Ok(memfd_create("supd-log-journal", MFdFlags::MFD_CLOEXEC)?)
}

pub(super) struct Journal {
    file: Arc<File>,
    record: Record,
    /// What an earlier supervisor was writing when it was killed.
    interrupted: Option<Record>,
}

/// What goes to the end of a file.
pub(super) struct Part<'a> {
    pub(super) file: &'a std::fs::Metadata,
    pub(super) bytes: &'a [u8],
    /// They are not as they are in the pipe.
    pub(super) framed: bool,
}

/// Where a chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Pipe,
    /// The shelf, after so many bytes that have left it.
    Shelf(u64),
}

/// So many bytes of this stream are on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Record {
    run: u64,
    stream: u64,
    taken: u64,
    parts: [Option<Place>; FILES],
    /// On the shelf, where they come from there.
    start: u64,
}

/// `length` bytes go to the file at `offset`. They are in the journal at `framed`, or are those of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    offset: u64,
    length: u64,
    framed: Option<u64>,
}

impl Place {
    fn is_in(&self, file: &std::fs::Metadata) -> bool {
        file.is_file() && (file.dev(), file.ino()) == (self.device, self.inode)
    }
}

impl Record {
    fn to_bytes(self) -> [u8; WORDS * 8] {
        let mut words = vec![MAGIC, self.run, self.stream, self.taken];
        for part in self.parts {
            // Nothing framed lies at 0 or 1: 0 says that there is no such part, 1 that its bytes are in the pipe.
            words.extend(part.map_or([0; 5], |part| {
                [part.device, part.inode, part.offset, part.length, part.framed.unwrap_or(1)]
            }));
        }
        words.push(self.start);
        let mut bytes = [0; WORDS * 8];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(slot, word)| {
            slot.copy_from_slice(&word.to_ne_bytes());
        });
        bytes
    }

    fn from_bytes(bytes: &[u8; WORDS * 8]) -> Option<Self> {
        let (chunks, _) = bytes.as_chunks::<8>();
        let words: [u64; WORDS] = std::array::from_fn(|i| u64::from_ne_bytes(chunks[i]));
        let part = |at: usize| {
            let [device, inode, offset, length, place] = std::array::from_fn(|i| words[at + i]);
            let framed = (place > 1).then_some(place);
            (place > 0).then_some(Place { device, inode, offset, length, framed })
        };
        let record = Self {
            run: words[1],
            stream: words[2],
            taken: words[3],
            parts: [part(4), part(9)],
            start: words[14],
        };
        (words[0] == MAGIC).then_some(record)
    }
}

/// A stream as a number.
pub(super) fn code(stream: Stream) -> u64 {
    match stream {
        Stream::Out => 1,
        Stream::Err => 2,
    }
}

impl Journal {
    pub(super) fn open(journal: OwnedFd) -> io::Result<Self> {
        let file = Arc::new(File::from(journal));
        let mut bytes = [0; WORDS * 8];
        let record = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Record::from_bytes(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        if record.is_none() {
            // Its memory is allocated now, so that consuming cannot fail for want of it.
            file.write_all_at(&[0; CHUNK], CONSUMED)?;
        }
        let mut journal = Self { file, record: Record::default(), interrupted: None };
        let consumed = journal.consumed()?;
        journal.interrupted = record.filter(|record| consumed < record.taken);
        Ok(journal)
    }

    /// Memory that outlives this process, for what stands behind the record.
    pub(super) fn memory(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether a chunk was on its way.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// Whether it was of this source; then, where it came from.
    pub(super) fn concerns(&self, source: &Source) -> Option<Origin> {
        let record = self.interrupted.filter(|record| record.run == source.run.0)?;
        match record.stream.checked_sub(code(source.stream)) {
            Some(0) => Some(Origin::Pipe),
            Some(KEPT) => Some(Origin::Shelf(record.start)),
            Some(_) | None => None,
        }
    }

    /// Before a write: `taken` bytes of `source`, at most [`CHUNK`], are about to go to the ends of these files; without any, to
    /// leave the pipe.
    pub(super) fn intend(
        &mut self,
        source: &Source,
        origin: Origin,
        taken: usize,
        parts: &[Option<Part<'_>>; FILES],
    ) -> io::Result<()> {
        self.retract()?;
        self.record = Record {
            run: source.run.0,
            stream: match origin {
                Origin::Pipe => code(source.stream),
                Origin::Shelf(_) => code(source.stream) + KEPT,
            },
            taken: taken as u64,
            parts: [None; FILES],
            start: match origin {
                Origin::Pipe => 0,
                Origin::Shelf(start) => start,
            },
        };
        let mut end = FRAMED;
        for (place, part) in self.record.parts.iter_mut().zip(parts) {
            let Some(part) = part else { continue };
            let (device, inode, offset) = (part.file.dev(), part.file.ino(), part.file.len());
            let length = part.bytes.len() as u64;
            let framed = part.framed.then_some(end);
            if let Some(at) = framed {
                self.file.write_all_at(part.bytes, at)?;
                end += length;
            }
            *place = Some(Place { device, inode, offset, length, framed });
        }
        (&*self.file).seek(SeekFrom::Start(CONSUMED))?;
        self.note()
    }

    /// After a write that brought less than was intended: so much it is, and so long are the parts.
    pub(super) fn shrink(&mut self, taken: usize, lengths: [usize; FILES]) -> io::Result<()> {
        self.record.taken = taken as u64;
        for (part, length) in self.record.parts.iter_mut().zip(lengths) {
            if let Some(part) = part {
                part.length = length as u64;
            }
        }
        self.note()
    }

    /// Nothing is on its way.
    pub(super) fn retract(&self) -> io::Result<()> {
        self.file.write_all_at(&0_u64.to_ne_bytes(), 0)
    }

    fn note(&self) -> io::Result<()> {
        self.file.write_all_at(&self.record.to_bytes(), 0)
    }

    /// After a write: `count` bytes that are in the files leave the pipe.
    pub(super) fn consume(&self, pipe: &OwnedFd, count: usize) -> io::Result<()> {
        consume(pipe, &self.file, count)
    }

    fn consumed(&self) -> io::Result<u64> {
        Ok((&*self.file).stream_position()?.saturating_sub(CONSUMED))
    }

    /// Brings the interrupted chunk, of the source it [concerns](Self::concerns), to its end. `held` is what its pipe or the shelf
    /// holds, `paths` are its files. If they do not take it now, what has arrived is taken back. Returns how many bytes must be [consumed](Self::consume) or taken from the shelf now. Others may have truncated or
    /// extended the files since: only what is there counts.
    pub(super) fn complete(&mut self, paths: &[&Path], held: &[u8]) -> io::Result<usize> {
        let Some(record) = self.interrupted.take() else { return Ok(0) };
        let consumed = self.consumed()?;
        // The first byte is consumed when the last one is written.
        if consumed == 0
            && let Err(error) = self.each(paths, &record, held, finish)
        {
            return self.each(paths, &record, held, take_back).map(|()| 0).map_err(|_| error);
        }
        let left = usize::try_from(record.taken.saturating_sub(consumed)).unwrap_or(usize::MAX);
        Ok(left.min(held.len()))
    }

    fn each(
        &self,
        paths: &[&Path],
        record: &Record,
        held: &[u8],
        mut act: impl FnMut(&Path, &Place, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for (path, place) in paths.iter().zip(&record.parts) {
            if let Some(place) = place {
                act(path, place, &self.bytes(place, held)?)?;
            }
        }
        Ok(())
    }

    fn bytes(&self, place: &Place, held: &[u8]) -> io::Result<Vec<u8>> {
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        match place.framed {
            None => held.get(..length).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            Some(at) => {
                let mut bytes = Vec::new();
                let room = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX);
                bytes.resize(length.min(room), 0);
                self.file.read_exact_at(&mut bytes, at)?;
                Ok(bytes)
            }
        }
    }
}

/// Appends what has not arrived.
fn finish(path: &Path, place: &Place, bytes: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    let arrived = arrived(path, &file, place, bytes);
    file.write_all(&bytes[arrived..])
}

/// Takes away what has arrived, so that it can be written as a whole later. An error: that is not the end of this file.
fn take_back(path: &Path, place: &Place, bytes: &[u8]) -> io::Result<()> {
    let file = open(path)?;
    let arrived = arrived(path, &file, place, bytes) as u64;
    let metadata = file.metadata()?;
    if place.is_in(&metadata) && metadata.len() == place.offset + arrived {
        file.set_len(place.offset)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// How many of these bytes are in the file, where they were to go.
fn arrived(path: &Path, file: &File, place: &Place, bytes: &[u8]) -> usize {
    let Ok(metadata) = file.metadata() else { return 0 };
    if !place.is_in(&metadata) {
        return 0;
    }
    let reached = metadata.len().saturating_sub(place.offset).min(place.length);
    let reached = usize::try_from(reached).unwrap_or(0).min(bytes.len());
    let mut found = Vec::with_capacity(reached);
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(place.offset))?;
        file.take(reached as u64).read_to_end(&mut found)
    });
    if read.is_ok() && found == bytes[..reached] { reached } else { 0 }
}

#[cfg(test)]
mod tests {
    use supd_api::AppName;
    use supd_keeper::protocol::RunId;

    use super::*;

    #[test]
    fn what_cannot_be_finished_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("app.log");
        std::fs::write(&main, "before\n").unwrap();
        let full = Path::new("/dev/full");
        let [file, other] = [main.as_path(), full].map(|path| path.metadata().unwrap());
        let source = Source {
            run: RunId(1),
            app: AppName::new("app").unwrap(),
            namespace: String::new(),
            worker: 1,
            stream: Stream::Out,
        };
        let memory = new_journal().unwrap();
        let mut journal = Journal::open(memory.try_clone().unwrap()).unwrap();
        let part = |file| Some(Part { file, bytes: b"whole line\n", framed: false });
        journal.intend(&source, Origin::Pipe, 11, &[part(&file), part(&other)]).unwrap();
        // Killed here, after a part of it.
        std::fs::write(&main, "before\nwhole").unwrap();
        let mut next = Journal::open(memory).unwrap();
        assert_eq!(next.concerns(&source), Some(Origin::Pipe));
        next.complete(&[&main, full], b"whole line\nand more\n").unwrap_err();
        assert_eq!(std::fs::read_to_string(&main).unwrap(), "before\n", "the pipe has it still");
    }
}
