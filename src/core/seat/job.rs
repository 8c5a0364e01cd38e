//! A seat whose runs are a job's: it is wished up for one run at a time, and down again by the end of that run.

use serde::{Deserialize, Serialize};

use crate::clock::Mono;
use crate::event::Exit;
use crate::seat::{Run, Seat, Specs, Turn, Wish};
use crate::spec::{Job, Overlap};

/// What a seat knows of its runs. They are counted, so that everybody hears of the one that he has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs {
    /// Nobody asks for runs by the clock.
    pub(crate) paused: bool,
    /// One more begins when the present one has ended.
    pub(crate) queued: bool,
    /// The latest that was to begin: it goes on, is about to, or has ended.
    latest: u64,
    /// The last that was not stopped, but came to its end or to its time limit.
    ended: u64,
}

/// What came of asking for a run.
pub(crate) enum Asked {
    /// It is the one with this number.
    Taken(u64),
    /// As before, and it waits for another.
    Queued(u64),
    /// There is none, and why.
    Skipped(&'static str),
}

impl Run {
    /// When it has taken too long.
    pub(super) fn times_out(&self) -> Option<Mono> {
        self.until.filter(|_| self.phase.is_active())
    }
}

impl Seat {
    /// The rules of its runs, if it is to be a job.
    pub(crate) fn job(&self, specs: &Specs) -> Option<Job> {
        specs.get(&self.wanted.revision)?.job
    }

    /// A wish that it be up: what is no job begins, a job from now on heeds the clock.
    pub(crate) fn wish_start(&mut self, specs: &Specs) {
        match self.job(specs) {
            Some(_) => self.runs_of_job.paused = false,
            None => self.wish_up(),
        }
    }

    /// A wish that it be down, and stay so.
    pub(crate) fn wish_stop(&mut self) {
        self.wish_away(Wish::Down);
        self.runs_of_job.paused = true;
    }

    /// A wish for a new process. The run of a job is left to come to its end.
    pub(crate) fn wish_restart(&mut self, turn: &mut Turn<'_>, specs: &Specs) {
        match self.job(specs) {
            Some(_) => self.wish_start(specs),
            None => self.restart(turn, specs),
        }
    }

    /// It becomes a job, or what is none.
    pub(crate) fn change_kind(&mut self, is_job: bool) {
        self.wish_away(if is_job { Wish::Down } else { Wish::Up });
        self.runs_of_job = Runs::default();
    }

    /// Asks for a run.
    pub(crate) fn ask(&mut self, turn: &mut Turn<'_>, specs: &Specs, overlap: Overlap) -> Asked {
        let is_free = self.wish == Wish::Down && self.runs.is_empty();
        let known = &mut self.runs_of_job;
        match overlap {
            Overlap::Queue if known.queued => Asked::Skipped("a run goes on, and another one waits"),
            Overlap::Queue if !is_free => {
                known.queued = true;
                Asked::Queued(known.latest + 1)
            }
            Overlap::Skip if !is_free => Asked::Skipped("a run goes on"),
            Overlap::Kill if !is_free => {
                known.latest += 1;
                self.restart(turn, specs);
                Asked::Taken(self.runs_of_job.latest)
            }
            Overlap::Skip | Overlap::Queue | Overlap::Kill => {
                self.begin();
                Asked::Taken(self.runs_of_job.latest)
            }
        }
    }

    /// The run that waits begins when the one before has ended.
    pub(crate) fn begin_queued(&mut self) {
        if self.runs_of_job.queued && self.wish == Wish::Down {
            self.runs_of_job.queued = false;
            self.begin();
        }
    }

    fn begin(&mut self) {
        self.runs_of_job.latest += 1;
        self.wish_up();
    }

    /// Takes note that the present run was not stopped.
    pub(super) fn note_end_of_job(&mut self) {
        self.runs_of_job.ended = self.runs_of_job.latest;
    }

    /// How the run of this number ended, or why it did not come to an end; `None`: it has not yet.
    pub(crate) fn outcome(&self, number: u64) -> Option<Result<&Exit, &'static str>> {
        let Runs { queued, latest, ended, .. } = self.runs_of_job;
        match number {
            _ if number == ended && (number < latest || self.runs.is_empty()) => {
                self.last_exit.as_ref().map(|last| Ok(&last.exit))
            }
            _ if number > latest => (!queued).then_some(Err("stopped meanwhile")),
            _ if number < latest => Some(Err("stopped in favour of another run")),
            _ if self.wish == Wish::Up || !self.runs.is_empty() => None,
            _ => Some(Err("stopped meanwhile")),
        }
    }
}
