//! Requests that wait, and when they are answered. Each is answered exactly once.

use serde::{Deserialize, Serialize};

use crate::event::{Effect, WorkerResult};
use crate::id::{AppName, RequestId, WorkerId};
use crate::rollout::Outcome;
use crate::seat::{Rest, Seat, Wish};
use crate::supervisor::Supervisor;

/// What a request waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// These workers are up, or have failed to be.
    Up,
    /// Of these workers, those that stay are up and the others are no more.
    Scaled,
    /// Nothing of these workers runs.
    Down,
    /// These workers are no more.
    Gone,
    /// The rollout of the app says so.
    Rollout,
    /// Nothing runs at all.
    Silence,
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) workers: Vec<(WorkerId, AppName)>,
    pub(crate) until: Until,
}

/// `None`: not yet. Otherwise the result for this worker.
type Settled = Option<Result<(), String>>;

impl Supervisor {
    /// Answers what can be answered.
    pub(crate) fn answers(&mut self, effects: &mut Vec<Effect>) {
        let waiting = std::mem::take(&mut self.waiting);
        for entry in waiting {
            let results: Option<Vec<WorkerResult>> = entry
                .workers
                .iter()
                .map(|(worker, app)| {
                    let failure = self.settled(&entry.until, app, *worker)?.err();
                    Some(WorkerResult { worker: *worker, app: app.clone(), failure })
                })
                .collect();
            match results {
                Some(_) if entry.until == Until::Silence && self.has_runs() => self.waiting.push(entry),
                Some(results) => effects.push(Effect::Answer { request: entry.request, results }),
                None => self.waiting.push(entry),
            }
        }
    }

    /// Answers the request of a rollout that has ended.
    pub(crate) fn answer_rollout(
        &mut self,
        request: RequestId,
        outcome: &Outcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.waiting.iter().position(|entry| entry.request == request) else { return };
        let entry = self.waiting.remove(index);
        let failure = match outcome {
            Outcome::Done => None,
            Outcome::Failed(why) => Some(format!("the new one {why}; the old workers stay")),
            Outcome::Superseded => Some("another command took its place".to_owned()),
        };
        let results = entry
            .workers
            .into_iter()
            .map(|(worker, app)| {
                // Where nothing is to run any more, nothing was moved.
                let up = self.seat(&app, worker).is_some_and(|seat| seat.wish == Wish::Up);
                let failure = failure.clone().or_else(|| (!up).then(|| "stopped meanwhile".to_owned()));
                WorkerResult { worker, app, failure }
            })
            .collect();
        effects.push(Effect::Answer { request, results });
    }

    fn settled(&self, until: &Until, app: &AppName, worker: WorkerId) -> Settled {
        let seat = self.seat(app, worker);
        match (until, seat) {
            _ if self.halting && *until == Until::Rollout => Some(Err("supd is stopping".to_owned())),
            (Until::Silence, _) | (Until::Gone | Until::Down | Until::Scaled, None) => Some(Ok(())),
            (Until::Rollout, Some(_)) => None,
            (Until::Rollout | Until::Up, None) => Some(Err("deleted meanwhile".to_owned())),
            (Until::Scaled, Some(seat)) if seat.wish == Wish::Gone => None,
            (Until::Up | Until::Scaled, Some(seat)) => self.up(seat),
            (Until::Down, Some(seat)) => down(seat, Wish::Down),
            (Until::Gone, Some(seat)) => down(seat, Wish::Gone).filter(Result::is_err),
        }
    }

    fn up(&self, seat: &Seat) -> Settled {
        match (&seat.rest, seat.wish) {
            _ if self.halting => Some(Err("supd is stopping".to_owned())),
            (Rest::Waiting { why, .. } | Rest::Ended { why } | Rest::Errored { why }, _) => {
                Some(Err(why.clone()))
            }
            (Rest::None, Wish::Up) => seat.is_settled().then_some(Ok(())),
            (Rest::None, Wish::Down | Wish::Gone) => Some(Err("stopped meanwhile".to_owned())),
        }
    }
}

fn down(seat: &Seat, wish: Wish) -> Settled {
    match seat.wish {
        Wish::Up => Some(Err("started again meanwhile".to_owned())),
        Wish::Down if wish == Wish::Gone => Some(Err("kept meanwhile".to_owned())),
        Wish::Down | Wish::Gone => seat.runs.is_empty().then_some(Ok(())),
    }
}
