//! Requests that wait, and when they are answered. Each is answered exactly once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::depends::went_well;
use crate::event::{Exit, WorkerResult};
use crate::id::{AppName, RequestId, WorkerId};
use crate::rollout::Outcome;
use crate::seat::{Rest, Seat, Wish};

/// The state that answers depend on.
pub(crate) struct Ground<'a> {
    pub(crate) apps: &'a BTreeMap<AppName, App>,
    pub(crate) halting: bool,
}

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
    /// The job's run of this number has ended.
    Run(u64),
}

/// A request that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) request: RequestId,
    pub(crate) workers: Vec<(WorkerId, AppName)>,
    pub(crate) until: Until,
    /// Those that have been as wished. One that ends and starts again and again need not be so at the moment in which all others are.
    #[serde(default)]
    done: BTreeSet<WorkerId>,
}

/// `None`: not yet. Otherwise the result for this worker.
type Settled = Option<Result<(), String>>;

impl Waiting {
    pub(crate) fn new(request: RequestId, workers: Vec<(WorkerId, AppName)>, until: Until) -> Self {
        Self { request, workers, until, done: BTreeSet::new() }
    }

    /// What came of it, once that is settled for every worker.
    pub(crate) fn results(&mut self, ground: &Ground<'_>) -> Option<Vec<WorkerResult>> {
        let any_run = || ground.apps.values().flat_map(|app| &app.seats).any(|seat| !seat.runs.is_empty());
        if self.until == Until::Silence && any_run() {
            return None;
        }
        let settled = |(worker, app): &(WorkerId, AppName)| ground.settled(&self.until, app, *worker);
        let done = self.workers.iter().filter(|worker| settled(worker) == Some(Ok(())));
        self.done.extend(done.map(|(worker, _)| *worker));
        let result = |entry: &(WorkerId, AppName)| {
            let (worker, app) = entry;
            let was_done = || self.done.contains(worker).then_some(Ok(()));
            let failure = settled(entry).or_else(was_done)?.err();
            Some(WorkerResult {
                exit: ground.exit(&self.until, app, *worker),
                worker: *worker,
                app: app.clone(),
                failure,
            })
        };
        self.workers.iter().map(result).collect()
    }

    /// What came of a rollout.
    pub(crate) fn after_rollout(self, outcome: &Outcome, ground: &Ground<'_>) -> Vec<WorkerResult> {
        let failure = |worker, app: &AppName| match outcome {
            // Where nothing is to run any more, nothing was moved.
            Outcome::Done if ground.seat(app, worker).is_none_or(|seat| seat.wish != Wish::Up) => {
                Some("stopped meanwhile".to_owned())
            }
            Outcome::Done => None,
            Outcome::Failed(why) => Some(format!("the new one {why}; the old workers stay")),
            Outcome::Superseded => Some("another command took its place".to_owned()),
        };
        let result = |(worker, app)| WorkerResult { failure: failure(worker, &app), exit: None, worker, app };
        self.workers.into_iter().map(result).collect()
    }
}

impl Ground<'_> {
    fn seat(&self, app: &AppName, worker: WorkerId) -> Option<&Seat> {
        self.apps.get(app)?.seats.iter().find(|seat| seat.worker == worker)
    }

    fn settled(&self, until: &Until, app: &AppName, worker: WorkerId) -> Settled {
        let seat = self.seat(app, worker);
        match (until, seat) {
            _ if self.halting && *until == Until::Rollout => Some(Err("supd is stopping".to_owned())),
            (Until::Silence, _) | (Until::Gone | Until::Down | Until::Scaled, None) => Some(Ok(())),
            (Until::Rollout, Some(_)) => None,
            (Until::Rollout | Until::Up | Until::Run(_), None) => Some(Err("deleted meanwhile".to_owned())),
            (Until::Run(_), Some(seat)) if seat.wish == Wish::Gone => {
                Some(Err("deleted meanwhile".to_owned()))
            }
            (Until::Run(_), Some(_)) if self.halting => Some(Err("supd is stopping".to_owned())),
            (Until::Run(number), Some(seat)) => Some(match seat.outcome(*number)? {
                Ok(exit) if went_well(exit) => Ok(()),
                Ok(exit) => Err(exit.to_string()),
                Err(why) => Err(why.to_owned()),
            }),
            (Until::Scaled, Some(seat)) if seat.wish == Wish::Gone => None,
            (Until::Up | Until::Scaled, Some(_)) if self.is_job(app) => Some(Ok(())),
            (Until::Up | Until::Scaled, Some(seat)) => self.up(seat),
            (Until::Down, Some(seat)) => down(seat, Wish::Down),
            (Until::Gone, Some(seat)) => down(seat, Wish::Gone).filter(Result::is_err),
        }
    }

    /// As a job it is up by being known: its runs are another matter.
    fn is_job(&self, app: &AppName) -> bool {
        !self.halting && self.apps.get(app).is_some_and(App::is_job)
    }

    /// How the run ended that was waited for.
    fn exit(&self, until: &Until, app: &AppName, worker: WorkerId) -> Option<Exit> {
        let Until::Run(number) = until else { return None };
        self.seat(app, worker)?.outcome(*number)?.ok().cloned()
    }

    fn up(&self, seat: &Seat) -> Settled {
        match (&seat.rest, seat.wish) {
            _ if self.halting => Some(Err("supd is stopping".to_owned())),
            (Rest::Waiting { why, .. } | Rest::Ended { why, .. } | Rest::Errored { why }, _) => {
                Some(Err(why.clone()))
            }
            (Rest::None, Wish::Up) => match &seat.held {
                Some(held) if !held.hopeful => Some(Err(held.why.clone())),
                Some(_) | None => seat.is_settled().then_some(Ok(())),
            },
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
