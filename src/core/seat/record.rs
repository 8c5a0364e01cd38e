//! What a seat writes down: wishes, and facts about its runs with what follows from them at once.

use std::time::Duration;

use crate::depends::went_well;
use crate::event::{Death, Effect, Ended, Exit, What};
use crate::id::RunId;
use crate::phase::{Fact, Order, Phase, Proof, SPAWN_LIMIT, Step, grace};
use crate::restart::{Life, Streak, Verdict};
use crate::seat::{About, Failure, Goal, Manner, Rest, Run, Seat, Specs, Turn, Wish};
use crate::spec::Spec;

impl Seat {
    /// Wishes it up and forgets what kept it down.
    pub(crate) fn wish_up(&mut self) {
        self.wish = Wish::Up;
        self.orderly |= self.active() == 0;
        if self.fresh().is_none() {
            self.clear_rest();
        }
    }

    /// From now on its restarts and short lives are counted anew.
    pub(crate) fn forget_failures(&mut self) {
        self.restarts = 0;
        self.streak = Streak::default();
        self.growth = Streak::default();
    }

    /// Wishes it down or gone.
    pub(crate) fn wish_away(&mut self, wish: Wish) {
        self.wish = wish;
        self.started = false;
        self.runs_of_job.queued = false;
        self.clear_rest();
    }

    /// Ends what runs, so that the missing rule starts it anew.
    pub(crate) fn restart(&mut self, turn: &mut Turn<'_>, specs: &Specs) {
        self.manner = Manner::StopFirst;
        self.wish_up();
        self.clear_rest();
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
        self.growth = Streak::default();
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
        let step = before.step(fact, turn.now.mono, spec, known.proof);
        let (next, order, exit) = match step {
            Step::Stay => return None,
            Step::Go(phase, order) => (Some(phase), order, exit),
            Step::Late(phase, order) => {
                let late = Exit::NotReady(late_after(before, spec, known.proof));
                (Some(phase), Some(order), Some(exit.unwrap_or(late)))
            }
            Step::End => (None, None, Some(exit.unwrap_or(Exit::Unknown))),
        };
        self.go(turn, spec, index, next, order);
        let ended = self.runs[index].clone();
        self.runs[index].ended |= exit.is_some();
        if next.is_none() {
            self.runs.remove(index);
            turn.effects.push(Effect::Forget { run });
        }
        let unasked = before.is_active() && next.is_none_or(|phase| !phase.is_active());
        self.ended(turn, spec, &ended, before, exit?, unasked)
    }

    /// Enters the next phase and tells of it.
    fn go(
        &mut self,
        turn: &mut Turn<'_>,
        spec: &Spec,
        index: usize,
        next: Option<Phase>,
        order: Option<Order>,
    ) {
        let run = &mut self.runs[index];
        let was_ready = run.phase.ready_since().is_some();
        run.phase = next.unwrap_or(run.phase);
        if run.phase.ready_since().is_some() && !was_ready {
            turn.effects.push(Effect::Watch { run: run.id });
            // Of a job it is the end that counts.
            if spec.job.is_none() {
                let after = turn.now.mono.since(run.started.mono);
                turn.told.push((About::Worker(self.worker), What::Ready(after)));
            }
        }
        match order {
            Some(Order::Drain) => turn.told.push((About::Worker(self.worker), What::Draining)),
            Some(Order::Stop) => turn.told.push((About::Worker(self.worker), What::Stopping)),
            Some(Order::Kill) => turn.told.push((About::Worker(self.worker), What::Killed)),
            Some(Order::Sweep) | None => {}
        }
        turn.effects.extend(order.map(|order| effect(order, run.id)));
    }

