//! One worker: a seat with at most two runs in it, and the rules that keep it as wished.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Now, Wall};
use crate::event::{Effect, Exit};
use crate::id::{AppName, Generation, Pid, RevisionId, RunId, WorkerId};
use crate::phase::{Fact, Order, Phase, SPAWN_LIMIT, Step};
use crate::restart::{Life, Streak, Verdict};
use crate::spec::{Readiness, Spec};

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
    Ended { why: String },
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
    /// It stands beside one that said so, and must say so too.
    must_tell: bool,
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
    pub(crate) restarts: u32,
    pub(crate) created: Wall,
    pub(crate) last_exit: Option<Ended>,
    pub(crate) runs: Vec<Run>,
    /// Whether it was started since it was last wished up; the next start is then a restart.
    started: bool,
}

/// A run that failed unasked: of which generation, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) generation: Generation,
    pub(crate) why: String,
}

/// One call of [`crate::Supervisor::handle`] while it lasts.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) halting: bool,
    pub(crate) next_run: &'a mut u64,
    pub(crate) effects: Vec<Effect>,
    /// What is entrusted to us has changed.
    pub(crate) save: bool,
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
            restarts: 0,
            created,
            last_exit: None,
            runs: Vec::new(),
            started: false,
        }
    }

    // ---- record ----------------------------------------------------------------------------------------------

    /// Wishes it up and forgets what kept it down.
    pub(crate) fn wish_up(&mut self) {
        self.wish = Wish::Up;
        if self.fresh().is_none() {
            self.clear_rest();
        }
    }

    /// Wishes it down or gone.
    pub(crate) fn wish_away(&mut self, wish: Wish) {
        self.wish = wish;
        self.started = false;
        self.clear_rest();
    }

    /// Ends what runs, so that the missing rule starts it anew.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>, specs: &Specs) {
        self.manner = Manner::StopFirst;
        self.clear_rest();
        self.wish = Wish::Up;
        for index in 0..self.runs.len() {
            self.stop(turn, specs, index);
        }
    }

    /// Makes another generation the wanted one.
    pub(crate) fn want(&mut self, goal: Goal, manner: Manner) {
        if self.wanted != goal {
            self.wanted = goal;
            self.clear_rest();
        }
        self.manner = manner;
    }

    fn clear_rest(&mut self) {
        self.rest = Rest::None;
        self.streak = Streak::default();
    }

    /// Takes note of what happened to one of its runs.
    pub(crate) fn record(
        &mut self,
        turn: &mut Turn<'_>,
        specs: &Specs,
        run: RunId,
        fact: &Fact,
        exit: Option<Exit>,
    ) -> Option<Failure> {
        let index = self.runs.iter().position(|known| known.id == run)?;
        let known = &mut self.runs[index];
        let spec = specs.get(&known.goal.revision)?;
        if let Fact::Spawned(pid) = fact {
            known.pid = Some(*pid);
        }
        known.told |= *fact == Fact::Ready;
        let before = known.phase;
        let step = before.step(fact, turn.now.mono, spec, known.must_tell);
        let (next, order, exit) = match step {
            Step::Stay => return None,
            Step::Go(phase, order) => (Some(phase), order, exit),
            Step::Late(phase, order) => {
                (Some(phase), Some(order), Some(Exit::NotReady(late_after(before, spec))))
            }
            Step::End => (None, None, Some(exit.unwrap_or(Exit::Unknown))),
        };
        if let Some(phase) = next {
            known.phase = phase;
        }
        turn.effects.extend(order.map(|order| effect(order, run)));
        let before_end = known.clone();
        known.ended |= exit.is_some();
        if next.is_none() {
            self.runs.remove(index);
            turn.effects.push(Effect::Forget { run });
        }
        let unasked = before.is_active() && next.is_none_or(|phase| !phase.is_active());
        match exit {
            Some(exit) => self.ended(turn, spec, &before_end, before, exit, unasked),
            None => None,
        }
    }

    /// Takes note of the end of a run, and decides what follows if nobody asked for it.
    fn ended(
        &mut self,
        turn: &mut Turn<'_>,
        spec: &Spec,
        run: &Run,
        phase: Phase,
        exit: Exit,
        unasked: bool,
    ) -> Option<Failure> {
        let uptime = turn.now.mono.since(run.started.mono);
        if !run.ended {
            self.last_exit = Some(Ended { exit: exit.clone(), at: turn.now.wall, uptime });
        }
        if !unasked {
            return None;
        }
        if run.goal == self.wanted {
            let ready = phase.ready_since().map(|since| turn.now.mono.since(since));
            self.rest_after(turn, spec, Life { run: run.id, uptime, ready }, &exit);
        }
        Some(Failure { generation: run.goal.generation, why: exit.to_string() })
    }

    fn rest_after(&mut self, turn: &mut Turn<'_>, spec: &Spec, life: Life, exit: &Exit) {
        let why = exit.to_string();
        let asked_by_code = matches!(exit, Exit::Code(code) if spec.restart.stop_exit_codes.contains(code));
        self.rest = if asked_by_code || !spec.restart.autorestart {
            self.wish = Wish::Down;
            self.started = false;
            turn.save = true;
            Rest::Ended { why }
        } else {
            match self.streak.after(life, spec.restart.pm2.as_ref()) {
                Verdict::Retry(delay) if delay.is_zero() => Rest::None,
                Verdict::Retry(delay) => Rest::Waiting { until: turn.now.mono + delay, why },
                Verdict::GiveUp => {
                    let lives = self.streak.unstable;
                    Rest::Errored { why: format!("{why}; given up after {lives} short lives in a row") }
                }
            }
        };
    }

    /// Drops a run whose start was decided but never ordered: the supervisor died in between.
    pub(crate) fn never_ordered(&mut self, run: RunId) {
        self.runs.retain(|known| known.id != run);
    }

    // ---- reconcile -------------------------------------------------------------------------------------------

    /// Deadlines that have passed.
    pub(crate) fn on_time(&mut self, turn: &mut Turn<'_>, specs: &Specs) -> Vec<Failure> {
        if matches!(self.rest, Rest::Waiting { until, .. } if until <= turn.now.mono) {
            self.rest = Rest::None;
        }
        let due: Vec<RunId> = self
            .runs
            .iter()
            .filter(|run| run.phase.deadline().is_some_and(|at| at <= turn.now.mono))
            .map(|run| run.id)
            .collect();
        due.into_iter().filter_map(|run| self.record(turn, specs, run, &Fact::Deadline, None)).collect()
    }

    /// Runs that should not be.
    pub(crate) fn surplus(&mut self, turn: &mut Turn<'_>, specs: &Specs) {
        let up = self.wish == Wish::Up && !turn.halting;
        let protected = self.protected();
        for index in 0..self.runs.len() {
            let run = &self.runs[index];
            if !(up && (run.goal == self.wanted || Some(run.id) == protected)) {
                self.stop(turn, specs, index);
            }
        }
    }

    /// A start that should be.
    pub(crate) fn missing(&mut self, turn: &mut Turn<'_>, app: &AppName) {
        let room = match self.manner {
            Manner::StopFirst => self.runs.is_empty(),
            Manner::StartFirst => self.runs.len() < 2,
        };
        if self.wish != Wish::Up || turn.halting || self.rest != Rest::None || self.fresh().is_some() || !room
        {
            return;
        }
        if self.started {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.started = true;
        let run = RunId(*turn.next_run);
        *turn.next_run += 1;
        let must_tell = self.runs.iter().any(|old| old.phase.is_active() && old.told);
        let phase = Phase::Spawning { until: turn.now.mono + SPAWN_LIMIT };
        let goal = self.wanted;
        self.runs.push(Run {
            id: run,
            goal,
            phase,
            pid: None,
            started: turn.now,
            told: false,
            must_tell,
            ended: false,
        });
        turn.effects.push(Effect::Spawn {
            run,
            worker: self.worker,
            app: app.clone(),
            instance: self.instance,
            revision: goal.revision,
        });
    }

    fn stop(&mut self, turn: &mut Turn<'_>, specs: &Specs, index: usize) {
        let run = &mut self.runs[index];
        if run.phase.is_active() {
            let timeout = specs.get(&run.goal.revision).map_or(Duration::ZERO, |spec| spec.kill_timeout);
            run.phase = Phase::Stopping { kill_at: turn.now.mono + timeout };
            turn.effects.push(Effect::Stop { run: run.id });
        }
    }

    // ---- questions -------------------------------------------------------------------------------------------

    /// The active run of the wanted generation.
    pub(crate) fn fresh(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.goal == self.wanted && run.phase.is_active())
    }

    /// The ready run of another generation that stays until the wanted one is ready.
    fn protected(&self) -> Option<RunId> {
        if self.manner == Manner::StopFirst
            || self.fresh().is_some_and(|run| run.phase.ready_since().is_some())
        {
            return None;
        }
        self.serving().map(|run| run.id)
    }

    /// The newest ready run.
    pub(crate) fn serving(&self) -> Option<&Run> {
        self.runs.iter().rfind(|run| run.phase.ready_since().is_some())
    }

    /// As wished up: the wanted run is ready and no other is active.
    pub(crate) fn is_settled(&self) -> bool {
        self.fresh().is_some_and(|run| run.phase.ready_since().is_some())
            && self.runs.iter().filter(|run| run.phase.is_active()).count() == 1
    }

    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        let rest = match self.rest {
            Rest::Waiting { until, .. } => Some(until),
            Rest::None | Rest::Ended { .. } | Rest::Errored { .. } => None,
        };
        self.runs.iter().filter_map(|run| run.phase.deadline()).chain(rest).min()
    }
}

fn effect(order: Order, run: RunId) -> Effect {
    match order {
        Order::Stop => Effect::Stop { run },
        Order::Sweep => Effect::Sweep { run },
        Order::Kill => Effect::Kill { run },
    }
}

fn late_after(phase: Phase, spec: &Spec) -> Duration {
    match (phase, spec.readiness) {
        (Phase::Starting { .. }, Readiness::Told { within, .. }) => within,
        _ => SPAWN_LIMIT,
    }
}
