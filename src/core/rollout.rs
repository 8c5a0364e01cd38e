//! Moving the workers of an app to another generation, a few at a time, and back when that fails.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::clock::Mono;
use crate::event::What;
use crate::id::{AppName, RequestId, RevisionId};
use crate::seat::{About, Failure, Goal, Manner, Seat, Specs, Turn, Wish};

/// A rollout in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    /// Who waits for it; `None` on the way back, when the answer has been given, and where nobody has asked.
    pub(crate) request: Option<RequestId>,
    /// What to go back to.
    pub(crate) from: Goal,
    /// Where to.
    pub(crate) to: Goal,
    /// Why it is on the way back, if it is.
    pub(crate) back: Option<String>,
    /// When it has failed if it has not ended.
    #[serde(default)]
    pub(crate) until: Option<Mono>,
    /// What it moves from was serving when it began.
    #[serde(default)]
    proven: bool,
    /// So many workers are where they shall be, as last told.
    #[serde(default)]
    pub(crate) moved: u32,
}

/// The time after a rollout in which a crash loop takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probation {
    /// What to go back to.
    pub(crate) from: Goal,
    /// What was before that.
    pub(crate) before: Option<RevisionId>,
    pub(crate) until: Mono,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed(String),
    Superseded,
}

/// What follows for the one who waits.
pub(crate) type Ending = Option<(RequestId, Outcome)>;

impl App {
    /// Starts moving to `to`, or turns a rollout in progress towards it.
    pub(crate) fn begin_rollout(&mut self, to: Goal, request: RequestId, until: Option<Mono>) -> Ending {
        let before = self.turn_rollout(to, until);
        self.probation = None;
        if let Some(rollout) = &mut self.rollout {
            rollout.request = Some(request);
        }
        before.map(|request| (request, Outcome::Superseded))
    }

    /// Starts moving to new processes of the version it is at, or moving to. Whoever waits for a rollout in progress waits on,
    /// and a version on probation stays on it.
    pub(crate) fn renew_gently(&mut self, to: Goal) {
        let until = self.rollout.as_ref().and_then(|rollout| rollout.until);
        let request = self.turn_rollout(to, until);
        if let Some(rollout) = &mut self.rollout {
            rollout.request = request;
        }
    }

    /// A rollout to `to` without anybody who waits for it, in place of the one there is; who waits for that is returned.
    fn turn_rollout(&mut self, to: Goal, until: Option<Mono>) -> Option<RequestId> {
        let before = self.rollout.take();
        let (from, proven) = match &before {
            Some(Rollout { back: None, from, proven, .. }) => (*from, *proven),
            Some(Rollout { back: Some(_), to, .. }) => (*to, self.serves(*to)),
            None => (self.goal, self.serves(self.goal)),
        };
        for seat in self.seats.iter_mut().filter(|seat| !seat.is_settled()) {
            match seat.serving().map(|run| run.goal) {
                // On its way to a former target: it stays with what serves now until its turn comes.
                Some(serving) => seat.want(serving, Manner::StartFirst),
                // Nothing to protect: it need not wait.
                None => seat.want(to, Manner::StopFirst),
            }
        }
        self.notice = None;
        self.rollout = Some(Rollout { request: None, from, to, back: None, until, proven, moved: 0 });
        before.and_then(|rollout| rollout.request)
    }

    fn serves(&self, goal: Goal) -> bool {
        self.seats.iter().filter_map(Seat::serving).any(|run| run.goal == goal && run.unfit.is_none())
    }

    /// Ends a rollout because another wish has taken its place.
    pub(crate) fn cancel_rollout(&mut self) -> Ending {
        self.rollout.take().and_then(|rollout| rollout.request).map(|request| (request, Outcome::Superseded))
    }

    /// A run of the target failed: the old generation stays, moved workers go back. After the rollout one failure is an
    /// accident, a second one in a row within the probation is a crash loop.
    pub(crate) fn on_failure(&mut self, turn: &mut Turn<'_>, name: &AppName, failure: &Failure) -> Ending {
        match (&self.rollout, &self.probation) {
            (Some(rollout), _) if rollout.to.generation == failure.generation => {
                self.go_back(turn, name, &failure.why)
            }
            (None, Some(_)) if self.goal.generation == failure.generation && failure.again => {
                self.roll_back(turn, name, &failure.why);
                None
            }
            _ => None,
        }
    }

    fn go_back(&mut self, turn: &mut Turn<'_>, name: &AppName, why: &str) -> Ending {
        let rollout = self.rollout.as_mut().filter(|rollout| rollout.back.is_none())?;
        rollout.back = Some(why.to_owned());
        rollout.until = None;
        (rollout.from, rollout.to) = (rollout.to, rollout.from);
        let request = rollout.request.take();
        self.notice = Some(format!("the last reload was taken back: the new one {why}"));
        turn.told.push((About::App(name.clone()), What::ReloadFailed(why.to_owned())));
        self.keep_what_is_old();
        request.map(|request| (request, Outcome::Failed(why.to_owned())))
    }

