//! Worker output: pipe → log thread → file, and live reading.
//!
//! Question answered here: *where did each byte that a worker wrote go?* One thread named `logs` carries it. It may
//! block on a disk; whoever calls [`Logs`] never does. It may not start, stop or judge workers, and it keeps no output
//! in memory: **a byte leaves the pipe only when it is in the file.** Since the keeper holds the read ends too, a
//! supervisor killed at any moment loses no byte; the next one attaches the pipes again and goes on.
//!
//! # How bytes are moved, and why not by splice(2)
//! tee(2) copies what a pipe holds into a scratch pipe; from there it is read, framed and written with `O_APPEND`; only
//! then exactly so many bytes are consumed. Moving them with splice(2) would be one atomic step, but
//! it refuses files in append mode (`EINVAL`), so a file truncated by others (logrotate's `copytruncate`) could get a
//! hole and bytes appended by others be overwritten; and it holds the pipe's lock while it writes, so that a slow disk would
//! stop even a worker that writes to a non-blocking pipe with room in it.
//!
//! What writing first costs is that a kill between the two steps leaves bytes both in file and pipe. The `journal`, a memfd that
//! outlives the supervisor, tells the next one what was on its way, in which form and where to; it writes what is missing and
//! consumes the chunk before it carries anything else. What remains: when others truncate, replace or extend the file in that very
//! moment too, or it is no regular file, one chunk (at most 64 KiB) may be in it twice. None is ever lost.
//!
//! # When a file takes nothing
//! Output stays in its pipe. When that is full, the app's `on_full` decides: the worker waits, or the oldest bytes are dropped, or what
//! came first goes to the `shelf` in the journal's memory and later output is dropped. A pipe gives its oldest bytes first, so those that are
//! to be kept while the worker goes on cannot stay in it; a second pipe would have to be given to the keeper, which knows
//! the journal already. What is dropped is counted there first (`loss`).
//!
//! A FIFO or terminal that takes only half of a framed line cannot be truncated: the line then stays in the pipe until it has taken
//! the other half.

mod archive;
mod aside;
mod carry;
mod chapter;
mod deliver;
mod fault;
mod file;
mod form;
mod join;
mod journal;
mod live;
mod loss;
mod pipe;
mod place;
mod raw;
mod rotated;
mod rotation;
mod schedule;
mod selection;
mod shelf;
mod sink;
mod spill;
mod stamp;
mod subscription;
mod tail;
mod tap;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use nix::sys::eventfd::{EfdFlags, EventFd};
use supd_api::{AppName, LogForm, OnFull, Rotation, StdoutForm, Stream};
use supd_keeper::protocol::RunId;

pub use journal::new_journal;
pub use live::{Filter, Named, Streams, Workers};
pub use loss::{Count, Loss, Tally};
pub use place::{Bookmark, Extent, Mark, Place};
pub use selection::Selection;
pub use subscription::{Request, Subscription, TailFile, Wanted};

/// Whose output a pipe carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The run that writes into it.
    pub run: RunId,
    /// Its app.
    pub app: AppName,
    /// The group of apps that this one is of.
    pub namespace: String,
    /// Its worker's id.
    pub worker: u32,
    /// Which of its two streams.
    pub stream: Stream,
}

/// What becomes of what a pipe brings. By default it is shown to live readers and dropped.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Where it goes: one file, and perhaps a second one that gets a copy as far as it can take it. They are created with mode
    /// 0640, their directories with 0750.
    pub files: Vec<PathBuf>,
    /// What a line looks like in them.
    pub form: LogForm,
    /// When they are put aside. Where several apps write into one file, that of the first one counts, by its name; of an app's
    /// the latest.
    pub rotation: Rotation,
    /// What becomes of it while the file takes nothing.
    pub on_full: OnFull,
    /// Where it is counted.
    pub tally: Arc<Tally>,
    /// Where it goes beside them, or in their place.
    pub sink: Option<Sink>,
    /// Another supervisor carried this pipe before, so that its next bytes may be the end of a line that was begun.
    pub resumed: bool,
}

/// Where output goes that is to be found elsewhere than in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// systemd's journal.
    Journald {
        /// Usually [`JOURNALD`].
        socket: PathBuf,
    },
    /// A syslog daemon.
    Syslog {
        /// Usually [`SYSLOG`].
        socket: PathBuf,
    },
    /// This process's standard output, and for standard error its standard error.
    Stdout {
        /// What a line looks like there.
        form: StdoutForm,
    },
}

/// Where journald takes entries (systemd.io/JOURNAL_NATIVE_PROTOCOL).
pub const JOURNALD: &str = "/run/systemd/journal/socket";
/// Where syslog daemons take messages (syslog(3)).
pub const SYSLOG: &str = "/dev/log";

