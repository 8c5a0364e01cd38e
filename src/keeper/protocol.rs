//! What the keeper and the supervisor say to each other.
//!
//! One `SOCK_SEQPACKET` pair, strictly ordered both ways; each message is one JSON document with descriptors
//! attached (`SCM_RIGHTS`). A newer supervisor may meet an older keeper: fields may be added, never renamed, and
//! [`VERSION`] grows when a message is added.
//!
//! Order matters once: the supervisor sends the snapshot that holds a decision *before* the order that carries it
//! out, so a supervisor that dies in between is restored knowing what it wanted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cgroup::Bounds;

/// Version of this protocol. 2 added the upgrade: [`Order::Rehearse`], [`Order::Upgrade`], [`Order::Failed`] and their
/// reports. A supervisor says to an older keeper only what that one's [`Report::Welcome`] lets it expect.
pub const VERSION: u32 = 2;

/// One life of one process. Chosen by the supervisor, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

/// Supervisor to keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Fork and execute. Attached: first one descriptor per entry of `plan.descriptors`, then one per entry of
    /// `keep`. Answered by [`Report::Spawned`] or [`Report::SpawnFailed`].
    Spawn {
        /// The new run.
        run: RunId,
        /// What to execute and how.
        plan: Box<ExecPlan>,
        /// Names under which the attached duplicates (the supervisor's ends of the pipes) are stored until [`Order::Forget`].
        keep: Vec<DescriptorName>,
    },
    /// Send a signal. A run that is gone is no error: nothing happens.
    Signal {
        /// To which run.
        run: RunId,
        /// Signal number.
        signal: i32,
        /// To how much of it.
        scope: Scope,
    },
    /// The exit of this run has been taken note of: drop its record and the descriptors kept for it.
    Forget {
        /// The run.
        run: RunId,
    },
    /// Keep a duplicate of the one attached descriptor under this name, in place of an earlier one.
    Store {
        /// Its name.
        name: DescriptorName,
    },
    /// Close the stored descriptor of this name, if there is one.
    Close {
        /// Its name.
        name: DescriptorName,
    },
    /// Hold the attached memfd as the latest snapshot. The keeper does not look into it.
    Snapshot,
    /// The supervisor has restored everything and can answer clients. On trial ([`Report::Welcome`]) the program it runs is
    /// attached (an `O_PATH` descriptor): what the keeper is to become.
    Ready,
    /// It cannot get that far and is about to end, for this reason.
    Failed {
        /// For people.
        why: String,
    },
    /// Asks for [`Report::Rehearsal`].
    Rehearse,
    /// The last order of a supervisor: it leaves, and this program is to take its place, on trial, and then the keeper's.
    Upgrade {
        /// A path, executed with the supervisor's arguments.
        program: String,
        /// What it is about; `failure` is none.
        upgrade: Upgrade,
    },
    /// Answer to [`Report::Ping`].
    Pong,
    /// Everything has been stopped: end, with this exit code. What is still alive is killed first.
    Quit {
        /// Exit code of the daemon.
        code: u8,
    },
}

/// Keeper to supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// First message to each new supervisor. `descriptors` names follow in messages of [`Report::Descriptors`].
    Welcome {
        /// [`VERSION`] of the keeper.
        version: u32,
        /// Every run that has not been forgotten.
        runs: Vec<RunRecord>,
        /// How many stored descriptors follow.
        descriptors: usize,
        /// Whether the latest snapshot is attached to this message, as its one descriptor.
        snapshot: bool,
        /// How often a supervisor was started before this one.
        restarts: u32,
        /// `CLOCK_MONOTONIC` in nanoseconds when the keeper started.
        since: u64,
        /// This supervisor is of a new program that has to prove itself: what it orders is held back until it is
        /// [`Order::Ready`] and the keeper has become that program too, which [`Report::Upgraded`] tells. Before that it
        /// must not do anything that cannot be taken back: take a message off a channel, answer a client.
        #[serde(default)]
        trial: bool,
        /// What came of the latest upgrade.
        #[serde(default)]
        upgrade: Option<Upgrade>,
    },
    /// Some of the stored descriptors, attached in this order.
    Descriptors {
        /// Their names.
        names: Vec<DescriptorName>,
    },
    /// The program has been executed.
    Spawned {
        /// The run.
        run: RunId,
        /// Its main process.
        pid: i32,
    },
    /// It could not be. Nothing of it is left and the run is forgotten already.
    SpawnFailed {
        /// The run.
        run: RunId,
        /// Which step failed.
        step: Step,
        /// Why.
        errno: i32,
    },
    /// The main process has ended and been reaped.
    Exited {
        /// The run.
        run: RunId,
        /// How.
        exit: Exit,
        /// Other processes of this run are still alive. [`Report::Gone`] will follow when they are not.
        survivors: bool,
        /// The most memory it had, in bytes; 0: not known.
        #[serde(default)]
        peak_memory: u64,
    },
    /// After [`Report::Exited`] with survivors: the last process of the run has ended.
    Gone {
        /// The run.
        run: RunId,
    },
    /// The keeper was asked to end (SIGTERM, SIGINT): stop everything, then send [`Order::Quit`].
    Terminate,
    /// The keeper got SIGUSR2: open log files anew.
    Reopen,
    /// Prove that the loop turns, by [`Order::Pong`].
    Ping,
    /// Attached, in a memfd: the document that a new program would have to read to become the keeper. To be shown to it
    /// (`can_take_over`) before anything is given up for it. Without it, it could not be written.
    Rehearsal,
    /// The keeper runs the new program too; what was held back has been carried out.
    Upgraded {
        /// Without a failure.
        upgrade: Upgrade,
    },
}

