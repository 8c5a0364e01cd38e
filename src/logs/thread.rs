//! The log thread: one epoll loop over all pipes.
//!
//! Question answered here: *which pipe is next?* Every pipe that has something gets one chunk a round, so none
//! starves another. Idle, it sleeps without a timeout.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use supd_api::Stream;
use supd_keeper::protocol::RunId;

use super::file::LogFile;
use super::journal::Journal;
use super::live::Audience;
use super::pipe::{Lens, Peek, consume};
use super::place::Mark;
use super::subscription::{Opened, Opening};
use super::tap::{Next, Tap};
use super::{Command, Notice, Source};

/// The epoll key of the eventfd; pipes get 1, 2, 3 …
const WAKE: u64 = 0;

pub(super) struct LogThread {
    epoll: Epoll,
    wake: Arc<EventFd>,
    inbox: mpsc::Receiver<Command>,
    tell: Box<dyn Fn(Notice) + Send>,
    journal: Journal,
    lens: Lens,
    /// `/dev/null`, for what goes nowhere else.
    void: File,
    audience: Audience,
    taps: HashMap<u64, Tap>,
    files: HashMap<PathBuf, LogFile>,
    runs: HashMap<RunId, Streams>,
    /// Whose turn it is.
    ready: VecDeque<u64>,
    /// Who must be looked at, and when.
    looks: BTreeSet<(Instant, u64)>,
    last_key: u64,
}

