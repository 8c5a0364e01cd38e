//! The log thread: one epoll loop over all pipes.
//!
//! Question answered here: *which pipe is next?* Every pipe that has something gets one chunk a round, so none
//! starves another. Idle, it sleeps without a timeout.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::timerfd::TimerFd;
use supd_api::Stream;
use supd_keeper::protocol::RunId;

use super::archive::Archive;
use super::file::LogFile;
use super::journal::{Journal, Origin};
use super::live::{Audience, Reached};
use super::loss::Losses;
use super::pipe::{Lens, Peek};
use super::place::Mark;
use super::schedule::clock;
use super::shelf::{Shelf, Slot};
use super::sink::Sinks;
use super::tap::{Next, Tap};
use super::{Command, Notice, Output, Source};

/// The epoll key of the eventfd; pipes get 1, 2, 3 …
const WAKE: u64 = 0;
/// That of the clock by which files are put aside.
const CLOCK: u64 = u64::MAX;

pub(super) struct LogThread {
    pub(super) epoll: Epoll,
    wake: Arc<EventFd>,
    inbox: mpsc::Receiver<Command>,
    pub(super) tell: Box<dyn Fn(Notice) + Send>,
    pub(super) journal: Journal,
    pub(super) shelf: Shelf,
    losses: Losses,
    archive: Archive,
    pub(super) clock: TimerFd,
    /// An interrupted chunk must come first.
    held: bool,
    pub(super) lens: Lens,
    /// `/dev/null`, for what goes nowhere else.
    pub(super) void: File,
    pub(super) audience: Audience,
    pub(super) taps: HashMap<u64, Tap>,
    pub(super) files: HashMap<PathBuf, LogFile>,
    pub(super) sinks: Sinks,
    runs: HashMap<RunId, Streams>,
    /// Whose turn it is.
    ready: VecDeque<u64>,
    /// Who must be looked at, and when.
    looks: BTreeSet<(Instant, u64)>,
    last_key: u64,
}

/// What is known of a run's two streams.
#[derive(Default)]
struct Streams {
    out: Progress,
    err: Progress,
    released: bool,
    told: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Absent,
    Open,
    Ended,
}

impl Streams {
    fn of(&mut self, stream: Stream) -> &mut Progress {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn drained(&self) -> bool {
        let both = [self.out, self.err];
        both == [Progress::Ended; 2] || (self.released && !both.contains(&Progress::Open))
    }
}

impl LogThread {
    pub(super) fn new(
        journal: OwnedFd,
        tell: Box<dyn Fn(Notice) + Send>,
        wake: Arc<EventFd>,
        inbox: mpsc::Receiver<Command>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let journal = Journal::open(journal)?;
        let clock = clock()?;
        epoll.add(&clock, EpollEvent::new(EpollFlags::EPOLLIN, CLOCK))?;
        Ok(Self {
            held: journal.is_interrupted(),
            archive: Archive::start()?,
            clock,
            epoll,
            wake,
            inbox,
            tell,
            shelf: Shelf::new(journal.memory()),
            losses: Losses::new(journal.memory()),
            journal,
            lens: Lens::new()?,
            void: File::options().write(true).open("/dev/null")?,
            audience: Audience::default(),
            taps: HashMap::new(),
            files: HashMap::new(),
            sinks: Sinks::default(),
            runs: HashMap::new(),
            ready: VecDeque::new(),
            looks: BTreeSet::new(),
            last_key: WAKE,
        })
    }

    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                // EBADF, EFAULT, EINVAL: impossible for our own epoll instance and buffer.
                Err(error) => return tracing::error!("the log thread ends: epoll_wait: {error}"),
            };
            for event in &events[..count] {
                if event.data() == WAKE {
                    if !self.commands() {
                        return;
                    }
                } else if event.data() == CLOCK {
                    self.rotate_what_is_due();
                } else {
                    self.woken(event);
                }
            }
            self.due_looks();
            let turns = if self.held { 0 } else { self.ready.len() };
            for _ in 0..turns {
                if let Some(key) = self.ready.pop_front() {
                    self.turn(key);
                }
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        if self.held {
            return EpollTimeout::NONE;
        }
        if !self.ready.is_empty() {
            return EpollTimeout::ZERO;
        }
        let Some((at, _)) = self.looks.first() else { return EpollTimeout::NONE };
        let left = at.saturating_duration_since(Instant::now());
        // Rounded up: waking before the time would only mean waking twice.
        EpollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(EpollTimeout::MAX)
    }

    fn woken(&mut self, event: &EpollEvent) {
        if let Some(tap) = self.taps.get_mut(&event.data()) {
            tap.hung_up |= event.events().contains(EpollFlags::EPOLLHUP);
            self.queue(event.data());
        }
    }

