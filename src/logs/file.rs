//! One log file, shared by all who write into it.
//!
//! Question answered here: *did these bytes reach the file?* While they cannot, it counts what had to be dropped and
//! writes one line about that when it can again. It may not decide what is dropped.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;
use supd_api::AppName;

use super::Notice;
use super::archive::Archive;
use super::form::{After, Form, Framed};
use super::live::Reached;
use super::place::{Bookmark, Place};
use super::rotation::{Names, Rule};

const RETRY: Duration = Duration::from_secs(1);
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// Whose pipes end here, and by which rule each of them wants it to be rotated.
    writers: BTreeMap<(AppName, u64), Arc<Rule>>,
    rotation: Rotating,
    archive: Archive,
    end: End,
    rest: Option<Rest>,
    fault: Option<Fault>,
}

/// A piece of which a file that cannot be truncated took the beginning only. It stays in its pipe until the end is written too.
struct Rest {
    key: u64,
    piece: Vec<u8>,
    written: usize,
    /// How many bytes of output it is.
    taken: usize,
}

#[derive(Default)]
struct Rotating {
    names: Names,
    /// When it is put aside next, whatever its size.
    due: Option<SystemTime>,
    /// It was time, but in the middle of a line.
    overdue: bool,
    /// It cannot be renamed; not to be tried before this.
    not_before: Option<Instant>,
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A newline, or nothing.
    Line,
    /// Less than a line, by this writer; `None`: by one before our time.
    Begun(Option<u64>),
}

impl End {
    fn after(bytes: &[u8], key: u64) -> Self {
        if bytes.last() == Some(&b'\n') { Self::Line } else { Self::Begun(Some(key)) }
    }
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
    pub(super) fn new(path: PathBuf, archive: Archive) -> Self {
        Self {
            path,
            file: None,
            writers: BTreeMap::new(),
            rotation: Rotating::default(),
            archive,
            end: End::Line,
            rest: None,
            fault: None,
        }
    }

    /// One pipe more ends here. The file is made now, so that it is there before the first output, and that a path
    /// that cannot be written is told at the start.
    pub(super) fn join(&mut self, app: &AppName, key: u64, rule: Arc<Rule>, tell: &dyn Fn(Notice)) {
        self.writers.insert((app.clone(), key), rule);
        let metadata = self.open().and_then(|file| file.metadata());
        let metadata = metadata.map_err(|error| self.fail(error, Instant::now(), tell)).ok();
        let Some((app, rule)) = self.rule() else { return };
        self.archive.opened(&self.path, app, rule);
        let filled = metadata.filter(|metadata| metadata.len() > 0);
        let since = filled.and_then(|metadata| metadata.modified().ok()).unwrap_or_else(SystemTime::now);
        self.rotation.due = rule.due_after(since);
    }

    /// One pipe less. `true`: nobody needs this any more.
    pub(super) fn leave(&mut self, app: &AppName, key: u64) -> bool {
        self.writers.remove(&(app.clone(), key));
        if self.rest.as_ref().is_some_and(|rest| rest.key == key) {
            self.give_up_rest();
        }
        self.writers.is_empty() && self.fault.as_ref().is_none_or(|fault| fault.lost_unmarked == 0)
    }

    /// Where several apps write into one file, the first one's rule counts, by its name; of an app's rules the latest.
    fn rule(&self) -> Option<(&AppName, &Arc<Rule>)> {
        let ((first, _), _) = self.writers.first_key_value()?;
        let rules = self.writers.iter().take_while(|((app, _), _)| app == first);
        rules.last().map(|((app, _), rule)| (app, rule))
    }

