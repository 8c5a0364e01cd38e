//! Jobs among the apps: asking for a run, and what is different where others are moved from version to version.

use crate::answers::{Until, Waiting};
use crate::app::App;
use crate::event::{Effect, What, WorkerResult};
use crate::id::{AppName, RequestId};
use crate::rollout::Ending;
use crate::seat::{About, Asked, Goal, Manner, Seat, Turn, Wish};
use crate::supervisor::Supervisor;

impl App {
    /// Whether its proven version is a job.
    pub(crate) fn is_job(&self) -> bool {
        self.specs.get(&self.goal.revision).is_some_and(|spec| spec.job.is_some())
    }

    /// Whether somebody has stopped it, or nobody has ever started it; it is in no rollout then.
    pub(crate) fn is_stopped(&self) -> bool {
        let is_job = self.is_job();
        let rests = |seat: &Seat| {
            seat.wish != Wish::Up && if is_job { seat.runs_of_job.paused } else { !seat.has_ended() }
        };
        self.rollout.is_none() && self.seats.iter().all(rests)
    }

    /// Whether runs of it are asked for by the clock.
    pub(crate) fn is_scheduled(&self) -> bool {
        let heeds = |seat: &Seat| {
            let job = seat.job(&self.specs).filter(|job| job.scheduled);
            job.is_some() && seat.wish != Wish::Gone && !seat.runs_of_job.paused
        };
        self.seats.iter().any(heeds)
    }

    /// Makes another version the wanted one at once. A run of a job goes on as it is: its successor is of that version.
    pub(crate) fn replace(&mut self, goal: Goal) -> Ending {
        let was_job = self.is_job();
        self.replace_goal(goal);
        let is_job = self.is_job();
        for seat in &mut self.seats {
            if is_job && seat.wanted.revision == goal.revision {
                // What it has come to stays true: there is nothing new.
                seat.wanted = goal;
            }
            seat.want(goal, Manner::StopFirst);
            if was_job != is_job && seat.wish != Wish::Gone {
                seat.change_kind(is_job);
            }
        }
        self.cancel_rollout()
    }
}

impl Supervisor {
    /// Whether runs of this app are asked for by the clock.
    pub fn is_scheduled(&self, app: &AppName) -> bool {
        self.apps.get(app).is_some_and(App::is_scheduled)
    }

    /// Whether this app is a job.
    pub fn is_job(&self, app: &AppName) -> bool {
        self.apps.get(app).is_some_and(App::is_job)
    }

    /// Asks for a run of a job. What is none has no runs to be asked for.
    pub(crate) fn run_job(
        &mut self,
        turn: &mut Turn<'_>,
        request: Option<RequestId>,
        name: &AppName,
        why: String,
    ) {
        let App { seats, specs, .. } = match self.apps.get_mut(name) {
            Some(app) if !turn.halting => app,
            Some(_) | None => return refuse(turn, request, Vec::new()),
        };
        let job = seats.iter_mut().find(|seat| seat.wish != Wish::Gone);
        let Some((seat, job)) = job.and_then(|seat| seat.job(specs).map(|job| (seat, job))) else {
            return refuse(turn, request, Vec::new());
        };
        let worker = seat.worker;
        let number = match seat.ask(turn, specs, job.overlap) {
            Asked::Taken(number) => number,
            Asked::Queued(number) => {
                turn.told.push((About::Worker(worker), What::Queued(why)));
                number
            }
            Asked::Skipped(reason) => {
                turn.told.push((About::Worker(worker), What::Skipped(format!("{reason} ({why})"))));
                let failure = Some(format!("not run: {reason}"));
                let result = WorkerResult { worker, app: name.clone(), failure, exit: None };
                return refuse(turn, request, vec![result]);
            }
        };
        if let Some(request) = request {
            let workers = vec![(worker, name.clone())];
            self.waiting.push(Waiting::new(request, workers, Until::Run(number)));
        }
    }
}

fn refuse(turn: &mut Turn<'_>, request: Option<RequestId>, results: Vec<WorkerResult>) {
    turn.effects.extend(request.map(|request| Effect::Answer { request, results }));
}