/// The change from one program to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// Counts all attempts since the keeper was started, from 1.
    pub attempt: u32,
    /// Version of the program before.
    pub from: String,
    /// Version of the new program.
    pub to: String,
    /// Why `from` goes on after all.
    #[serde(default)]
    pub failure: Option<String>,
}

/// What the keeper knows of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run.
    pub run: RunId,
    /// Its main process.
    pub pid: i32,
    /// What became of it.
    pub state: RunState,
    /// The most memory that its main process had when it ended, in bytes; 0: not known.
    #[serde(default)]
    pub peak_memory: u64,
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Forked, the program not yet executed.
    Spawning,
    /// Running.
    Alive,
    /// Ended; `survivors` as in [`Report::Exited`].
    Exited {
        /// How.
        exit: Exit,
        /// Whether other processes of it are alive.
        survivors: bool,
    },
}

/// How a main process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// How much of a run a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The main process, if it has not ended.
    Main,
    /// Every process of the run: main process, its process group, its descendants, and those that left both but
    /// came back to the keeper as subreaper.
    Tree,
}

/// The name of a stored descriptor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescriptorName {
    /// The listening control socket.
    Control,
    /// A listening socket of an app; the text is the supervisor's key for it.
    Port(String),
    /// Read end of a run's standard output.
    Out(RunId),
    /// Read end of a run's standard error.
    Err(RunId),
    /// The supervisor's end of a run's IPC channel.
    Ipc(RunId),
    /// The datagram socket that a run knows as `NOTIFY_SOCKET`.
    Notify(RunId),
    /// Write end of a run's standard input, which comes to no end while this is kept.
    In(RunId),
    /// The memfd in which the log thread notes what it is about to write.
    LogJournal,
    /// The memfd with what this daemon was told to run at its start, until it does.
    Runtime,
}

impl DescriptorName {
    /// The run it belongs to and is dropped with.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Control | Self::Port(_) | Self::LogJournal | Self::Runtime => None,
            Self::Out(run) | Self::Err(run) | Self::Ipc(run) | Self::Notify(run) | Self::In(run) => {
                Some(*run)
            }
        }
    }
}

/// Everything the keeper needs to start one process. It holds the environment, so it has no derived `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// A path, or a name to look up in the `PATH` of `env`.
    pub program: String,
    /// All arguments, the zeroth included.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
    /// User name or id; `None`: unchanged. Sets the supplementary groups too.
    pub user: Option<String>,
    /// Group name or id; `None`: the user's primary group.
    pub group: Option<String>,
    /// The number each attached descriptor gets in the child. 0, 1 and 2 are opened on `/dev/null` unless listed.
    pub descriptors: Vec<i32>,
    /// Set `LISTEN_PID` to the child's own pid (sd_listen_fds(3)).
    pub listen_pid: bool,
    /// What it may do and how it ranks.
    #[serde(default)]
    pub attributes: Attributes,
    /// The control group it gets where the keeper may make one; `None`: it stays in the keeper's.
    #[serde(default)]
    pub cgroup: Option<Cgroup>,
}

/// A control group for one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its name, by [`leaf_name`](crate::cgroup::leaf_name).
    pub leaf: String,
    /// What it may use.
    pub bounds: Bounds,
}

/// What a child may do and how it ranks, apart from its user. What is not given stays as the keeper has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// For umask(2).
    pub umask: Option<u32>,
    /// For setpriority(2).
    pub nice: Option<i32>,
    /// For `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// For setrlimit(2), in this order.
    pub limits: Vec<Limit>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// Numbers of the ambient capabilities (capabilities(7)). All others are given up, unless it stays root.
    pub capabilities: Vec<u8>,
}

/// A limit. `None`: unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Of what.
    pub resource: Resource,
    /// What is in force.
    pub soft: Option<u64>,
    /// Up to what the child may raise it.
    pub hard: Option<u64>,
}

/// What has a limit: those of getrlimit(2) that Linux heeds, but `RLIMIT_RTTIME`, by which runs are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are getrlimit(2)'s")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rtprio,
    Sigpending,
    Stack,
}

impl fmt::Debug for ExecPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ExecPlan")
            .field("program", &self.program)
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The steps of a start, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// fork(2) itself, or making what it needs.
    Fork,
    /// Making its control group, with what it may use, and entering it.
    Cgroup,
    /// setsid(2), signal dispositions, limits.
    Session,
    /// Placing descriptors.
    Descriptors,
    /// Looking up the user. `ENOENT`: there is none of that name.
    User,
    /// Looking up the group. `ENOENT`: there is none of that name.
    Group,
    /// Its score for the day when memory is short.
    OomScore,
    /// Its nice value.
    Nice,
    /// This limit.
    Limit(Resource),
    /// Becoming that user (setgid, initgroups, setuid).
    Credentials,
    /// Keeping its capabilities.
    Capabilities,
    /// `PR_SET_NO_NEW_PRIVS`.
    Privileges,
    /// Entering the working directory, as that user.
    Chdir,
    /// execve(2). `ENOENT` for a file that exists means that the interpreter in its first line is missing.
    Exec,
}
