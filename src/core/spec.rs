//! What of a declaration matters to decisions.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::autoscale::Autoscale;
use crate::event::Exit;
use crate::id::AppName;

/// One revision of an app, reduced to what decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// How many workers.
    pub count: u32,
    /// `false`: the workers of a new app are not started until asked.
    pub autostart: bool,
    /// What follows an exit nobody asked for.
    pub restart: RestartPolicy,
    /// From asking a run to go to killing it.
    pub kill_timeout: Duration,
    /// When a run counts as ready.
    pub readiness: Readiness,
    /// Whether two runs of one worker may be up at the same time, which a reload needs to lose nothing.
    pub overlap: bool,
    /// How many replacements may be starting at a time in a reload; at least 1.
    pub surge: u32,
    /// How many workers may be on the move in a reload, counting those whose predecessor has not gone yet; at least 1.
    #[serde(default = "one")]
    pub parallel: u32,
    /// How long a run that can be told to accept nothing more may take to finish; `None`: it cannot be told.
    #[serde(default)]
    pub drain: Option<Duration>,
    /// In a reload a run whose readiness nobody proves has to live so long before it counts as ready.
    #[serde(default)]
    pub settle: Duration,
    /// In a reload a run may take so long to prove that it is ready.
    #[serde(default)]
    pub reload_within: Duration,
    /// After a reload a crash loop within this time brings the version before back.
    #[serde(default)]
    pub watch: Duration,
    /// What must be so before a worker is started for the first time since it was wished up.
    #[serde(default)]
    pub depends_on: BTreeMap<AppName, Condition>,
    /// How it scales itself; `count` is then where it begins.
    #[serde(default)]
    pub autoscale: Option<Autoscale>,
    /// It has one worker, whose runs begin when they are asked for and come to an end by themselves. The restart policy has no
    /// say then, and no rollout concerns it: the next run is of the latest version.
    #[serde(default)]
    pub job: Option<Job>,
}

/// How the runs of a job follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What becomes of a run that is asked for while another goes on.
    pub overlap: Overlap,
    /// A run that takes longer is stopped and has failed.
    pub timeout: Option<Duration>,
    /// Somebody outside asks for runs by the clock, unless the job is stopped.
    pub scheduled: bool,
}

/// What becomes of a run that is asked for while another goes on, or waits for what it depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// There is none.
    Skip,
    /// It begins after the other. One waits at most; there is none beyond that.
    Queue,
    /// The other is stopped in its favour.
    Kill,
}

/// What an app must have come to before another one that depends on it is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// A worker's program is executed.
    Started,
    /// A worker is ready.
    Ready,
    /// Each worker has ended by itself with code 0.
    Completed,
}

impl Spec {
    /// How long a run may drain where somebody waits for its end, or it does not work anyway: no longer than a stop takes.
    pub(crate) fn farewell(&self) -> Option<Duration> {
        self.drain.map(|limit| limit.min(self.kill_timeout)).filter(|limit| !limit.is_zero())
    }
}

fn one() -> u32 {
    1
}

/// When a run counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// As soon as its program is executed.
    Executed,
    /// When [`crate::Event::Ready`] says so.
    Told {
        /// How long that may take.
        within: Duration,
        /// What it means when it takes longer.
        late: OnLate,
    },
}

/// What it means when a run is not ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLate {
    /// The start has failed: the run is stopped.
    Fail,
    /// Not every program of this kind tells: it is taken as ready, unless a reload moves to it from one that told
    /// (then it has [`Spec::reload_within`] to tell).
    Assume,
}

/// What follows an exit nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `false`: nothing.
    pub autorestart: bool,
    /// Exit codes after which nothing follows. Death by a signal has no code.
    pub stop_exit_codes: Vec<i32>,
    /// PM2's rules where asked for; `None`: supd's patient ones.
    pub pm2: Option<PmTwoRules>,
}

impl RestartPolicy {
    /// Whether nothing is started after this end.
    pub(crate) fn is_final(&self, exit: &Exit) -> bool {
        !self.autorestart || matches!(exit, Exit::Code(code) if self.stop_exit_codes.contains(code))
    }
}

/// PM2's restart rules, with the crash loop counted in lives in a row rather than in the first 16 seconds only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PmTwoRules {
    /// A shorter life is unstable.
    pub min_uptime: Duration,
    /// So many unstable lives in a row, and it is given up.
    pub max_restarts: u32,
    /// Delay before a restart, unless it grows.
    pub restart_delay: Duration,
    /// First of a series of delays that grow by half up to 15 s.
    pub exp_backoff: Option<Duration>,
}
