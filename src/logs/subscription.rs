//! One reader's side: first the last lines of some files, then what comes.
//!
//! Question answered here: *what is the next line for this reader?* It may take its time: it never makes the log thread wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::OFlag;
use supd_api::{AppName, LogLine, Stream};
use tokio::sync::{mpsc, oneshot};

use super::live::{Feed, Filter};
use super::tail;

/// What to read.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which lines are wanted from now on.
    pub filter: Filter,
    /// How many of the last lines of each file come first; 0: none, and no [`LogLine::File`].
    pub tail: usize,
    /// `false`: end after the last lines.
    pub follow: bool,
    /// The files whose last lines come first. The caller knows them, also those of workers that are stopped.
    pub files: Vec<TailFile>,
}

/// A file that holds output written so far.
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
}

/// Lines, one after another. Dropping it ends it.
pub struct Subscription {
    stage: Stage,
    follow: bool,
    tail: usize,
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
    pub(super) file: File,
    pub(super) end: u64,
}

impl Opened {
    /// `None` when it cannot be read or is no regular file, which has no last lines.
    pub(super) fn new(about: TailFile) -> Option<Self> {
        let mut options = File::options();
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let file = options.read(true).custom_flags(flags).open(&about.path).ok()?;
        let metadata = file.metadata().ok()?;
        metadata.is_file().then_some(Self { about, file, end: metadata.len() })
    }
}

impl Subscription {
    pub(super) fn new(request: Request) -> (Self, Opening) {
        let (opened, opening) = oneshot::channel();
        let feed = Arc::new(Feed::default());
        let files = if request.tail == 0 { Vec::new() } else { once_each(request.files) };
        let subscription = Self {
            stage: Stage::Opening(opening),
            follow: request.follow,
            tail: request.tail,
            feed: Arc::clone(&feed),
        };
        (subscription, Opening { filter: request.filter, follow: request.follow, files, feed, opened })
    }

    /// The next line; `None` at the end. Cancel safe. Must be called within a tokio runtime: files are read by
    /// blocking tasks.
    pub async fn next(&mut self) -> Option<LogLine> {
        loop {
            self.stage = match &mut self.stage {
                Stage::Opening(opening) => match opening.await {
                    Ok(files) => Stage::Tail(tail::read(files, self.tail)),
                    Err(_) => Stage::Over,
                },
                Stage::Tail(lines) => match lines.recv().await {
                    Some(line) => return Some(line),
                    None if self.follow => Stage::Live,
                    None => Stage::Over,
                },
                Stage::Live => match self.feed.next().await {
                    Some(line) => return Some(line),
                    None => Stage::Over,
                },
                Stage::Over => return None,
            }
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
            }
        }
    }
    distinct
}
