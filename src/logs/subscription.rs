//! One reader's side: first what is wanted of some logs, then what comes.
//!
//! Question answered here: *what is the next line for this reader?* It may take its time: it never makes the log thread wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::OFlag;
use supd_api::{AppName, LogLine, Stream};
use tokio::sync::{mpsc, oneshot};

use super::live::{Feed, Filter, SHOWN};
use super::place::{Bookmark, Extent};
use super::selection::Selection;
use super::tail;

/// What to read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which lines are wanted from now on.
    pub filter: Filter,
    /// Which lines, of the past and, by their text, of those to come.
    pub wanted: Wanted,
    /// `false`: end after the lines of the past.
    pub follow: bool,
    /// The logs that are read first. The caller knows them, also those of workers that are stopped.
    pub files: Vec<TailFile>,
}

/// What of the past a reader wants.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// By text and time.
    pub selection: Selection,
    /// How many of the last wanted lines of each log; 0: none, and no [`LogLine::File`]; `None`: all.
    pub tail: Option<usize>,
    /// Tell [`LogLine::Position`]s.
    pub positions: bool,
    /// Everything from these places on, in place of the last lines.
    pub from: Vec<Bookmark>,
}

/// A log that holds output written so far.
#[derive(Clone, Debug)]
pub struct TailFile {
    /// Where it is. A path listed twice is read once, as the first of its entries says, without a worker.
    pub path: PathBuf,
    /// The app shown with its lines.
    pub app: AppName,
    /// The worker; `None` when several write into it.
    pub worker: Option<u32>,
    /// The stream shown with its lines.
    pub stream: Stream,
    /// Only this part of it.
    pub extent: Option<Extent>,
}

/// Lines, one after another. Dropping it ends it.
pub struct Subscription {
    stage: Stage,
    follow: bool,
    wanted: Wanted,
    feed: Arc<Feed>,
}

enum Stage {
    Opening(oneshot::Receiver<Vec<Opened>>),
    Tail(mpsc::Receiver<LogLine>),
    Live,
    Over,
}

/// The log thread's part of a new subscription.
pub(super) struct Opening {
    pub(super) filter: Filter,
    pub(super) follow: bool,
    pub(super) files: Vec<TailFile>,
    pub(super) feed: Arc<Feed>,
    pub(super) opened: oneshot::Sender<Vec<Opened>>,
}

/// A file and how much of it was written before the live lines begin.
pub(super) struct Opened {
    pub(super) about: TailFile,
    pub(super) file: Arc<File>,
    pub(super) end: u64,
}

impl Opened {
    /// `None` when it cannot be read or is no regular file, which has no last lines.
    pub(super) fn new(about: TailFile) -> Option<Self> {
        let mut options = File::options();
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let file = options.read(true).custom_flags(flags).open(&about.path).ok()?;
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some(Self { about, file: Arc::new(file), end: metadata.len() })
    }

    /// How many bytes at its end are an incomplete line; 0 for one that is too long to be shown whole.
    pub(super) fn unfinished(&self) -> u64 {
        let length = self.end.min(SHOWN as u64);
        let mut last = [0];
        let begin = self.end - length;
        if length == 0 || self.file.read_exact_at(&mut last, self.end - 1).is_err() || last == [b'\n'] {
            return 0;
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(SHOWN)];
        if self.file.read_exact_at(&mut bytes, begin).is_err() {
            return 0;
        }
        match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => (bytes.len() - newline - 1) as u64,
            None if begin == 0 => length,
            None => 0,
        }
    }
}

impl Subscription {
    pub(super) fn new(request: Request) -> (Self, Opening) {
        let (opened, opening) = oneshot::channel();
        let Request { filter, wanted, follow, files } = request;
        let feed = Arc::new(Feed::new(wanted.positions));
        let read = wanted.tail != Some(0) || wanted.positions || !wanted.from.is_empty();
        let files = if read { once_each(files) } else { Vec::new() };
        let subscription = Self { stage: Stage::Opening(opening), follow, wanted, feed: Arc::clone(&feed) };
        (subscription, Opening { filter, follow, files, feed, opened })
    }

    /// The next line; `None` at the end. Cancel safe. Must be called within a tokio runtime.
    pub async fn next(&mut self) -> Option<LogLine> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Opening(opening) => match opening.await {
                    Ok(files) => {
                        Stage::Tail(tail::read(files, self.wanted.clone(), Arc::downgrade(&self.feed)))
                    }
                    Err(_) => Stage::Over,
                },
                Stage::Tail(lines) => match lines.recv().await {
                    Some(line) => return Some(line),
                    None if self.follow => Stage::Live,
                    None => Stage::Over,
                },
                Stage::Live => match self.feed.next().await {
                    Some(line) if self.finds(&line) => return Some(line),
                    // Looking at a long row of unwanted lines must not keep others from their turn.
                    Some(_) => {
                        tokio::task::consume_budget().await;
                        continue;
                    }
                    None => Stage::Over,
                },
                Stage::Over => return None,
            }
        }
    }

    fn finds(&self, line: &LogLine) -> bool {
        match line {
            LogLine::Line { text, .. } => self.wanted.selection.finds(text.as_bytes()),
            LogLine::File { .. }
            | LogLine::Undated { .. }
            | LogLine::Position { .. }
            | LogLine::Gap { .. }
            | LogLine::Missed { .. } => true,
        }
    }
}

fn once_each(files: Vec<TailFile>) -> Vec<TailFile> {
    let mut places = HashMap::new();
    let mut distinct: Vec<TailFile> = Vec::new();
    for file in files {
        match places.entry(file.path.clone()) {
            Entry::Vacant(place) => {
                place.insert(distinct.len());
                distinct.push(file);
            }
            Entry::Occupied(place) => {
                let earlier = &mut distinct[*place.get()];
                earlier.worker = earlier.worker.filter(|_| earlier.worker == file.worker);
                earlier.extent = earlier.extent.zip(file.extent).map(|(one, two)| one.hull(two));
            }
        }
    }
    distinct
}
