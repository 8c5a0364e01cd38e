//! What was being written when the supervisor was killed.
//!
//! Question answered here: *how many of this pipe's first bytes are in the file already?* One record is enough,
//! because one thread writes one chunk at a time. It may not hold output for longer than that chunk.
//!
//! The record says which bytes go to which file at which offset, so the file's length says how many arrived. Whether they
//! have left the pipe says the journal's own file offset: chunks are consumed by splice(2) *into* the journal, behind the record,
//! and the kernel moves bytes and offset in one system call, which a signal cannot cut in two. The offset belongs to
//! the open file description, which the keeper shares.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};
use supd_api::Stream;

use super::Source;
use super::pipe::{CHUNK, consume};

const FIELDS: usize = 6;
const RECORD: u64 = FIELDS as u64 * 8;

/// A new journal: memory that lives as long as any process holds it.
///
/// # Errors
/// Those of memfd_create(2).
pub fn new_journal() -> io::Result<OwnedFd> {
    Ok(memfd_create("supd-log-journal", MFdFlags::MFD_CLOEXEC)?)
}

pub(super) struct Journal {
    file: File,
    /// What an earlier supervisor was writing when it was killed.
    interrupted: Option<Intent>,
}

/// `length` bytes of this stream's pipe go to the end of this file, which is at `offset`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Intent {
    run: u64,
    stream: u64,
    device: u64,
    inode: u64,
    offset: u64,
    length: u64,
}

impl Intent {
    fn new(source: &Source, file: &Metadata, length: usize) -> Self {
        Self {
            run: source.run.0,
            stream: code(source.stream),
            device: file.dev(),
            inode: file.ino(),
            offset: file.len(),
            length: length as u64,
        }
    }

    fn to_bytes(self) -> [u8; FIELDS * 8] {
        let fields = [self.run, self.stream, self.device, self.inode, self.offset, self.length];
        let mut bytes = [0; FIELDS * 8];
        bytes.chunks_exact_mut(8).zip(fields).for_each(|(slot, field)| {
            slot.copy_from_slice(&field.to_ne_bytes());
        });
        bytes
    }

    fn from_bytes(bytes: [u8; FIELDS * 8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let [run, stream, device, inode, offset, length] =
            std::array::from_fn(|i| u64::from_ne_bytes(words[i]));
        Self { run, stream, device, inode, offset, length }
    }
}

fn code(stream: Stream) -> u64 {
    match stream {
        Stream::Out => 1,
        Stream::Err => 2,
    }
}

impl Journal {
    pub(super) fn open(journal: OwnedFd) -> io::Result<Self> {
        let file = File::from(journal);
        let mut bytes = [0; FIELDS * 8];
        let interrupted = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Some(Intent::from_bytes(bytes)).filter(|intent| intent.length > 0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        // Its memory is allocated now, so that consuming cannot fail for want of it.
        file.write_all_at(&[0; CHUNK], RECORD)?;
        Ok(Self { file, interrupted })
    }

    /// Before a write: `length` bytes of `source`, at most [`CHUNK`], are about to go to the end of `file`.
    pub(super) fn intend(&mut self, source: &Source, file: &Metadata, length: usize) -> io::Result<()> {
        // In this order: the offset of the last chunk, all consumed, does no harm to a record of which nothing is written.
        self.file.write_all_at(&Intent::new(source, file, length).to_bytes(), 0)?;
        self.file.seek(SeekFrom::Start(RECORD)).map(drop)
    }

    /// After it: `count` bytes that reached the file leave the pipe.
    pub(super) fn consume(&self, pipe: &OwnedFd, count: usize) -> io::Result<()> {
        consume(pipe, &self.file, count)
    }

    /// Whether the write that was interrupted, if any, was of this source.
    pub(super) fn concerns(&self, source: &Source) -> bool {
        self.interrupted
            .is_some_and(|intent| intent.run == source.run.0 && intent.stream == code(source.stream))
    }

    /// How many of `held`, the first bytes in the pipe of the source it [concerns](Self::concerns), are in this file
    /// already. Answered once. Others may have truncated the file or appended to it since: only what is there counts.
    pub(super) fn already_written(&mut self, path: &Path, held: &[u8]) -> io::Result<usize> {
        let Some(intent) = self.interrupted.take() else { return Ok(0) };
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() || (metadata.dev(), metadata.ino()) != (intent.device, intent.inode) {
            return Ok(0);
        }
        let consumed = self.file.stream_position()?.saturating_sub(RECORD);
        let reached = metadata.len().saturating_sub(intent.offset).min(intent.length);
        let left = usize::try_from(reached.saturating_sub(consumed)).ok();
        let expected = left.and_then(|count| held.get(..count)).unwrap_or(&[]);
        let mut found = vec![0; expected.len()];
        File::open(path)?.read_exact_at(&mut found, intent.offset.saturating_add(consumed))?;
        Ok(if found == expected { expected.len() } else { 0 })
    }
}