/// What becomes of so many of the first bytes of a pipe.
enum Fate {
    /// They are in the file.
    Written(usize),
    /// There is no file for them.
    Shown(usize),
    /// The file takes nothing, and they must make room.
    Lost(usize),
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
        Ok(Self {
            epoll,
            wake,
            inbox,
            tell,
            journal: Journal::open(journal)?,
            lens: Lens::new()?,
            void: File::options().write(true).open("/dev/null")?,
            audience: Audience::default(),
            taps: HashMap::new(),
            files: HashMap::new(),
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
                } else {
                    self.woken(event);
                }
            }
            self.due_looks();
            for _ in 0..self.ready.len() {
                if let Some(key) = self.ready.pop_front() {
                    self.turn(key);
                }
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
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

    /// Carries one chunk.
    fn carry(&mut self, tap: &mut Tap) -> Next {
        let held = match self.lens.peek(&tap.pipe) {
            Ok(Peek::Empty) => return tap.empty(),
            Ok(Peek::End) => return Next::End,
            Ok(Peek::Bytes(count)) => self.lens.bytes(count),
            Err(error) => return tap.give_up(&error),
        };
        let file = tap.path.as_ref().and_then(|path| self.files.get_mut(path));
        let shared = file.as_ref().is_some_and(|file| !file.sole());
        let cut = tap.cut(held, shared);
        if cut == 0 {
            return tap.wait();
        }
        let fate = match file {
            None => Fate::Shown(cut),
            Some(file) => {
                match file.put(&tap.source, &held[..cut], &mut self.journal, Instant::now(), &self.tell) {
                    0 => {
                        let lost = tap.spill(held);
                        file.lose(lost);
                        Fate::Lost(lost)
                    }
                    count => Fate::Written(count),
                }
            }
        };
        let (count, consumed) = match fate {
            Fate::Lost(0) => return tap.wait(),
            Fate::Written(count) => (count, self.journal.consume(&tap.pipe, count)),
            Fate::Shown(count) | Fate::Lost(count) => (count, consume(&tap.pipe, &self.void, count)),
        };
        if let Err(error) = consumed {
            return tap.give_up(&error);
        }
        let end = || self.files.get(tap.path.as_ref()?)?.end();
        tap.framing.publish(&tap.source, &held[..count], &mut self.audience, end);
        let lost = matches!(fate, Fate::Lost(_));
        if shared || lost {
            tap.framing.interleaved();
        }
        match tap.moved(count) {
            Next::Turn if lost => tap.wait(),
            next => next,
        }
    }

    fn close(&mut self, mut tap: Tap) {
        let end = tap.path.as_ref().and_then(|path| self.files.get(path)).and_then(LogFile::end);
        if let Some(end) = &end {
            (self.tell)(Notice::Ended { source: tap.source.clone(), mark: Mark::now(end.place) });
        }
        tap.framing.finish(&tap.source, &mut self.audience, end);
        // The keeper holds the same open file description: closing alone would not end the watch (epoll(7)).
        let _ = self.epoll.delete(&tap.pipe);
        if let Some(path) = &tap.path
            && let Some(file) = self.files.get_mut(path)
        {
            file.writers -= 1;
            if file.writers == 0 && !file.owes_a_marker() {
                self.files.remove(path);
            }
        }
        let Tap { source, pipe, .. } = tap;
        drop(pipe);
        self.ended(&source);
    }

    fn ended(&mut self, source: &Source) {
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
                Command::Attach { source, pipe, path } => self.attach(source, pipe, path),
                Command::Release { run } => self.release(run),
                Command::Flush { paths } => self.flush(paths),
                Command::Reopen => self.files.values_mut().for_each(|file| file.reopen(&self.tell)),
                Command::Subscribe(opening) => self.subscribe(opening),
                Command::End => return false,
            }
        }
        true
    }

    fn attach(&mut self, source: Source, pipe: OwnedFd, path: Option<PathBuf>) {
        *self.runs.entry(source.run).or_default().of(source.stream) = Progress::Open;
        self.last_key += 1;
        let key = self.last_key;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        if let Err(error) = self.epoll.add(&pipe, EpollEvent::new(interest, key)) {
            tracing::error!("cannot watch the {:?} pipe of {}: {error}", source.stream, source.app);
            return self.ended(&source);
        }
        if let Some(path) = &path {
            let file = self.files.entry(path.clone()).or_insert_with(|| LogFile::new(path.clone()));
            file.join(&self.tell);
            // From now on an incomplete line of another one need not be the end of this file.
            let others = self.taps.values_mut().filter(|tap| tap.path.as_ref() == Some(path));
            others.for_each(|tap| tap.framing.interleaved());
            let end = file.end();
            self.settle(&source, &pipe, path);
            if let Some(end) = end {
                (self.tell)(Notice::Begun { source: source.clone(), mark: Mark::now(end.place) });
            }
        }
        self.taps.insert(key, Tap::new(source, pipe, path));
    }

    /// Consumes what an interrupted write of this source had brought into its file.
    fn settle(&mut self, source: &Source, pipe: &OwnedFd, path: &Path) {
        if !self.journal.concerns(source) {
            return;
        }
        let Ok(Peek::Bytes(count)) = self.lens.peek(pipe) else { return };
        let settled = self
            .journal
            .already_written(path, self.lens.bytes(count))
            .and_then(|written| self.journal.consume(pipe, written));
        if let Err(error) = settled {
            tracing::warn!("the last chunk before the restart may be in {} twice: {error}", path.display());
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
                    (self.tell)(Notice::Trouble { path, error });
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Between two writes, so that what is in the files now and what is published from now on fit together: a line begun in
    /// a file comes live when it is complete, and is left out of the file's last lines.
    fn subscribe(&mut self, opening: Opening) {
        let mut files: Vec<Opened> = opening.files.into_iter().filter_map(Opened::new).collect();
        if opening.follow {
            let places: HashMap<PathBuf, usize> =
                files.iter().enumerate().map(|(index, file)| (file.about.path.clone(), index)).collect();
            for tap in self.taps.values_mut().filter(|tap| opening.filter.admits(&tap.source)) {
                let path = tap.path.as_ref().filter(|path| self.files.get(*path).is_some_and(LogFile::sole));
                if let Some(&index) = path.and_then(|path| places.get(path)) {
                    if opening.resumes {
                        tap.framing.begun(files[index].unfinished());
                    }
                    files[index].end = files[index].end.saturating_sub(tap.framing.open());
                }
                tap.framing
                    .watch(|open, shown| path.and_then(|path| begun(path, open, shown)).unwrap_or_default());
            }
            self.audience.join(opening.filter, Arc::downgrade(&opening.feed));
        }
        // A receiver that is gone has ended its subscription already.
        let _ = opening.opened.send(files);
    }
}

/// The first `shown` of the last `open` bytes of this file.
fn begun(path: &Path, open: u64, shown: usize) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut bytes = vec![0; shown];
    file.read_exact_at(&mut bytes, file.metadata().ok()?.len().checked_sub(open)?).ok()?;
    Some(bytes)
}