    fn roll_back(&mut self, turn: &mut Turn<'_>, name: &AppName, why: &str) {
        let Some(Probation { from: old, before, .. }) = self.probation.take() else { return };
        self.previous = before;
        self.notice = Some(format!("rolled back to revision {}: the new one {why}, and again", old.revision));
        turn.told.push((About::App(name.clone()), What::RolledBack(why.to_owned())));
        let (back, from) = (Some(why.to_owned()), self.goal);
        self.rollout =
            Some(Rollout { request: None, from, to: old, back, until: None, proven: false, moved: 0 });
        self.keep_what_is_old();
    }

    /// On the way back: seats that still have the old one keep it, and those without anything need not wait.
    fn keep_what_is_old(&mut self) {
        let Some(old) = self.rollout.as_ref().map(|rollout| rollout.to) else { return };
        for seat in &mut self.seats {
            let keeps_old = seat.runs.iter().any(|run| run.goal == old && run.phase.is_active());
            if keeps_old || seat.fresh().is_none() {
                seat.want(old, seat.manner);
            }
        }
    }

    /// Deadlines of the app as a whole.
    pub(crate) fn on_time(&mut self, turn: &mut Turn<'_>, name: &AppName) -> Ending {
        if self.probation.as_ref().is_some_and(|probation| probation.until <= turn.now.mono) {
            self.probation = None;
        }
        let late =
            self.rollout.as_ref().is_some_and(|rollout| rollout.until.is_some_and(|at| at <= turn.now.mono));
        if late { self.go_back(turn, name, "was not in place in time") } else { None }
    }

    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        let rollout = self.rollout.as_ref().and_then(|rollout| rollout.until);
        let probation = self.probation.as_ref().map(|probation| probation.until);
        self.seats.iter().filter_map(Seat::next_deadline).chain(rollout).chain(probation).min()
    }

    /// Moves on: as many workers at a time as the target's spec allows.
    pub(crate) fn advance_rollout(&mut self, turn: &mut Turn<'_>, name: &AppName) -> Ending {
        let rollout = self.rollout.as_mut()?;
        if rollout.back.is_none() && self.seats.iter().all(|seat| seat.wish != Wish::Up) {
            // Everything was stopped on the way, so nothing has proven the new one: the next start takes the old.
            let from = rollout.from;
            self.seats.iter_mut().for_each(|seat| seat.want(from, Manner::StopFirst));
            return self.cancel_rollout().map(|(request, _)| (request, Outcome::Done));
        }
        let to = rollout.to;
        let pace = pace(&self.specs, to);
        let arrived = |seat: &&Seat| seat.wish == Wish::Up && seat.wanted == to;
        let mut starting = self.seats.iter().filter(arrived).filter(|seat| !seat.is_settled()).count();
        let leaving = self.seats.iter().filter(arrived).filter(|seat| seat.is_settled() && seat.is_leaving());
        let leaving = leaving.count();
        for seat in self.seats.iter_mut().filter(|seat| seat.wish == Wish::Up && seat.wanted != to) {
            if starting < pace.surge && starting + leaving < pace.parallel {
                seat.want(to, pace.manner);
                starting += 1;
            }
        }
        // A seat that is down takes the new generation when it is started again.
        for seat in self.seats.iter_mut().filter(|seat| seat.wish != Wish::Up) {
            seat.want(to, pace.manner);
        }
        let up = self.seats.iter().filter(|seat| seat.wish == Wish::Up);
        let (moved, of) =
            (up.clone().filter(|seat| seat.wanted == to && seat.is_settled()).count(), up.count());
        let forward = rollout.back.is_none();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if forward && rollout.moved != count(moved) {
            rollout.moved = count(moved);
            turn.told.push((About::App(name.clone()), What::ReloadMoved(count(moved), count(of))));
        }
        if moved < of { None } else { self.arrive(turn, name) }
    }

    /// The rollout is done.
    fn arrive(&mut self, turn: &mut Turn<'_>, name: &AppName) -> Ending {
        let Rollout { request, from, to, back, proven, .. } = self.rollout.take()?;
        turn.save |= self.goal.revision != to.revision;
        self.goal = to;
        if back.is_none() {
            turn.told.push((About::App(name.clone()), What::ReloadDone));
            if from.revision != to.revision {
                let before = self.previous.replace(from.revision);
                let watch = self.specs.get(&to.revision).map_or(Duration::ZERO, |spec| spec.watch);
                let until = turn.now.mono + watch;
                self.probation = (proven && !watch.is_zero()).then_some(Probation { from, before, until });
            }
        }
        request.map(|request| (request, Outcome::Done))
    }
}

/// How fast workers may be replaced.
pub(crate) struct Pace {
    /// So many may be starting.
    pub(crate) surge: usize,
    /// So many may be on the move, counting those whose predecessor has not gone.
    parallel: usize,
    pub(crate) manner: Manner,
}

/// By the spec of what they are moved to.
pub(crate) fn pace(specs: &Specs, to: Goal) -> Pace {
    match specs.get(&to.revision) {
        Some(spec) => {
            let parallel = spec.parallel.max(1) as usize;
            match spec.overlap {
                true => Pace { surge: spec.surge.max(1) as usize, parallel, manner: Manner::StartFirst },
                false => Pace { surge: parallel, parallel, manner: Manner::StopFirst },
            }
        }
        None => Pace { surge: 1, parallel: 1, manner: Manner::StopFirst },
    }
}
