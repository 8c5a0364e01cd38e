//! The rules of one seat, in the order in which they are applied. Each is idempotent.

use std::time::Duration;

use crate::event::{Effect, What};
use crate::id::{AppName, RunId};
use crate::phase::{Fact, Phase, Proof, SPAWN_LIMIT};
use crate::seat::{About, Failure, Goal, Manner, Rest, Run, Seat, Specs, Turn, Wish};
use crate::spec::Spec;

impl Seat {
    /// Deadlines that have passed.
    pub(crate) fn on_time(&mut self, turn: &mut Turn<'_>, specs: &Specs) -> Vec<Failure> {
        if matches!(self.rest, Rest::Waiting { until, .. } if until <= turn.now.mono) {
            self.rest = Rest::None;
        }
        self.stays_end(turn.now.mono);
        let due: Vec<RunId> = self
            .runs
            .iter()
            .filter(|run| run.phase.deadline().is_some_and(|at| at <= turn.now.mono))
            .map(|run| run.id)
            .collect();
        due.into_iter().filter_map(|run| self.record(turn, specs, run, &Fact::Deadline, None)).collect()
    }

    /// Runs that should not be. `kept`: others have to go first.
    pub(crate) fn surplus(&mut self, turn: &mut Turn<'_>, specs: &Specs, kept: bool) {
        let up = self.wish == Wish::Up && !turn.halting;
        if !up && kept {
            return;
        }
        let (protected, fresh) = (self.protected(), self.fresh().map(|run| run.id));
        for index in 0..self.runs.len() {
            let run = Some(self.runs[index].id);
            if !(up && (run == fresh || run == protected)) {
                self.stop(turn, specs, index);
            }
        }
    }

    /// A start that should be. `unproven` is what a rollout is moving to. `held`: a first start has to wait.
    pub(crate) fn missing(&mut self, turn: &mut Turn<'_>, app: &AppName, unproven: Option<Goal>, held: bool) {
        let room = match self.manner {
            Manner::StopFirst => self.runs.is_empty(),
            Manner::StartFirst => self.runs.len() < 2,
        };
        let idle = self.wish == Wish::Up && !turn.halting && self.rest == Rest::None;
        if !idle || (held && self.waits_its_turn()) || self.fresh().is_some() || !room {
            return;
        }
        if self.started {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.started = true;
        self.orderly = false;
        let run = RunId(*turn.next_run);
        *turn.next_run += 1;
        let mut beside = self.runs.iter().filter(|old| old.phase.is_active()).peekable();
        let careful = beside.peek().is_some() || unproven == Some(self.wanted);
        let proof = match beside.any(|old| old.told) {
            true => Proof::Word,
            false if careful => Proof::Life,
            false => Proof::Usual,
        };
        let phase = Phase::Spawning { until: turn.now.mono + SPAWN_LIMIT };
        let goal = self.wanted;
        self.runs.push(Run {
            id: run,
            goal,
            phase,
            pid: None,
            started: turn.now,
            told: false,
            unfit: None,
            oversize: None,
            proof,
            ended: false,
        });
        turn.told.push((About::Worker(self.worker), What::Started));
        turn.effects.push(Effect::Spawn {
            run,
            worker: self.worker,
            app: app.clone(),
            instance: self.instance,
            revision: goal.revision,
        });
    }

    /// Lets a run go: one that serves and can be told so finishes first what it has.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_>, specs: &Specs, index: usize) {
        let replaced = self
            .fresh()
            .is_some_and(|fresh| fresh.phase.ready_since().is_some() && fresh.id != self.runs[index].id);
        let run = &mut self.runs[index];
        if !run.phase.is_active() {
            return;
        }
        let spec = specs.get(&run.goal.revision);
        let kill_timeout = spec.map_or(Duration::ZERO, |spec| spec.kill_timeout);
        let drain = match run.phase {
            Phase::Ready { .. } if replaced && run.unfit.is_none() => spec.and_then(|spec| spec.drain),
            // Whoever starts may have accepted something already.
            Phase::Ready { .. } | Phase::Starting { .. } => spec.and_then(Spec::farewell),
            Phase::Spawning { .. }
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Sweeping { .. } => None,
        };
        match drain.filter(|limit| !limit.is_zero()) {
            Some(limit) => {
                run.phase = Phase::Draining { until: turn.now.mono + limit };
                turn.told.push((About::Worker(self.worker), What::Draining));
                turn.effects.push(Effect::Drain { run: run.id });
            }
            None => {
                run.phase = Phase::Stopping { kill_at: turn.now.mono + kill_timeout };
                turn.told.push((About::Worker(self.worker), What::Stopping));
                turn.effects.push(Effect::Stop { run: run.id });
            }
        }
    }
}
