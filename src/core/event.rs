//! What comes in and what goes out. Plain data: no channels, descriptors or futures.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::autoscale::{Bytes, Finding, Load};
use crate::clock::Wall;
use crate::id::{AppName, Pid, RequestId, RevisionId, RunId, WorkerId};
use crate::spec::Spec;

/// A wish or a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Wish: the app shall be as this revision says. Unknown apps are created; workers of a known one are replaced,
    /// all at once or, with `gently`, in a rollout.
    Apply {
        /// Who waits for it.
        request: RequestId,
        /// The app.
        app: AppName,
        /// The new revision; its number is greater than all before.
        revision: RevisionId,
        /// What it says.
        spec: Box<Spec>,
        /// Keep the old workers until new ones are ready.
        gently: bool,
        /// A rollout that has not ended after so long goes back.
        timeout: Option<Duration>,
    },
    /// Wish: the app shall be as this revision says, which its processes are already: they go over to it as they run. Only
    /// their number may differ. In a rollout, and for an unknown app, as [`Event::Apply`] with `gently`.
    Amend {
        /// Who waits for it.
        request: RequestId,
        /// The app.
        app: AppName,
        /// The new revision; its number is greater than all before.
        revision: RevisionId,
        /// What it says.
        spec: Box<Spec>,
    },
    /// Fact: an app entrusted to us in an earlier life of the machine, with its seats.
    Recall {
        /// The app.
        app: AppName,
        /// Its revision.
        revision: RevisionId,
        /// What it says.
        spec: Box<Spec>,
        /// Its seats.
        seats: Vec<Recalled>,
        /// The version before, if it is known.
        previous: Option<(RevisionId, Box<Spec>)>,
    },
    /// Wish: these workers shall run. Those that do are left alone.
    Start {
        /// Who waits for it.
        request: RequestId,
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Wish: these workers shall not run.
    Stop {
        /// Who waits for it.
        request: RequestId,
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Wish: these workers shall get a new process, the old one ended first.
    Restart {
        /// Who waits for it.
        request: RequestId,
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Wish: all workers of the app shall get a new process, each ready before the old one goes where the app allows two.
    Reload {
        /// Who waits for it.
        request: RequestId,
        /// The app.
        app: AppName,
        /// A rollout that has not ended after so long goes back.
        timeout: Option<Duration>,
    },
    /// Wish: the app shall be as it was before its last change, moved as in a reload.
    Rollback {
        /// Who waits for it.
        request: RequestId,
        /// The app.
        app: AppName,
        /// A rollout that has not ended after so long goes back.
        timeout: Option<Duration>,
    },
    /// Fact: something has happened because of which the app's processes are to be replaced by new ones of the same version,
    /// in its mildest way. Nobody waits for it. What ended by itself runs again, what was stopped stays down.
    Renew {
        /// The app.
        app: AppName,
        /// What has happened, for people.
        why: String,
    },
    /// Wish: the job shall run once. Whether it does while another run goes on is the matter of its [`crate::Overlap`].
    Run {
        /// Who waits for the end of that run; `None`: the clock has asked.
        request: Option<RequestId>,
        /// The job.
        app: AppName,
        /// Who or what asks, for people.
        why: String,
    },
    /// Wish: these workers shall be no more. An app goes with its last worker.
    Delete {
        /// Who waits for it.
        request: RequestId,
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Wish: the restarts and short lives of these workers so far shall not count.
    Reset {
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Wish: the app shall have so many workers.
    Scale {
        /// Who waits for it.
        request: RequestId,
        /// The app.
        app: AppName,
        /// How many.
        count: u32,
    },
    /// Fact: what the ready runs of an app use, if it scales itself. To come every 15 s.
    Load {
        /// The app.
        app: AppName,
        /// By run, as far as it is known.
        runs: Vec<Load>,
        /// So much memory the machine could give to others; `None`: it is not known.
        available: Option<Bytes>,
    },
    /// Wish: nothing shall run any more, yet all wishes stay as they are for the next life.
    Shutdown {
        /// Who waits for it.
        request: RequestId,
    },
    /// Fact: a program was executed.
    Spawned {
        /// The run.
        run: RunId,
        /// Its main process.
        pid: Pid,
    },
    /// Fact: it could not be; nothing of the run is left.
    NotStarted {
        /// The run.
        run: RunId,
        /// Step and reason, for people.
        why: String,
    },
    /// Fact: a run has proven that it is ready.
    Ready {
        /// The run.
        run: RunId,
    },
    /// Fact: a run does not do its work: it failed its checks. It is replaced, by a new one first where the app allows two.
    Unfit {
        /// The run.
        run: RunId,
        /// Why, for people.
        why: String,
    },
    /// Fact: a run does its work, but uses more memory than it may. It is replaced as one that is unfit, but it is no failure, and
    /// goes on serving while a replacement has to wait.
    Oversize {
        /// The run.
        run: RunId,
        /// How much it uses and may use, for people.
        why: String,
    },
    /// Fact: a run that is starting asks for so much time from now on.
    MoreTime {
        /// The run.
        run: RunId,
        /// How much.
        more: Duration,
    },
    /// Fact: a run that was told to accept nothing more has finished what it had.
    Drained {
        /// The run.
        run: RunId,
    },
    /// Fact: a main process has ended.
    Exited {
        /// The run.
        run: RunId,
        /// How.
        exit: Exit,
        /// Whether other processes of it are alive; [`Event::Gone`] follows when they are not.
        survivors: bool,
    },
    /// Fact: nothing is left of a run.
    Gone {
        /// The run.
        run: RunId,
    },
    /// Fact: after a change of supervisor, this is all there is.
    Resync {
        /// Every run that exists.
        known: Vec<Known>,
    },
    /// Time has passed.
    Tick,
}

/// A seat of a recalled app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// Its id.
    pub worker: WorkerId,
    /// Its number within the app.
    pub instance: u32,
    /// Whether it shall run; of a job, whether it heeds the clock.
    pub up: bool,
    /// Whether it has ended by itself with code 0.
    #[serde(default)]
    pub completed: bool,
    /// The end of its last run, if it is a job's.
    #[serde(default)]
    pub last: Option<Ended>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// When.
    pub at: Wall,
    /// How long after its start.
    pub uptime: Duration,
    /// It was told to go.
    #[serde(default)]
    pub asked: bool,
}

/// A run as the keeper knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The run.
    pub run: RunId,
    /// Its main process.
    pub pid: Pid,
    /// What became of it.
    pub state: KnownState,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownState {
    /// Not yet executed.
    Spawning,
    /// Running.
    Alive,
    /// Ended.
    Exited {
        /// How.
        exit: Exit,
        /// Whether other processes of it are alive.
        survivors: bool,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// The kernel ended it because it reached the bound of its memory.
    OutOfMemory,
    /// It never ran.
    NotStarted(String),
    /// It was stopped because it was not ready in time.
    NotReady(Duration),
    /// It was stopped because it failed its checks before it was ready.
    Unfit(String),
    /// It was stopped because it took longer than a run of its job may.
    TimedOut(Duration),
    /// Nobody saw it.
    Unknown,
}

/// An order to the outside, to be carried out in the given sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Start a process.
    Spawn {
        /// The new run.
        run: RunId,
        /// For which worker.
        worker: WorkerId,
        /// Of which app.
        app: AppName,
        /// The worker's number within the app.
        instance: u32,
        /// By which declaration.
        revision: RevisionId,
    },
    /// It is ready: from now on, look whether it does its work.
    Watch {
        /// The run.
        run: RunId,
    },
    /// Tell a run to accept nothing more and to finish what it has.
    Drain {
        /// The run.
        run: RunId,
    },
    /// Ask a run to go, in the way its declaration says.
    Stop {
        /// The run.
        run: RunId,
    },
    /// Its main process has gone; ask what is left of it to go too.
    Sweep {
        /// The run.
        run: RunId,
    },
    /// Kill all of a run.
    Kill {
        /// The run.
        run: RunId,
    },
    /// Nothing of this run is left and nothing will be asked of it again.
    Forget {
        /// The run.
        run: RunId,
    },
    /// What is entrusted to us has changed: write it down before any later answer is given.
    Save,
    /// Nothing refers to this revision any more.
    DropRevision {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
    },
    /// No worker of this app runs or shall run: what it holds open (ports) can be closed.
    Idle {
        /// The app.
        app: AppName,
    },
    /// Something that people want to follow. Nothing needs to be done about it.
    Tell(Happening),
    /// What came of a request.
    Answer {
        /// Which.
        request: RequestId,
        /// By worker.
        results: Vec<WorkerResult>,
    },
}

impl fmt::Display for Exit {
    /// In words, for reasons shown to people.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "exited with code {code}"),
            Self::Signal(signal) => match SIGNALS.iter().find(|(number, _)| number == signal) {
                Some((_, name)) => write!(out, "killed by {name}"),
                None => write!(out, "killed by signal {signal}"),
            },
            Self::OutOfMemory => out.write_str("killed for want of memory at its memory_max"),
            Self::NotStarted(why) => write!(out, "could not be started: {why}"),
            Self::NotReady(limit) if limit.subsec_millis() == 0 => {
                write!(out, "was not ready within {} s", limit.as_secs())
            }
            Self::NotReady(limit) => write!(out, "was not ready within {} ms", limit.as_millis()),
            Self::Unfit(why) => write!(out, "failed its check: {why}"),
            Self::TimedOut(limit) if limit.subsec_millis() == 0 => {
                write!(out, "timed out after {} s", limit.as_secs())
            }
            Self::TimedOut(limit) => write!(out, "timed out after {} ms", limit.as_millis()),
            Self::Unknown => out.write_str("ended unseen"),
        }
    }
}

impl Exit {
    /// Whether it was at work before; otherwise the time from its start says nothing more.
    pub fn was_a_life(&self) -> bool {
        match self {
            Self::Code(_) | Self::Signal(_) | Self::OutOfMemory | Self::Unknown => true,
            Self::NotStarted(_) | Self::NotReady(_) | Self::Unfit(_) | Self::TimedOut(_) => false,
        }
    }
}

/// The signals that end processes, by their numbers on all of Linux but the MIPS, SPARC, Alpha and PA-RISC (signal(7)).
const SIGNALS: [(i32, &str); 14] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
];

