//! One log file, shared by all who write into it.
//!
//! Question answered here: *did these bytes reach the file?* When they can again after something had to be dropped, it writes one line
//! about that first. It may not decide what is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use supd_api::AppName;

use super::Notice;
use super::archive::Archive;
use super::fault::{Cause, Health};
use super::form::{After, Form, Framed};
use super::live::Reached;
use super::loss::{Loss, Losses};
use super::place::{Bookmark, Place};
use super::raw::{last_byte, open, write};
use super::rotation::{Names, Rule};

/// The pipes of so many runs that are over wait for a file that takes nothing.
const ENDED_WAIT: usize = 32;

pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) file: Option<File>,
    /// Whose pipes end here, and by which rule each of them wants it to be rotated.
    writers: BTreeMap<(AppName, u64), Arc<Rule>>,
    pub(super) rotation: Rotating,
    pub(super) archive: Archive,
    pub(super) end: End,
    rest: Option<Rest>,
    health: Health,
    /// Whose first output is on the shelf.
    kept: BTreeSet<u64>,
    /// Whose runs are over, while it takes nothing.
    waiting: BTreeSet<u64>,
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
pub(super) struct Rotating {
    pub(super) names: Names,
    /// When it is put aside next, whatever its size.
    pub(super) due: Option<SystemTime>,
    /// It was time, but in the middle of a line.
    pub(super) overdue: bool,
    /// It cannot be renamed; not to be tried before this.
    pub(super) not_before: Option<Instant>,
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
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

/// What is in the file.
pub(super) struct Appended {
    /// So many framed bytes.
    pub(super) length: usize,
    /// So many bytes of output.
    pub(super) taken: usize,
    /// Why it is not more.
    pub(super) obstacle: Option<io::Error>,
}

/// Who writes.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) key: u64,
    /// Another supervisor carried its output before.
    pub(super) resumed: bool,
    pub(super) form: &'a Form,
}

