//! One worker: a seat with at most two runs in it.
//!
//! `record.rs` writes wishes and facts down, `rules.rs` closes the gap between them, `oversize.rs` replaces what has grown
//! too large.

mod oversize;
mod record;
mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Now, Wall};
use crate::depends::Held;
use crate::event::{Effect, Exit, What};
use crate::id::{AppName, Generation, Pid, RevisionId, RunId, WorkerId};
use crate::phase::{Phase, Proof};
use crate::restart::Streak;
use crate::spec::Spec;
use oversize::Oversize;

/// What a run is an instance of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Goal {
    pub(crate) generation: Generation,
    pub(crate) revision: RevisionId,
}

/// What is wished for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wish {
    Up,
    Down,
    Gone,
}

/// How a run of another generation gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Manner {
    /// It goes, then the new one comes.
    StopFirst,
    /// The new one is ready, then it goes.
    StartFirst,
}

/// Why nothing is started although nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rest {
    /// No reason: start.
    None,
    /// The restart delay.
    Waiting { until: Mono, why: String },
    /// The policy says that this was the end.
    Ended {
        why: String,
        /// It has done what it was started for.
        #[serde(default)]
        well: bool,
    },
    /// Given up.
    Errored { why: String },
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) at: Wall,
    pub(crate) uptime: Duration,
}

/// One process of a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) goal: Goal,
    pub(crate) phase: Phase,
    pub(crate) pid: Option<Pid>,
    pub(crate) started: Now,
    /// It said itself that it is ready.
    pub(crate) told: bool,
    /// Why it has to be replaced although it runs.
    #[serde(default)]
    pub(crate) unfit: Option<String>,
    /// That it has to be replaced for its size, although it works.
    #[serde(default)]
    oversize: Option<Oversize>,
    #[serde(default)]
    proof: Proof,
    /// Its end is on record already; what follows is only the rest of it.
    ended: bool,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    pub(crate) worker: WorkerId,
    pub(crate) instance: u32,
    pub(crate) wish: Wish,
    pub(crate) wanted: Goal,
    pub(crate) manner: Manner,
    pub(crate) rest: Rest,
    pub(crate) streak: Streak,
    /// Of runs that soon grew too large.
    #[serde(default)]
    growth: Streak,
    /// The last one that was too large, and when it was seen to be.
    #[serde(default)]
    pub(crate) last_oversize: Option<(String, Wall)>,
    pub(crate) restarts: u32,
    pub(crate) created: Wall,
    pub(crate) last_exit: Option<Ended>,
    pub(crate) runs: Vec<Run>,
    /// Whether it was started since it was last wished up; the next start is then a restart.
    started: bool,
    /// The next start is the first since it was wished up, so that it comes in order among the apps.
    #[serde(default)]
    pub(crate) orderly: bool,
    /// Why that start waits.
    #[serde(default)]
    pub(crate) held: Option<Held>,
}

/// A run that failed unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) generation: Generation,
    pub(crate) why: String,
    /// It was not the first in a row.
    pub(crate) again: bool,
}

/// One call of [`crate::Supervisor::handle`] while it lasts.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) halting: bool,
    pub(crate) next_run: &'a mut u64,
    pub(crate) effects: Vec<Effect>,
    /// What happened, to be told.
    pub(crate) told: Vec<(About, What)>,
    /// What is entrusted to us has changed.
    pub(crate) save: bool,
}

/// To whom something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Worker(WorkerId),
    App(AppName),
}

/// The revisions of an app that are still referred to.
pub(crate) type Specs = BTreeMap<RevisionId, Spec>;

impl Seat {
    pub(crate) fn new(worker: WorkerId, instance: u32, wish: Wish, wanted: Goal, created: Wall) -> Self {
        Self {
            worker,
            instance,
            wish,
            wanted,
            manner: Manner::StopFirst,
            rest: Rest::None,
            streak: Streak::default(),
            growth: Streak::default(),
            last_oversize: None,
            restarts: 0,
            created,
            last_exit: None,
            runs: Vec::new(),
            started: false,
            orderly: true,
            held: None,
        }
    }

    /// The active run of the wanted generation that need not be replaced.
    pub(crate) fn fresh(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.goal == self.wanted && run.phase.is_active() && !run.is_to_go())
    }

    /// The ready run that stays until the wanted one is ready.
    fn protected(&self) -> Option<RunId> {
        if self.manner == Manner::StopFirst || self.has_fresh_ready() {
            return None;
        }
        self.serving().map(|run| run.id)
    }

    /// The newest ready run.
    pub(crate) fn serving(&self) -> Option<&Run> {
        self.runs.iter().rfind(|run| run.phase.ready_since().is_some())
    }

    fn has_fresh_ready(&self) -> bool {
        self.fresh().is_some_and(|run| run.phase.ready_since().is_some())
    }

    /// How many of its runs have not been told to go.
    pub(crate) fn active(&self) -> usize {
        self.runs.iter().filter(|run| run.phase.is_active()).count()
    }

    /// As wished up: the wanted run is ready and no other is active.
    pub(crate) fn is_settled(&self) -> bool {
        self.has_fresh_ready() && self.active() == 1
    }

    /// A run that has to go is still there.
    pub(crate) fn is_leaving(&self) -> bool {
        self.runs.iter().any(|run| !run.phase.is_active())
    }

    /// By itself, and for good: nobody has stopped it.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.rest, Rest::Ended { .. })
    }

    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        let rest = match self.rest {
            Rest::Waiting { until, .. } => Some(until),
            Rest::None | Rest::Ended { .. } | Rest::Errored { .. } => None,
        };
        let stays = self.runs.iter().filter_map(Run::stays_until);
        self.runs.iter().filter_map(|run| run.phase.deadline()).chain(stays).chain(rest).min()
    }
}
