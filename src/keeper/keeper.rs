//! What does the keeper wait for, and in what order does it act?
//!
//! One thread, one poll(2): orders, signals, status pipes of starts, and a deadline only when something is due.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::clock::monotonic_ns;
use crate::grouping::Grouping;
use crate::handover::Handover;
use crate::log::{self, Level};
use crate::notify::{Notifier, watchdog_interval};
use crate::protocol::{DescriptorName, Report, RunId, Upgrade, VERSION};
use crate::reserve::Reserve;
use crate::runs::{Phase, Runs};
use crate::supervisor::Supervisor;
use crate::tree;
use crate::upgrade::Trial;

/// So many descriptors travel in one message; the kernel's limit is 253.
const DESCRIPTORS_PER_MESSAGE: usize = 100;
/// More than the keeper has for itself: link, signals, lock, snapshot, an upgrade on trial.
const OWN_DESCRIPTORS: usize = 16;
/// After so many supervisors that died young, a keeper that shall end stops the runs itself.
const HOPELESS: u32 = 5;
/// After so many that died without ever getting ready, a keeper that has nothing to look after gives up: whoever started
/// it shall hear of it.
const STILLBORN: u32 = 3;
/// How long runs then have between SIGTERM and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the keeper waits at the very end, for what has got SIGKILL and for the supervisor to exit.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What the keeper is to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The supervisor's program: a path.
    pub program: String,
    /// Its arguments, the zeroth included.
    pub argv: Vec<String>,
    /// The working directory of keeper and supervisor. It must exist.
    pub home: PathBuf,
    /// What shows that this keeper is the only one of its home, to be held open until the process ends.
    pub lock: Option<Rc<OwnedFd>>,
    /// A document for the supervisor: what to run from the start ([`DescriptorName::Runtime`]).
    pub runtime: Option<Rc<OwnedFd>>,
    /// The control group below which runs get theirs; `None`: the keeper's own, if it was delegated to it.
    pub cgroup: Option<PathBuf>,
}

impl Options {
    /// This very program is the supervisor too, with these arguments. It is executed by `/proc/self/exe`: the image that is
    /// running, also after the file has been replaced.
    pub fn same_program(argv: Vec<String>, home: PathBuf) -> Self {
        Self { program: "/proc/self/exe".to_owned(), argv, home, lock: None, runtime: None, cgroup: None }
    }
}

/// Everything the keeper knows.
pub(crate) struct Keeper {
    pub(crate) runs: Runs,
    pub(crate) store: BTreeMap<DescriptorName, Rc<OwnedFd>>,
    pub(crate) snapshot: Option<Rc<OwnedFd>>,
    pub(crate) supervisor: Supervisor,
    /// Whether runs are tagged: not inside a run of another keeper, whose tag they shall keep.
    pub(crate) tagging: bool,
    pub(crate) grouping: Grouping,
    /// The limits of open files the keeper was started with; runs get them.
    pub(crate) open_files: (rlim_t, rlim_t),
    /// An upgrade in progress.
    pub(crate) trial: Option<Trial>,
    /// What came of the latest.
    pub(crate) upgrade: Option<Upgrade>,
    pub(crate) home: PathBuf,
    pub(crate) lock: Option<Rc<OwnedFd>>,
    pub(crate) since: u64,
    /// Whether systemd knows that the service is up.
    pub(crate) announced: bool,
    /// When to look again for processes that could not be seen.
    pub(crate) look_at: Option<Instant>,
    /// SIGTERM or SIGINT has come.
    pub(crate) terminate: bool,
    /// Room for what must not fail.
    reserve: Reserve,
    signals: SignalFd,
    notifier: Notifier,
    watchdog: Option<Watchdog>,
    stage: Stage,
}

struct Watchdog {
    every: Duration,
    next: Instant,
}

enum Stage {
    /// Doing what the supervisor orders.
    Serving,
    /// There is no supervisor and the keeper shall end: the runs have got SIGTERM.
    Stopping { until: Instant },
    /// Everything has got SIGKILL.
    Ending { code: u8, until: Instant },
}

/// What has become ready.
enum Ready {
    Signals,
    Link(PollFlags),
    Status(RunId),
}

