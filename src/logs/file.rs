//! One log file, shared by all who write into it.
//!
//! Question answered here: *did these bytes reach the file?* While they cannot, it counts what had to be dropped and
//! writes one line about that when it can again. It may not decide what is dropped.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::Notice;
use super::form::{After, Form, Framed};
use super::live::Reached;
use super::place::{Bookmark, Place};

const RETRY: Duration = Duration::from_secs(1);

pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// How many pipes end here.
    pub(super) writers: usize,
    end: End,
    /// What a file that cannot be truncated has not taken yet of a piece that it took the beginning of.
    rest: Vec<u8>,
    fault: Option<Fault>,
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A newline, or nothing.
    Line,
    /// Less than a line, by this writer; `None`: by one before our time.
    Begun(Option<u64>),
}

/// Who writes.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) key: u64,
    /// Another supervisor carried its output before.
    pub(super) resumed: bool,
    pub(super) form: &'a Form,
}

struct Fault {
    text: String,
    retry_at: Instant,
    lost_since: u64,
    lost_unmarked: u64,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, writers: 0, end: End::Line, rest: Vec::new(), fault: None }
    }

    /// One pipe more ends here. The file is made now, so that it is there before the first output, and that a path
    /// that cannot be written is told at the start.
    pub(super) fn join(&mut self, tell: &dyn Fn(Notice)) {
        self.writers += 1;
        if let Err(error) = self.open() {
            self.fail(error, Instant::now(), tell);
        }
    }

    /// One pipe less. `true`: nobody needs this any more.
    pub(super) fn leave(&mut self) -> bool {
        self.writers -= 1;
        self.writers == 0 && self.fault.as_ref().is_none_or(|fault| fault.lost_unmarked == 0)
    }

    /// Whether it is too early to try again.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.fault.as_ref().is_some_and(|fault| now < fault.retry_at)
    }

    /// Before a write: whatever else must be in the file first is written, and what the file is like is returned.
    pub(super) fn prepare(&mut self, writer: Writer<'_>) -> io::Result<Metadata> {
        self.open()?;
        self.write_rest()?;
        self.mark_loss(writer.form)?;
        self.open()?.metadata()
    }

    /// What this writer's next piece follows.
    pub(super) fn after(&self, writer: Writer<'_>) -> After {
        match self.end {
            End::Line => After::Line,
            End::Begun(Some(key)) if key == writer.key => After::Begun,
            End::Begun(None) if writer.resumed && self.sole() => After::Begun,
            End::Begun(_) => After::Foreign,
        }
    }

    /// Writes the first `length` framed bytes, and takes back what is less than a piece. How many framed bytes are in the file, and
    /// how many bytes of output they are. `before` is what the file was like.
    pub(super) fn append(
        &mut self,
        writer: Writer<'_>,
        framed: &Framed<'_>,
        length: usize,
        before: &Metadata,
    ) -> io::Result<(usize, usize)> {
        let bytes = &framed.bytes[..length];
        let file = self.open()?;
        let written = match file.write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => written,
        };
        let (mut whole, mut taken) = framed.whole(written);
        if whole < written && before.is_file() {
            // Unless others have written too.
            if file.metadata()?.len() == before.len() + written as u64 {
                file.set_len(before.len() + whole as u64)?;
            }
            if whole == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        } else if whole < written {
            (whole, taken) = framed.through(written);
            self.rest.extend_from_slice(&bytes[written..whole]);
        }
        self.end =
            if bytes[..whole].last() == Some(&b'\n') { End::Line } else { End::Begun(Some(writer.key)) };
        Ok((whole, taken))
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let Some(file) = &mut self.file else { return Ok(()) };
            let written = file.write(&self.rest)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.rest.drain(..written);
        }
        Ok(())
    }

    fn mark_loss(&mut self, form: &Form) -> io::Result<()> {
        let Some(fault) = self.fault.as_ref().filter(|fault| fault.lost_unmarked > 0) else { return Ok(()) };
        let text = format!("[supd] {} bytes of output were lost: {}\n", fault.lost_unmarked, fault.text);
        let after = if self.end == End::Line { After::Line } else { After::Foreign };
        let mut marker = form.frame(text.as_bytes(), after, usize::MAX).bytes.into_owned();
        if after == After::Foreign && marker[0] != b'\n' {
            marker.insert(0, b'\n');
        }
        let written = self.open()?.write(&marker)?;
        if written < marker.len() {
            self.end = End::Begun(None);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.end = End::Line;
        if let Some(fault) = &mut self.fault {
            fault.lost_unmarked = 0;
        }
        Ok(())
    }

    /// It has been written to. A change for the better is told.
    pub(super) fn succeed(&mut self, tell: &dyn Fn(Notice)) {
        if let Some(fault) = self.fault.take() {
            tell(Notice::Recovered { path: self.path.clone(), lost: fault.lost_since });
        }
    }

    /// It cannot be written to. A change for the worse is told.
    pub(super) fn fail(&mut self, error: io::Error, now: Instant, tell: &dyn Fn(Notice)) {
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
    pub(super) fn place(&self) -> Option<Reached> {
        let metadata = self.file.as_ref()?.metadata().ok()?;
        let bookmark = Bookmark::new(&self.path, Place::end_of(&metadata), &metadata);
        metadata.is_file().then(|| Reached { path: self.path.clone(), bookmark })
    }

    /// Whether a single pipe ends here, so that its bytes are written as they come.
    pub(super) fn sole(&self) -> bool {
        self.writers == 1
    }

    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
            self.end = end(&self.path);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens the path anew. Until that works, the file opened before stays in use.
    pub(super) fn reopen(&mut self, tell: &dyn Fn(Notice)) {
        match open(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.end = end(&self.path);
                self.rest.clear();
            }
            Err(error) => tell(Notice::Trouble { path: self.path.clone(), error }),
        }
    }

    pub(super) fn truncate(&mut self) -> io::Result<()> {
        self.end = End::Line;
        self.open()?.set_len(0)
    }
}

/// Not blocking, because a path may name a FIFO (fifo(7)); without becoming a controlling terminal, because it may name one.
pub(super) fn open(path: &Path) -> io::Result<File> {
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

fn end(path: &Path) -> End {
    let last = || {
        let metadata = path.metadata().ok()?;
        let mut byte = [0];
        let at = metadata.is_file().then(|| metadata.len().checked_sub(1))??;
        File::open(path).ok()?.read_exact_at(&mut byte, at).ok()?;
        Some(byte[0])
    };
    match last() {
        None | Some(b'\n') => End::Line,
        Some(_) => End::Begun(None),
    }
}