    /// A run failed its checks: not ready yet, it has failed to start; ready, it is to be replaced.
    pub(crate) fn unfit(
        &mut self,
        turn: &mut Turn<'_>,
        specs: &Specs,
        run: RunId,
        why: String,
    ) -> Option<Failure> {
        let known = self.runs.iter_mut().find(|known| known.id == run)?;
        match known.phase {
            Phase::Starting { .. } => {
                let exit = Some(Exit::Unfit(why));
                self.record(turn, specs, run, &Fact::Hopeless, exit)
            }
            Phase::Ready { since } if known.unfit.is_none() => {
                known.unfit = Some(why.clone());
                let (goal, uptime) = (known.goal, turn.now.mono.since(known.started.mono));
                let spec = specs.get(&goal.revision)?;
                turn.told.push((About::Worker(self.worker), What::Unfit(why.clone())));
                if goal == self.wanted {
                    self.manner = if spec.overlap { Manner::StartFirst } else { Manner::StopFirst };
                    let ready = Some(turn.now.mono.since(since));
                    self.rest_after(turn, spec, Life { run, uptime, ready }, &Exit::Unfit(why.clone()));
                }
                let again = self.streak.unstable > 1;
                Some(Failure { generation: goal.generation, why: Exit::Unfit(why).to_string(), again })
            }
            Phase::Ready { .. }
            | Phase::Spawning { .. }
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Sweeping { .. } => None,
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
            self.last_exit = Some(Ended { exit: exit.clone(), at: turn.now.wall, uptime, asked: !unasked });
            let (revision, pid) = (run.goal.revision, run.pid);
            let death = || Death { run: run.id, revision, pid, exit: exit.clone(), uptime };
            let what = match (unasked, &spec.job) {
                (false, _) => What::Stopped,
                (true, job) if went_well(&exit) && (job.is_some() || spec.restart.is_final(&exit)) => {
                    What::Completed(uptime)
                }
                (true, None) => What::Failed(death()),
                (true, Some(_)) => What::JobFailed(death()),
            };
            turn.told.push((About::Worker(self.worker), what));
        }
        if !unasked {
            return None;
        }
        // Of one that is to be replaced what follows has been decided already.
        if spec.job.is_some() || (run.goal == self.wanted && !run.is_to_go()) {
            let ready = phase.ready_since().map(|since| turn.now.mono.since(since));
            self.rest_after(turn, spec, Life { run: run.id, uptime, ready }, &exit);
        }
        let again = self.streak.unstable > 1;
        Some(Failure { generation: run.goal.generation, why: exit.to_string(), again })
    }

    fn rest_after(&mut self, turn: &mut Turn<'_>, spec: &Spec, life: Life, exit: &Exit) {
        // It stays only until others have gone.
        if self.wish != Wish::Up {
            return;
        }
        let why = exit.to_string();
        self.rest = if spec.restart.is_final(exit) || spec.job.is_some() {
            self.note_end_of_job();
            self.wish = Wish::Down;
            self.started = false;
            turn.save = true;
            Rest::Ended { why, well: went_well(exit) }
        } else {
            match self.streak.after(life, spec.restart.pm2.as_ref()) {
                Verdict::Retry(delay) if delay.is_zero() => Rest::None,
                Verdict::Retry(delay) => {
                    turn.told.push((About::Worker(self.worker), What::Waiting(delay)));
                    Rest::Waiting { until: turn.now.mono + delay, why }
                }
                Verdict::GiveUp => {
                    let lives = self.streak.unstable;
                    let why = format!("{why}; given up after {lives} short lives in a row");
                    turn.told.push((About::Worker(self.worker), What::GivenUp(why.clone())));
                    Rest::Errored { why }
                }
            }
        };
    }

    /// The run of a job has taken too long.
    pub(super) fn time_out(&mut self, turn: &mut Turn<'_>, specs: &Specs, index: usize) {
        let run = self.runs[index].clone();
        let Some(spec) = specs.get(&run.goal.revision) else { return };
        let limit = run.until.unwrap_or_default().since(run.started.mono);
        self.ended(turn, spec, &run, run.phase, Exit::TimedOut(limit), true);
        self.runs[index].ended = true;
        self.stop(turn, specs, index);
    }

    /// Drops a run whose start was decided but never ordered: the supervisor died in between.
    pub(crate) fn never_ordered(&mut self, run: RunId) {
        self.runs.retain(|known| known.id != run);
    }
}

fn effect(order: Order, run: RunId) -> Effect {
    match order {
        Order::Drain => Effect::Drain { run },
        Order::Stop => Effect::Stop { run },
        Order::Sweep => Effect::Sweep { run },
        Order::Kill => Effect::Kill { run },
    }
}

fn late_after(phase: Phase, spec: &Spec, proof: Proof) -> Duration {
    match phase {
        Phase::Starting { .. } => grace(spec, proof).unwrap_or_default(),
        Phase::Spawning { .. }
        | Phase::Ready { .. }
        | Phase::Draining { .. }
        | Phase::Stopping { .. }
        | Phase::Sweeping { .. } => SPAWN_LIMIT,
    }
}