impl LogFile {
    pub(super) fn new(path: PathBuf, archive: Archive, losses: Losses) -> Self {
        Self {
            health: Health::new(&path, losses),
            path,
            file: None,
            writers: BTreeMap::new(),
            rotation: Rotating::default(),
            archive,
            end: End::Line,
            rest: None,
            kept: BTreeSet::new(),
            waiting: BTreeSet::new(),
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
    pub(super) fn leave(&mut self, app: &AppName, key: u64, tell: &dyn Fn(Notice)) -> bool {
        self.writers.remove(&(app.clone(), key));
        if self.rest.as_ref().is_some_and(|rest| rest.key == key) {
            self.give_up_rest();
        }
        self.kept.remove(&key);
        self.waiting.remove(&key);
        if self.writers.is_empty() {
            self.health.leave(tell);
        }
        self.writers.is_empty() && !self.health.has_untold()
    }

    /// Where several apps write into one file, the first one's rule counts, by its name; of an app's rules the latest.
    pub(super) fn rule(&self) -> Option<(&AppName, &Arc<Rule>)> {
        let ((first, _), _) = self.writers.first_key_value()?;
        let rules = self.writers.iter().take_while(|((app, _), _)| app == first);
        rules.last().map(|((app, _), rule)| (app, rule))
    }

    /// Whether it is too early to try again.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        self.health.refuses(now)
    }

    /// Before a write: whatever else must be in the file first is written, and what the file is like is returned.
    pub(super) fn prepare(&mut self, writer: Writer<'_>) -> io::Result<Metadata> {
        self.open()?;
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

    /// Writes the first `length` framed bytes, and takes back what is less than a piece. `before` is what the file was like. An error:
    /// nothing is there.
    pub(super) fn append(
        &mut self,
        writer: Writer<'_>,
        framed: &Framed<'_>,
        length: usize,
        before: &Metadata,
    ) -> io::Result<Appended> {
        let bytes = &framed.bytes[..length];
        let end = self.end;
        let file = self.open()?;
        let (written, obstacle) = write(file, bytes);
        let (whole, taken) = match framed.is_plain() && written < length && before.is_file() {
            // Full within a line: that stays in its pipe as a whole.
            true => whole_lines(&bytes[..written], end),
            false => framed.whole(written),
        };
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
        match obstacle {
            Some(error) if whole == 0 => Err(error),
            obstacle => {
                self.end = End::after(&bytes[..whole], writer.key);
                Ok(Appended { length: whole, taken, obstacle })
            }
        }
    }

    /// Takes back what of these bytes is more than `length`, unless it is no regular file or others have written too. `end` is what
    /// it ended with before them. `false`: they are there.
    pub(super) fn take_back(
        &mut self,
        bytes: &[u8],
        length: usize,
        before: &Metadata,
        end: End,
        key: u64,
    ) -> bool {
        let taken_back = before.is_file()
            && self.open().is_ok_and(|file| {
                let whole = before.len() + bytes.len() as u64;
                file.metadata().is_ok_and(|now| now.len() == whole)
                    && file.set_len(before.len() + length as u64).is_ok()
            });
        if taken_back {
            self.end = if length == 0 { end } else { End::after(&bytes[..length], key) };
        }
        taken_back
    }

    /// What it ends with.
    pub(super) fn end(&self) -> End {
        self.end
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

    /// Tells in it what is missing there, if anything is.
    pub(super) fn mark_loss(&mut self, form: &Form) -> io::Result<()> {
        // What came first stands before it.
        if !self.health.has_untold() || !self.kept.is_empty() {
            return Ok(());
        }
        let after = if self.end == End::Line { After::Line } else { After::Foreign };
        let mut marker = form.frame(self.health.marker().as_bytes(), after, usize::MAX).bytes.into_owned();
        if after == After::Foreign && marker[0] != b'\n' {
            marker.insert(0, b'\n');
        }
        let before = self.open()?.metadata()?;
        let file = self.open()?;
        if let (written, Some(error)) = write(file, &marker) {
            let torn = written > 0 && (!before.is_file() || file.set_len(before.len()).is_err());
            if torn {
                self.end = End::Begun(None);
            }
            return Err(error);
        }
        self.end = End::Line;
        self.health.told();
        Ok(())
    }

    /// It has been written to.
    pub(super) fn succeed(&mut self, tell: &dyn Fn(Notice)) {
        self.health.succeed(tell);
    }

    /// It cannot be written to.
    pub(super) fn fail(&mut self, error: io::Error, now: Instant, tell: &dyn Fn(Notice)) {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            // What was put aside makes room.
            self.archive.rotated(&self.path);
        }
        self.health.fail(error, now, tell);
    }

    /// Why it cannot be written to; `None`: it can, as far as is known.
    pub(super) fn cause(&self) -> Option<&Cause> {
        self.health.cause()
    }

    /// This was dropped because it, or another file of its writer, could not be written.
    pub(super) fn lose(&mut self, key: u64, loss: Loss, cause: &Cause) {
        if self.rest.as_ref().is_some_and(|rest| rest.key == key) {
            self.give_up_rest();
        }
        self.health.lose(loss, cause);
    }

    /// What came first of this writer's output is on the shelf, or has left it.
    pub(super) fn keeps(&mut self, key: u64, kept: bool) {
        if kept {
            self.kept.insert(key)
        } else {
            self.kept.remove(&key)
        };
    }

    /// A writer whose run is over waits. `false`: so many wait that the oldest must not.
    pub(super) fn may_wait(&mut self, key: u64) -> bool {
        self.waiting.insert(key);
        self.waiting.range(key..).count() <= ENDED_WAIT
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

    pub(super) fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            self.file = Some(open(&self.path)?);
            self.end = end(&self.path);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Opens the path anew. Until that works, the file opened before stays in use.
    pub(super) fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.end = end(&self.path);
                self.rest = None;
            }
            Err(error) => tracing::error!("{} cannot be opened anew: {error}", self.path.display()),
        }
    }

    pub(super) fn truncate(&mut self) -> io::Result<()> {
        self.end = End::Line;
        self.open()?.set_len(0)
    }
}

/// How much of what was written is whole lines, behind this end; all of it where it is a part of a line that was begun before.
fn whole_lines(written: &[u8], end: End) -> (usize, usize) {
    let lines = written.iter().rposition(|&byte| byte == b'\n').map(|newline| newline + 1);
    let whole = lines.unwrap_or(if end == End::Line { 0 } else { written.len() });
    (whole, whole)
}

fn end(path: &Path) -> End {
    match last_byte(path) {
        None | Some(b'\n') => End::Line,
        Some(_) => End::Begun(None),
    }
}
