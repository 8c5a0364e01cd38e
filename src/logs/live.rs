//! Readers of what is being written.
//!
//! Question answered here: *who gets this line?* A reader that does not keep up is told how much it missed; it never makes
//! anybody wait.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use regex::Regex;
use supd_api::{LogLine, LogText, Stream};
use tokio::sync::Notify;

use super::Source;
use super::place::{Bookmark, millis};

/// Of a longer line only so many bytes are shown.
pub(super) const SHOWN: usize = 1024 * 1024;
/// What may wait for one reader.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
pub(super) const QUEUE_LINES: usize = 10_000;

/// Which lines a reader wants.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of which workers.
    pub workers: Workers,
    /// Which of their streams.
    pub streams: Streams,
}

/// A set of workers, present and future: those that one of these names.
#[derive(Clone, Debug)]
pub struct Workers(pub Vec<Named>);

/// What names workers.
#[derive(Clone, Debug)]
pub enum Named {
    /// Every one.
    All,
    /// This one.
    Worker(u32),
    /// All that this app has or will have.
    App(String),
    /// All of the apps of this group.
    Namespace(String),
    /// All of the apps whose names match.
    Pattern(Regex),
}

/// Which streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Both.
    Both,
}

impl Workers {
    /// Whether this one, of this app in this namespace, is among them.
    pub fn include(&self, app: &str, namespace: &str, worker: u32) -> bool {
        self.0.iter().any(|named| match named {
            Named::All => true,
            Named::Worker(id) => *id == worker,
            Named::App(name) => name == app,
            Named::Namespace(name) => name == namespace,
            Named::Pattern(regex) => regex.is_match(app),
        })
    }
}

impl Filter {
    pub(super) fn admits(&self, source: &Source) -> bool {
        let stream = match self.streams {
            Streams::Out => source.stream == Stream::Out,
            Streams::Err => source.stream == Stream::Err,
            Streams::Both => true,
        };
        stream && self.workers.include(source.app.as_str(), &source.namespace, source.worker)
    }
}

/// The queue between the log thread and one reader.
pub(super) struct Feed {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Whether it is told where in the files it is.
    positions: bool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    lines: usize,
    bytes: usize,
    missed: u64,
    /// What the reader's place in each file will be when it has heard of the lines it missed.
    places: BTreeMap<PathBuf, Bookmark>,
    closed: bool,
}

enum Item {
    Line(LogLine),
    Reached(Reached),
}

/// A reader has everything of this log up to here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) path: PathBuf,
    pub(super) bookmark: Bookmark,
}

impl Reached {
    /// So many bytes earlier.
    fn back(mut self, bytes: u64) -> Self {
        self.bookmark.place = self.bookmark.place.back(bytes);
        self
    }

    pub(super) fn told(self) -> LogLine {
        LogLine::Position { path: self.path.display().to_string(), place: self.bookmark.to_string() }
    }
}

impl Queue {
    fn push(&mut self, line: &LogLine) {
        let size = size(line);
        if self.lines >= QUEUE_LINES || self.bytes + size > QUEUE_BYTES {
            self.missed += 1;
            return;
        }
        self.tell_missed();
        self.bytes += size;
        self.lines += 1;
        self.items.push_back(Item::Line(line.clone()));
    }

    /// After the lines that lead there. While lines are missed, only the latest place in each file counts.
    fn reach(&mut self, reached: Reached) {
        if self.missed > 0 {
            self.places.insert(reached.path, reached.bookmark);
        } else {
            self.items.push_back(Item::Reached(reached));
        }
    }

    fn tell_missed(&mut self) {
        if self.missed > 0 {
            self.lines += 1;
            self.items.push_back(Item::Line(LogLine::Missed { lines: std::mem::take(&mut self.missed) }));
            let places = std::mem::take(&mut self.places).into_iter();
            self.items.extend(places.map(|(path, bookmark)| Item::Reached(Reached { path, bookmark })));
        }
    }

    fn pop(&mut self) -> Option<LogLine> {
        if self.items.is_empty() {
            self.tell_missed();
        }
        match self.items.pop_front()? {
            Item::Line(line) => {
                self.lines -= 1;
                self.bytes -= size(&line);
                Some(line)
            }
            Item::Reached(reached) => Some(reached.told()),
        }
    }
}

fn size(line: &LogLine) -> usize {
    match line {
        LogLine::Line { text, .. } => text.as_bytes().len(),
        LogLine::File { .. }
        | LogLine::Undated { .. }
        | LogLine::Position { .. }
        | LogLine::Gap { .. }
        | LogLine::Missed { .. } => 0,
    }
}