/// What happened, for people who follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// To which app.
    pub app: AppName,
    /// To which of its workers; `None`: to the app as a whole.
    pub worker: Option<WorkerId>,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A process was started.
    Started,
    /// It is ready, so long after its start.
    Ready(Duration),
    /// A run ended unasked.
    Failed(Death),
    /// A run of a job, or one after which nothing follows, has done what it was started for, after so long.
    Completed(Duration),
    /// A run of a job has not.
    JobFailed(Death),
    /// There is no run of a job although one was asked for, and why.
    Skipped(String),
    /// A run of a job waits for the end of another, and who asked for it.
    Queued(String),
    /// It failed its checks and will be replaced.
    Unfit(String),
    /// It uses more memory than it may and will be replaced.
    Oversize(String),
    /// It was told to accept nothing more.
    Draining,
    /// It was asked to go.
    Stopping,
    /// It was killed because it did not go in time.
    Killed,
    /// It has gone as asked.
    Stopped,
    /// The first start waits for another app, and why.
    Held(String),
    /// The next start waits so long.
    Waiting(Duration),
    /// It is not started again, and why.
    GivenUp(String),
    /// Its processes are to be replaced, and why.
    Renewed(String),
    /// Its load has changed the number of its workers.
    Scaled {
        /// Before.
        from: u32,
        /// From now on.
        to: u32,
        /// Why.
        finding: Finding,
    },
    /// Its load asks for more workers than there can be.
    ScalingHeld {
        /// There are so many.
        at: u32,
        /// What it asks for, and what does not allow it.
        finding: Finding,
    },
    /// A rollout of so many workers has begun.
    ReloadBegan(u32),
    /// So many workers of so many are where they shall be.
    ReloadMoved(u32, u32),
    /// A rollout has ended well.
    ReloadDone,
    /// A rollout has failed: the old version stays or comes back.
    ReloadFailed(String),
    /// A version was taken back after its rollout had ended well.
    RolledBack(String),
}

/// An end that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// Of which run.
    pub run: RunId,
    /// The revision it was of.
    pub revision: RevisionId,
    /// Its main process, if it ever was executed.
    pub pid: Option<Pid>,
    /// How it ended.
    pub exit: Exit,
    /// How long after its start.
    pub uptime: Duration,
}

/// What came of a request for one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerResult {
    /// The worker.
    pub worker: WorkerId,
    /// Its app.
    pub app: AppName,
    /// Why it failed; `None`: it is as wished.
    pub failure: Option<String>,
    /// How the run of a job ended, if that was waited for.
    #[serde(default)]
    pub exit: Option<Exit>,
}