    /// Whether it is too early to try again.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.fault.as_ref().is_some_and(|fault| now < fault.retry_at)
    }

    /// Before a write: whatever else must be in the file first is written, and what the file is like is returned.
    pub(super) fn prepare(&mut self, writer: Writer<'_>) -> io::Result<Metadata> {
        self.open()?;
        self.mark_loss(writer.form)?;
        self.open()?.metadata()
    }

    /// How many bytes more it may get before it is put aside.
    pub(super) fn room(&self, before: &Metadata, now: Instant) -> usize {
        match self.rule() {
            Some((_, rule)) if before.is_file() && self.may_rotate(now) => rule.room(before.len()),
            Some(_) | None => usize::MAX,
        }
    }

    /// Puts it aside if it is time to, before so many bytes more go into it. `true`: it has been.
    pub(super) fn rotate_before(&mut self, before: &Metadata, coming: usize, now: Instant) -> bool {
        if !before.is_file() || before.len() == 0 || !self.may_rotate(now) {
            return false;
        }
        let Some((_, rule)) = self.rule() else { return false };
        let time = match self.end {
            End::Line => self.rotation.overdue || rule.room(before.len()) < coming,
            End::Begun(_) => rule.is_overlong(before.len()),
        };
        time && self.rotate(before, now)
    }

    /// When it is to be put aside next, whatever its size.
    pub(super) fn due(&self) -> Option<SystemTime> {
        self.rotation.due
    }

    /// Puts it aside if its time has come, or else as soon as its line ends.
    pub(super) fn tick(&mut self, now: SystemTime) {
        let Some((_, rule)) = self.rule().filter(|_| self.rotation.due.is_some_and(|due| due <= now)) else {
            return;
        };
        self.rotation.due = rule.due_after(now);
        self.rotation.overdue = true;
        if let Ok(before) = self.open().and_then(|file| file.metadata()) {
            self.rotate_before(&before, 0, Instant::now());
        }
        self.rotation.overdue &= self.end != End::Line;
    }

    fn may_rotate(&self, now: Instant) -> bool {
        self.rotation.not_before.is_none_or(|at| at <= now)
    }

    fn rotate(&mut self, before: &Metadata, now: Instant) -> bool {
        let Some(rule) = self.rule().map(|(_, rule)| Arc::clone(rule)) else { return false };
        let name = self.rotation.names.next(&self.path, &rule);
        // A link, or a file that somebody has put in its place, is not ours to rename.
        let there = std::fs::symlink_metadata(&self.path);
        let is_there = there.is_ok_and(|there| (there.dev(), there.ino()) == (before.dev(), before.ino()));
        let renamed = if is_there {
            std::fs::rename(&self.path, name)
        } else {
            Err(io::Error::other("the path leads to another file"))
        };
        if let Err(error) = renamed {
            tracing::warn!("{} is not rotated: {error}", self.path.display());
            self.rotation.not_before = Some(now + ROTATE_AGAIN);
            return false;
        }
        (self.file, self.end) = (None, End::Line);
        (self.rotation.overdue, self.rotation.not_before) = (false, None);
        self.archive.rotated(&self.path);
        // Those who follow it by its name find it there. If it cannot be made, the next write tells.
        let _ = self.open();
        true
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
        let (whole, taken) = framed.whole(written);
        if whole < written && before.is_file() {
            // Unless others have written too.
            if file.metadata()?.len() == before.len() + written as u64 {
                file.set_len(before.len() + whole as u64)?;
            }
        } else if whole < written {
            let (end, through) = framed.through(written);
            let piece = framed.bytes[whole..end].to_vec();
            let (key, written) = (writer.key, written - whole);
            self.rest = Some(Rest { key, piece, written, taken: through - taken });
        }
        if whole == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.end = End::after(&bytes[..whole], writer.key);
        Ok((whole, taken))
    }

    /// Writes the end of a piece that was begun. `None`: there is none. Otherwise the whole piece, and how many bytes of output
    /// it is.
    pub(super) fn write_rest(&mut self, writer: Writer<'_>) -> io::Result<Option<Framed<'static>>> {
        let (Some(rest), Some(file)) = (&mut self.rest, &mut self.file) else { return Ok(None) };
        if rest.key != writer.key {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        while rest.written < rest.piece.len() {
            match file.write(&rest.piece[rest.written..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest.written += written,
            }
        }
        self.end = End::after(&rest.piece, writer.key);
        Ok(self.rest.take().map(|rest| Framed::piece(rest.piece, rest.taken)))
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
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            // What was put aside makes room.
            self.archive.rotated(&self.path);
        }
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
        if count > 0 {
            self.give_up_rest();
        }
        if let Some(fault) = &mut self.fault {
            fault.lost_since += count as u64;
            fault.lost_unmarked += count as u64;
        }
    }

    fn give_up_rest(&mut self) {
        if self.rest.take().is_some() {
            self.end = End::Begun(None);
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
        self.writers.len() == 1
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
                self.rest = None;
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