impl Feed {
    pub(super) fn new(positions: bool) -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), positions }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, lines: &[LogLine], reached: Option<&Reached>) {
        if lines.is_empty() {
            return;
        }
        let mut queue = self.queue();
        lines.iter().for_each(|line| queue.push(line));
        if let Some(reached) = reached.filter(|_| self.positions) {
            queue.reach(reached.clone());
        }
        drop(queue);
        self.wake.notify_one();
    }

    fn close(&self) {
        self.queue().closed = true;
        self.wake.notify_one();
    }

    /// The next line; `None` when there will be none. Cancel safe.
    pub(super) async fn next(&self) -> Option<LogLine> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(line) = queue.pop() {
                    return Some(line);
                }
                if queue.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }
}

/// All readers.
#[derive(Default)]
pub(super) struct Audience {
    readers: Vec<(Filter, Weak<Feed>)>,
}

impl Audience {
    pub(super) fn join(&mut self, filter: Filter, feed: Weak<Feed>) {
        self.readers.retain(|(_, feed)| feed.strong_count() > 0);
        self.readers.push((filter, feed));
    }

    /// Who reads this source now. Readers that left are forgotten.
    pub(super) fn of(&mut self, source: &Source) -> Vec<Arc<Feed>> {
        let mut feeds = Vec::new();
        self.readers.retain(|(filter, feed)| match feed.upgrade() {
            Some(feed) => {
                if filter.admits(source) {
                    feeds.push(feed);
                }
                true
            }
            None => false,
        });
        feeds
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.readers.iter().filter_map(|(_, feed)| feed.upgrade()).for_each(|feed| feed.close());
    }
}

/// Makes lines of one source's bytes, while somebody reads along.
#[derive(Default)]
pub(super) struct Framing {
    /// How many bytes of an incomplete line have gone to the file.
    open: u64,
    /// The first [`SHOWN`] of them; `None` while nobody reads.
    line: Option<Vec<u8>>,
}

impl Framing {
    /// How many bytes at the end of its file are an incomplete line.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// A predecessor wrote so many bytes of the line that comes next.
    pub(super) fn begun(&mut self, open: u64) {
        if self.open == 0 && self.line.as_ref().is_none_or(Vec::is_empty) {
            (self.open, self.line) = (open, None);
        }
    }

    /// What was written of an incomplete line is not, or not certainly, the end of its file.
    pub(super) fn interleaved(&mut self) {
        self.open = 0;
    }

    /// Somebody reads from now on. `begun` fetches, of the incomplete line of so many bytes, so many first ones.
    pub(super) fn watch(&mut self, begun: impl FnOnce(u64, usize) -> Vec<u8>) {
        let shown = usize::try_from(self.open).unwrap_or(SHOWN).min(SHOWN);
        self.line.get_or_insert_with(|| if shown == 0 { Vec::new() } else { begun(self.open, shown) });
    }

    /// These bytes have left the pipe. `end` finds the end of their file, if they are in one.
    pub(super) fn publish(
        &mut self,
        source: &Source,
        bytes: &[u8],
        audience: &mut Audience,
        end: impl FnOnce() -> Option<Reached>,
    ) {
        self.open = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => (bytes.len() - newline - 1) as u64,
            None => self.open + bytes.len() as u64,
        };
        let feeds = audience.of(source);
        if feeds.is_empty() {
            self.line = None;
            return;
        }
        let mut lines = Vec::new();
        let at = millis(SystemTime::now());
        let line = self.line.get_or_insert_default();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            line.extend_from_slice(&text[..text.len().min(SHOWN - line.len())]);
            if text.len() < piece.len() {
                lines.push(shown(source, at, std::mem::take(line)));
            }
        }
        let reached = end().map(|end| end.back(self.open));
        feeds.iter().for_each(|feed| feed.extend(&lines, reached.as_ref()));
    }

    /// The stream has ended, perhaps within a line.
    pub(super) fn finish(&mut self, source: &Source, audience: &mut Audience, end: Option<Reached>) {
        let begun = self.line.take().filter(|line| !line.is_empty());
        if let Some(line) = begun {
            let lines = [shown(source, millis(SystemTime::now()), line)];
            audience.of(source).iter().for_each(|feed| feed.extend(&lines, end.as_ref()));
        }
    }
}

fn shown(source: &Source, at: u64, line: Vec<u8>) -> LogLine {
    LogLine::Line {
        app: source.app.clone(),
        worker: Some(source.worker),
        stream: source.stream,
        at: Some(at),
        text: LogText::from(line),
    }
}
