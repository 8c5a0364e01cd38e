//! Moving the workers of an app to another generation, a few at a time, and back when that fails.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::id::RequestId;
use crate::seat::{Failure, Goal, Manner, Seat, Specs, Turn, Wish};

/// A rollout in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rollout {
    /// Who waits for it; `None` on the way back, when the answer has been given.
    pub(crate) request: Option<RequestId>,
    /// What to go back to.
    pub(crate) from: Goal,
    /// Where to.
    pub(crate) to: Goal,
    /// Why it is on the way back, if it is.
    pub(crate) back: Option<String>,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed(String),
    Superseded,
}

impl App {
    /// Starts moving to `to`, or turns a rollout in progress towards it.
    pub(crate) fn begin_rollout(&mut self, to: Goal, request: RequestId) -> Option<(RequestId, Outcome)> {
        let before = self.rollout.take();
        let from = match &before {
            Some(Rollout { back: None, from, .. }) => *from,
            Some(Rollout { back: Some(_), to, .. }) => *to,
            None => self.goal,
        };
        for seat in self.seats.iter_mut().filter(|seat| !seat.is_settled()) {
            match seat.serving().map(|run| run.goal) {
                // On its way to a former target: it stays with what serves now until its turn comes.
                Some(serving) => seat.want(serving, Manner::StartFirst),
                // Nothing to protect: it need not wait.
                None => seat.want(to, Manner::StopFirst),
            }
        }
        self.rollout = Some(Rollout { request: Some(request), from, to, back: None });
        before.and_then(|rollout| rollout.request).map(|request| (request, Outcome::Superseded))
    }

    /// Ends a rollout because another wish has taken its place.
    pub(crate) fn cancel_rollout(&mut self) -> Option<(RequestId, Outcome)> {
        self.rollout.take().and_then(|rollout| rollout.request).map(|request| (request, Outcome::Superseded))
    }

    /// A run of the target failed: the old generation stays, moved workers go back.
    pub(crate) fn on_failure(&mut self, failure: &Failure) -> Option<(RequestId, Outcome)> {
        let rollout = self.rollout.as_mut()?;
        if rollout.back.is_some() || failure.generation != rollout.to.generation {
            return None;
        }
        rollout.back = Some(failure.why.clone());
        (rollout.from, rollout.to) = (rollout.to, rollout.from);
        let old = rollout.to;
        let request = rollout.request.take();
        for seat in &mut self.seats {
            let keeps_old = seat.runs.iter().any(|run| run.goal == old && run.phase.is_active());
            if keeps_old || seat.fresh().is_none() {
                seat.want(old, seat.manner);
            }
        }
        request.map(|request| (request, Outcome::Failed(failure.why.clone())))
    }

    /// Moves on: as many workers at a time as the target's spec allows.
    pub(crate) fn advance_rollout(&mut self, turn: &mut Turn<'_>) -> Option<(RequestId, Outcome)> {
        let rollout = self.rollout.as_mut()?;
        if rollout.back.is_none() && self.seats.iter().all(|seat| seat.wish != Wish::Up) {
            // Everything was stopped on the way, so nothing has proven the new one: the next start takes the old.
            let from = rollout.from;
            self.seats.iter_mut().for_each(|seat| seat.want(from, Manner::StopFirst));
            return self.cancel_rollout().map(|(request, _)| (request, Outcome::Done));
        }
        let to = rollout.to;
        let (surge, manner) = pace(&self.specs, to);
        let moving = |seat: &&mut Seat| seat.wish == Wish::Up && seat.wanted == to && !seat.is_settled();
        let mut in_flight = self.seats.iter_mut().filter(moving).count();
        for seat in self.seats.iter_mut().filter(|seat| seat.wish == Wish::Up) {
            if seat.wanted != to && in_flight < surge {
                seat.want(to, manner);
                in_flight += 1;
            }
        }
        // A seat that is down takes the new generation when it is started again.
        for seat in self.seats.iter_mut().filter(|seat| seat.wish != Wish::Up) {
            seat.want(to, manner);
        }
        if in_flight > 0 {
            return None;
        }
        let request = rollout.request.take();
        self.rollout = None;
        turn.save |= self.goal.revision != to.revision;
        self.goal = to;
        request.map(|request| (request, Outcome::Done))
    }
}

fn pace(specs: &Specs, to: Goal) -> (usize, Manner) {
    match specs.get(&to.revision) {
        Some(spec) if spec.overlap => (spec.surge.max(1) as usize, Manner::StartFirst),
        Some(spec) => (spec.surge.max(1) as usize, Manner::StopFirst),
        None => (1, Manner::StopFirst),
    }
}