/// What the log thread tells.
#[derive(Debug)]
pub enum Notice {
    /// Both streams of this run have been read to their end, or given up after [`Logs::release`]. Told once.
    Drained {
        /// The run.
        run: RunId,
    },
    /// This source writes into a file from here on. Told again by each supervisor that takes it up.
    Begun {
        /// Whose output.
        source: Source,
        /// Where the file ended.
        mark: Mark,
    },
    /// Its output is complete.
    Ended {
        /// Whose output.
        source: Source,
        /// Where the file ended.
        mark: Mark,
    },
    /// A file cannot be written. Told when it begins, not for every line.
    Trouble {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It can be written again.
    Recovered {
        /// The file.
        path: PathBuf,
        /// What was dropped meanwhile because its pipe was full; a line in the file says so too.
        lost: Loss,
    },
    /// More output for it was dropped. Told once a second at most.
    Losing {
        /// The file.
        path: PathBuf,
    },
    /// It could not be written to the last, and nobody writes into it any more.
    Left {
        /// The file.
        path: PathBuf,
    },
    /// A sink takes nothing, or less than it gets. Told when it begins.
    SinkTrouble {
        /// Which one, in words.
        sink: String,
        /// Why.
        error: io::Error,
    },
    /// It takes everything again.
    SinkRecovered {
        /// Which one, in words.
        sink: String,
        /// So many lines were not sent to it.
        lost: u64,
    },
}

/// The log thread's handle. No method blocks. The thread ends when the last handle is dropped; what is
/// in the pipes then stays there.
#[derive(Clone)]
pub struct Logs {
    line: Arc<Line>,
}

struct Line {
    commands: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
}

enum Command {
    Attach { source: Source, pipe: OwnedFd, output: Output },
    Begin,
    Release { run: RunId },
    RotateBy { run: RunId, rotation: Rotation },
    Flush { paths: Vec<PathBuf> },
    Reopen,
    Subscribe(subscription::Opening),
    End,
}

impl Logs {
    /// Starts the thread. `journal` comes from [`new_journal`] and must outlive this process: the keeper holds it and hands
    /// it to the next supervisor. `notify` is called on the log thread and must not block.
    ///
    /// # Errors
    /// No thread, pipe or epoll instance could be made, or `journal` cannot be read.
    pub fn start(journal: OwnedFd, notify: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (commands, inbox) = mpsc::channel();
        let thread = thread::LogThread::new(journal, Box::new(notify), Arc::clone(&wake), inbox)?;
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || thread.run())?;
        Ok(Self { line: Arc::new(Line { commands, wake }) })
    }

    /// Carries what `pipe` (its read end) brings to where `output` says. Sources with the same path share one open file, and no
    /// line of one is torn into a line of another, unless it is longer than the pipe or its end stays away for two seconds.
    pub fn attach(&self, source: Source, pipe: OwnedFd, output: Output) {
        self.line.send(Command::Attach { source, pipe, output });
    }

    /// The pipes that another supervisor carried are attached now. Before that, if a chunk of theirs was on its way when it was
    /// killed, nothing is written, so that the chunk's end follows its beginning.
    pub fn begin(&self) {
        self.line.send(Command::Begin);
    }

    /// Every process of this run that the keeper knows is gone: what its pipes hold is carried away, then they are closed,
    /// even if some escaped process still has a write end. Every attached run must be released once.
    pub fn release(&self, run: RunId) {
        self.line.send(Command::Release { run });
    }

    /// The files of this run are put aside by another rule from now on.
    pub fn rotate_by(&self, run: RunId, rotation: Rotation) {
        self.line.send(Command::RotateBy { run, rotation });
    }

    /// Empties these files.
    pub fn flush(&self, paths: Vec<PathBuf>) {
        self.line.send(Command::Flush { paths });
    }

    /// Opens every file anew under its path, after somebody renamed it.
    pub fn reopen(&self) {
        self.line.send(Command::Reopen);
    }

    /// Reads along. The switch from file to live happens between two writes: nothing is missing, nothing comes twice.
    pub fn subscribe(&self, request: Request) -> Subscription {
        let (subscription, opening) = Subscription::new(request);
        self.line.send(Command::Subscribe(opening));
        subscription
    }
}

impl Line {
    fn send(&self, command: Command) {
        // The thread ends only after `End`, which only the last handle sends; should it have panicked, there is
        // nobody left to take the command and nothing the caller could do.
        if self.commands.send(command).is_ok() {
            // A full eventfd counter (EAGAIN) means that the wake-up is pending already.
            let _ = self.wake.write(1);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.send(Command::End);
    }
}