/// Is the keeper until it ends; the result is the exit code of the daemon. To be called before any thread is started.
///
/// Descriptors above 2 that were inherited stay open but are closed on exec. When the keeper dies without ending, the
/// supervisor reads end of file from its [`Link`](crate::Link) and has to exit by itself; workers go on.
pub fn run(options: &Options) -> ExitCode {
    match Keeper::new(options) {
        Ok(keeper) => keeper.work(),
        Err(error) => {
            say(Level::Error, format_args!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Goes on as the keeper that an earlier image of this process was; otherwise as [`run`]. When that is not possible, the
/// earlier image is executed again. `options.lock` is not looked at: what was handed over counts.
pub fn go_on(options: &Options, handover: Handover) -> ExitCode {
    Keeper::take_over(options, handover).work()
}

/// One line of our log.
pub(crate) fn say(level: Level, text: fmt::Arguments<'_>) {
    log::say("keeper", level, text);
}

impl Keeper {
    fn new(options: &Options) -> io::Result<Self> {
        close_on_exec();
        std::env::set_current_dir(&options.home)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", options.home.display())))?;
        let open_files = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, open_files.1, open_files.1)?;
        let now = Instant::now();
        let store = options.runtime.iter().map(|kept| (DescriptorName::Runtime, Rc::clone(kept))).collect();
        let mut keeper = Self { open_files, store, ..Self::idle(options, Supervisor::new(options, now))? };
        // Before there is a supervisor, which shall be where the keeper is.
        keeper.grouping.here();
        Ok(keeper)
    }

    /// A keeper of nothing yet, and what a process has to be for that.
    pub(crate) fn idle(options: &Options, supervisor: Supervisor) -> io::Result<Self> {
        if std::fs::read_dir("/proc/self/task")?.count() > 1 {
            return Err(io::Error::other("the keeper has to be started before any thread"));
        }
        let us = std::fs::read_link("/proc/self")?;
        if us.to_str() != Some(&std::process::id().to_string()) {
            return Err(io::Error::other("/proc shows another PID namespace; mount it anew inside this one"));
        }
        prctl::set_child_subreaper(true)?;
        let mut mask = SigSet::empty();
        mask.extend([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2]);
        mask.thread_block()?;
        let tagging = tree::limit_of(std::process::id() as i32) == Some(libc::RLIM_INFINITY);
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            runs: Runs::default(),
            store: BTreeMap::new(),
            snapshot: None,
            supervisor,
            tagging,
            grouping: Grouping::new(options.cgroup.clone(), !tagging),
            open_files: (libc::RLIM_INFINITY, libc::RLIM_INFINITY),
            trial: None,
            upgrade: None,
            home: options.home.clone(),
            lock: options.lock.clone(),
            since: monotonic_ns(),
            announced: false,
            look_at: None,
            terminate: false,
            reserve: Reserve::default(),
            signals,
            notifier: Notifier::from_env(),
            // At once: an earlier image of this process may have given its last sign of life a while ago.
            watchdog: watchdog_interval().map(|every| Watchdog { every, next: Instant::now() }),
            stage: Stage::Serving,
        })
    }

    /// Until the end.
    fn work(mut self) -> ExitCode {
        log::tell_panics("keeper", || {});
        loop {
            if let Some(code) = self.turn() {
                // Its descriptors close with the process: the lock of the home, too, after all that the caller tidies up.
                std::mem::forget(self);
                return ExitCode::from(code);
            }
        }
    }

    /// Waits for something and acts on it; the exit code when it is over.
    fn turn(&mut self) -> Option<u8> {
        self.have_room();
        let ready = self.wait();
        self.make_room();
        for ready in ready {
            match ready {
                Ready::Signals => self.read_signals(),
                Ready::Status(run) => self.settle(run),
                Ready::Link(events) => {
                    if events.contains(PollFlags::POLLOUT) {
                        self.supervisor.flush();
                    }
                    if events.intersects(!PollFlags::POLLOUT) {
                        self.read_orders();
                    }
                }
            }
        }
        self.advance_upgrade(Instant::now());
        self.act_on_time(Instant::now())
    }

    /// Lets go of the reserve if what comes next would not fit otherwise.
    pub(crate) fn make_room(&mut self) {
        let used = OWN_DESCRIPTORS + self.store.len() + self.runs.0.len();
        self.reserve.open_when_needed(used);
    }

    /// Whether the reserve is whole again.
    pub(crate) fn have_room(&mut self) -> bool {
        self.reserve.fill(self.signals.as_fd())
    }

    fn wait(&self) -> Vec<Ready> {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut names = vec![None];
        for (id, run) in &self.runs.0 {
            if let Phase::Spawning(pending) = &run.phase {
                fds.push(PollFd::new(pending.as_fd(), PollFlags::POLLIN));
                names.push(Some(*id));
            }
        }
        let statuses = fds.len();
        if let Some(link) = self.supervisor.link() {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, self.supervisor.may_order());
            events.set(PollFlags::POLLOUT, self.supervisor.has_outgoing());
            fds.push(PollFd::new(link.as_fd(), events));
        }
        if poll(&mut fds, self.timeout()).is_err() {
            // EINTR, or no memory for a moment.
            return Vec::new();
        }
        let happened = |fd: &PollFd<'_>| fd.revents().filter(|events| !events.is_empty());
        // Orders last: a supervisor that died has been seen by then.
        let first = fds.iter().zip(&names).filter(|(fd, _)| happened(fd).is_some());
        let first = first.map(|(_, name)| name.map_or(Ready::Signals, Ready::Status));
        first.chain(fds[statuses..].iter().filter_map(happened).map(Ready::Link)).collect()
    }

    fn timeout(&self) -> PollTimeout {
        let staged = match self.stage {
            Stage::Serving => self.supervisor.start_at(),
            Stage::Stopping { until } | Stage::Ending { until, .. } => Some(until),
        };
        let watched = self.watchdog.as_ref().map(|watchdog| watchdog.next);
        let tried = self.trial.as_ref().and_then(Trial::until);
        let all = [staged, watched, tried, self.supervisor.leave_by(), self.look_at];
        let deadline = all.into_iter().flatten().min();
        let Some(deadline) = deadline else { return PollTimeout::NONE };
        // A millisecond more: waking too early would mean to wake twice.
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = if left.is_zero() { 0 } else { left.as_millis() + 1 };
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    }

    fn read_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => self.reap(),
                libc::SIGTERM | libc::SIGINT => {
                    self.terminate = true;
                    self.notifier.tell("STOPPING=1");
                    self.supervisor.tell_once(Report::Terminate);
                }
                libc::SIGUSR2 => self.supervisor.tell_once(Report::Reopen),
                // SIGHUP: a terminal that closes is no reason to do anything.
                _ => {}
            }
        }
    }

    fn act_on_time(&mut self, now: Instant) -> Option<u8> {
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.next <= now
        {
            watchdog.next = now + watchdog.every;
            // The keeper's own loop turns. A supervisor that hangs is replaced; it must not cost the workers.
            self.notifier.tell("WATCHDOG=1");
            self.supervisor.ping();
        }
        match self.stage {
            Stage::Serving => {
                let down = self.supervisor.pid().is_none();
                let served = self.announced || !self.runs.0.is_empty();
                if down && !served && self.supervisor.short_lives() >= STILLBORN {
                    say(Level::Error, format_args!("no supervisor gets ready: giving up"));
                    self.end(1);
                } else if down && self.terminate && self.supervisor.short_lives() >= HOPELESS {
                    self.stop(now);
                } else if self.supervisor.start_at().is_some_and(|at| at <= now) {
                    match self.supervisor.start(now) {
                        Ok(()) => self.welcome(),
                        Err(why) => self.supervisor_is_gone(&why, now),
                    }
                }
            }
            Stage::Stopping { until } => {
                if until <= now || self.all_gone() {
                    self.end(1);
                }
            }
            Stage::Ending { .. } => {}
        }
        self.look_if_due(now);
        self.supervisor.end_overdue(now);
        self.finished(now)
    }

    /// Nothing is left to be killed or reaped, or it takes too long (a process in uninterruptible sleep).
    fn finished(&self, now: Instant) -> Option<u8> {
        let Stage::Ending { code, until } = self.stage else { return None };
        let nothing_left = self.all_gone() && self.supervisor.pid().is_none();
        (nothing_left || until <= now).then_some(code)
    }

    /// Tells a new supervisor all there is to know.
    fn welcome(&mut self) {
        let welcome = Report::Welcome {
            version: VERSION,
            runs: self.runs.records(),
            descriptors: self.store.len(),
            snapshot: self.snapshot.is_some(),
            restarts: self.supervisor.restarts(),
            since: self.since,
            trial: self.trial.is_some(),
            upgrade: self.upgrade.clone(),
        };
        self.supervisor.tell(welcome, self.snapshot.iter().cloned().collect());
        let stored: Vec<_> = self.store.iter().collect();
        for batch in stored.chunks(DESCRIPTORS_PER_MESSAGE) {
            let names = batch.iter().map(|(name, _)| (*name).clone()).collect();
            let attached = batch.iter().map(|(_, kept)| Rc::clone(kept)).collect();
            self.supervisor.tell(Report::Descriptors { names }, attached);
        }
        if self.terminate {
            self.supervisor.tell_once(Report::Terminate);
        }
    }

    /// The first one that is ready makes the service ready.
    pub(crate) fn supervisor_is_ready(&mut self) {
        if !std::mem::replace(&mut self.announced, true) {
            self.notifier.tell(&format!("READY=1\nMAINPID={}", std::process::id()));
        }
    }

    /// Nobody else can: asks the runs to end.
    fn stop(&mut self, now: Instant) {
        say(
            Level::Error,
            format_args!("shall end, and no supervisor stays up: stopping {} runs", self.runs.0.len()),
        );
        self.stage = Stage::Stopping { until: now + STOP_TIMEOUT };
        self.signal_all(libc::SIGTERM);
    }

    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving)
    }

    /// Kills what is still alive, says good-bye to the supervisor and ends when both are gone.
    pub(crate) fn end(&mut self, code: u8) {
        self.stage = Stage::Ending { code, until: Instant::now() + END_TIMEOUT };
        self.signal_all(libc::SIGKILL);
        self.supervisor.hang_up();
    }

    fn signal_all(&mut self, signal: i32) {
        let alive: Vec<RunId> =
            self.runs.0.iter().filter(|(_, run)| !run.is_gone()).map(|(id, _)| *id).collect();
        for run in alive {
            self.signal_tree(run, signal);
        }
    }

    fn all_gone(&self) -> bool {
        self.runs.0.values().all(crate::runs::Run::is_gone)
    }
}

/// Whatever was inherited is for nobody else. Everything opened from here on is closed on exec anyway.
pub(crate) fn close_on_exec() {
    let first: libc::c_uint = 3;
    // SAFETY: the flag only marks descriptors (close_range(2)); memory is not touched.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Before Linux 5.11.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: as above.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