    fn due_looks(&mut self) {
        if self.looks.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(&(at, key)) = self.looks.first().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, key));
            self.queue(key);
        }
    }

    fn queue(&mut self, key: u64) {
        if let Some(tap) = self.taps.get_mut(&key).filter(|tap| !tap.queued) {
            tap.queued = true;
            self.ready.push_back(key);
        }
    }

    fn turn(&mut self, key: u64) {
        let Some(mut tap) = self.taps.remove(&key) else { return };
        tap.queued = false;
        if let Some(at) = tap.look_at.take() {
            self.looks.remove(&(at, key));
        }
        match self.carry(&mut tap) {
            Next::Turn => {
                tap.queued = true;
                self.ready.push_back(key);
            }
            Next::Sleep => {}
            Next::Look(delay) => {
                let at = Instant::now() + delay;
                tap.look_at = Some(at);
                self.looks.insert((at, key));
            }
            Next::End => return self.close(tap),
        }
        self.taps.insert(key, tap);
    }

    pub(super) fn ended(&mut self, source: &Source) {
        *self.runs.entry(source.run).or_default().of(source.stream) = Progress::Ended;
        self.tell_drained(source.run);
    }

    fn tell_drained(&mut self, run: RunId) {
        let Some(streams) = self.runs.get_mut(&run).filter(|streams| streams.drained()) else { return };
        let first = !std::mem::replace(&mut streams.told, true);
        if streams.released {
            self.runs.remove(&run);
        }
        if first {
            (self.tell)(Notice::Drained { run });
        }
    }

    /// `false`: the last handle is gone.
    fn commands(&mut self) -> bool {
        // Only EAGAIN can come, and means that an earlier read took this wake-up too.
        let _ = self.wake.read();
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Attach { source, pipe, output } => self.attach(source, pipe, output),
                Command::Begin => self.begin(),
                Command::Release { run } => self.release(run),
                Command::RotateBy { run, rotation } => self.rotate_by(run, &rotation),
                Command::Flush { paths } => self.flush(paths),
                Command::Reopen => self.files.values_mut().for_each(LogFile::reopen),
                Command::Subscribe(opening) => self.subscribe(opening),
                Command::End => return false,
            }
        }
        true
    }

    fn attach(&mut self, source: Source, pipe: OwnedFd, output: Output) {
        *self.runs.entry(source.run).or_default().of(source.stream) = Progress::Open;
        self.last_key += 1;
        let key = self.last_key;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        if let Err(error) = self.epoll.add(&pipe, EpollEvent::new(interest, key)) {
            tracing::error!("cannot watch the {:?} pipe of {}: {error}", source.stream, source.app);
            return self.ended(&source);
        }
        let mut tap = Tap::new(key, source, pipe, output);
        self.settle(&mut tap);
        if let Some(branch) = &tap.branch {
            self.sinks.join(branch);
        }
        for path in &tap.files {
            let new = || LogFile::new(path.clone(), self.archive.clone(), self.losses.clone());
            let file = self.files.entry(path.clone()).or_insert_with(new);
            file.join(&tap.source.app, key, Arc::clone(&tap.rule), &self.tell);
            file.keeps(key, tap.kept.is_some());
            // From now on an incomplete line of another one need not be the end of this file.
            let others = self.taps.values_mut().filter(|tap| tap.files.first() == Some(path));
            others.for_each(|tap| tap.framing.interleaved());
        }
        if let Some(end) = self.end_of(&tap) {
            (self.tell)(Notice::Begun { source: tap.source.clone(), mark: Mark::now(end.bookmark.place) });
        }
        self.taps.insert(key, tap);
        self.rotate_what_is_due();
    }

    /// Where the file that it is read from ends.
    pub(super) fn end_of(&self, tap: &Tap) -> Option<Reached> {
        self.files.get(tap.files.first()?)?.place()
    }

    /// Brings an interrupted write of this source to its end, and finds what was kept of it.
    fn settle(&mut self, tap: &mut Tap) {
        let interrupted = self.journal.concerns(&tap.source);
        let settled = self.shelf.find(&tap.source, interrupted == Some(Origin::Pipe)).and_then(|kept| {
            tap.kept = kept;
            match (interrupted, kept) {
                (Some(Origin::Pipe), _) => self.settle_chunk(tap),
                (Some(Origin::Shelf(start)), Some(slot)) => self.settle_kept(tap, slot, start),
                (Some(Origin::Shelf(_)), None) | (None, _) => Ok(()),
            }
        });
        if let Err(error) = settled {
            let Source { app, worker, .. } = &tap.source;
            tracing::warn!(
                "the last output of {app} worker {worker} before the restart may be in its files twice: {error}"
            );
        }
    }

    fn settle_chunk(&mut self, tap: &Tap) -> io::Result<()> {
        let Ok(Peek::Bytes(count)) = self.lens.peek(&tap.pipe) else { return Ok(()) };
        let paths: Vec<&Path> = tap.files.iter().map(PathBuf::as_path).collect();
        let count = self.journal.complete(&paths, self.lens.bytes(count))?;
        self.journal.consume(&tap.pipe, count)
    }

    /// `start`: what had left the shelf when the chunk was begun.
    fn settle_kept(&mut self, tap: &mut Tap, slot: Slot, start: u64) -> io::Result<()> {
        let (bytes, now) = self.shelf.bytes(slot)?;
        if now == start {
            let paths: Vec<&Path> = tap.files.iter().map(PathBuf::as_path).collect();
            let count = self.journal.complete(&paths, &bytes)?;
            if self.shelf.take(slot, count)? {
                tap.kept = None;
            }
        }
        Ok(())
    }

    /// All pipes of a predecessor are attached.
    fn begin(&mut self) {
        self.held = false;
        let kept: Vec<Slot> = self.taps.values().filter_map(|tap| tap.kept).collect();
        if let Err(error) = self.shelf.retain(&kept) {
            tracing::error!("the journal of output cannot be tidied up: {error}");
        }
    }

    fn release(&mut self, run: RunId) {
        let keys: Vec<u64> =
            self.taps.iter().filter(|(_, tap)| tap.source.run == run).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(tap) = self.taps.get_mut(&key) {
                tap.release();
            }
            self.queue(key);
        }
        self.runs.entry(run).or_default().released = true;
        self.tell_drained(run);
    }

    fn flush(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            let truncated = match self.files.get_mut(&path) {
                Some(file) => file.truncate(),
                None => std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0)),
            };
            match truncated {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!("{} cannot be emptied: {error}", path.display());
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}
