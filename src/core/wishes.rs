//! What is wished, written down. Nothing is done about it here: reconciling does that.

use std::time::Duration;

use crate::answers::{Until, Waiting};
use crate::app::App;
use crate::event::{Effect, Exit, Recalled, What, WorkerResult};
use crate::id::{AppName, Generation, RequestId, RevisionId, WorkerId};
use crate::rollout::Outcome;
use crate::seat::{About, Goal, Rest, Seat, Specs, Turn, Wish};
use crate::spec::Spec;
use crate::supervisor::Supervisor;

/// A new version of an app.
pub(crate) struct Release {
    pub(crate) revision: RevisionId,
    pub(crate) spec: Box<Spec>,
    /// In a rollout.
    pub(crate) gently: bool,
    /// A rollout that has not ended after so long goes back.
    pub(crate) timeout: Option<Duration>,
    /// What was stopped stays so.
    pub(crate) rests: bool,
}

impl Supervisor {
    pub(crate) fn apply(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        release: Release,
    ) {
        let Release { revision, spec, gently, timeout, rests } = release;
        let goal = self.new_goal(revision);
        let known = self.apps.contains_key(name);
        let app = self.apps.entry(name.clone()).or_insert_with(|| App::new(goal));
        let (is_job, was_job) = (spec.job.is_some(), app.is_job());
        let (count, starts) = (app.count_by(&spec), (known || spec.autostart) && !rests);
        let gently = known && gently && !is_job && !was_job;
        app.specs.insert(revision, *spec);
        let superseded = if gently {
            app.begin_rollout(goal, request, timeout.map(|timeout| turn.now.mono + timeout))
        } else {
            app.replace(goal)
        };
        let App { seats, specs, .. } = app;
        seats.iter_mut().for_each(|seat| seat.wish_start(specs));
        let wish = if starts && !is_job { Wish::Up } else { Wish::Down };
        app.resize(count, goal, wish, &mut self.next_worker, turn);
        if !starts {
            app.seats.iter_mut().for_each(Seat::wish_stop);
        }
        let until = match wish {
            Wish::Up if gently => Until::Rollout,
            Wish::Up => Until::Up,
            Wish::Down | Wish::Gone if starts => Until::Up,
            Wish::Down | Wish::Gone => Until::Down,
        };
        turn.save = true;
        if gently {
            turn.told.push((About::App(name.clone()), What::ReloadBegan(count)));
        }
        self.wait(request, name, until);
        self.superseded(superseded, turn);
    }

    /// Seats that stay are not waited for: nothing happens to them.
    pub(crate) fn amend(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        (revision, spec): (RevisionId, Box<Spec>),
    ) {
        let as_it_runs = |app: &&mut App| app.rollout.is_none() && app.is_job() == spec.job.is_some();
        let Some(app) = self.apps.get_mut(name).filter(as_it_runs) else {
            let rests = self.apps.get(name).is_some_and(App::is_stopped);
            let release = Release { revision, spec, gently: true, timeout: None, rests };
            return self.apply(turn, request, name, release);
        };
        let before: Vec<WorkerId> = app.seats.iter().map(|seat| seat.worker).collect();
        let is_up = app.seats.iter().any(|seat| seat.wish == Wish::Up);
        let wish = if is_up { Wish::Up } else { Wish::Down };
        let count = app.count_by(&spec);
        app.specs.insert(revision, *spec);
        app.amend(revision);
        app.resize(count, app.goal, wish, &mut self.next_worker, turn);
        let moves = |seat: &&Seat| match seat.wish {
            Wish::Up => !before.contains(&seat.worker),
            Wish::Gone => true,
            Wish::Down => false,
        };
        let workers = app.seats.iter().filter(moves).map(|seat| (seat.worker, name.clone())).collect();
        self.waiting.push(Waiting::new(request, workers, Until::Scaled));
    }

    pub(crate) fn recall(
        &mut self,
        turn: &mut Turn<'_>,
        name: AppName,
        (revision, spec): (RevisionId, Box<Spec>),
        seats: &[Recalled],
        previous: Option<(RevisionId, Box<Spec>)>,
    ) {
        let goal = self.new_goal(revision);
        let mut app = App::new(goal);
        app.scaling.since = turn.now.wall;
        app.specs.insert(revision, *spec);
        if let Some((revision, spec)) = previous {
            app.previous = Some(revision);
            app.specs.insert(revision, *spec);
        }
        for recalled in seats {
            let wish = if recalled.up && !app.is_job() { Wish::Up } else { Wish::Down };
            let mut seat = Seat::new(recalled.worker, recalled.instance, wish, goal, turn.now.wall);
            if recalled.completed {
                seat.rest = Rest::Ended { why: Exit::Code(0).to_string(), well: true };
            }
            seat.runs_of_job.paused = !recalled.up;
            seat.last_exit = recalled.last.clone();
            app.seats.push(seat);
            self.next_worker = self.next_worker.max(recalled.worker.0.saturating_add(1));
        }
        app.seats.sort_by_key(|seat| seat.instance);
        self.apps.entry(name).or_insert(app);
    }

    pub(crate) fn reload(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        timeout: Option<Duration>,
    ) {
        let revision = self.revision(name);
        self.move_to(turn, request, name, revision, timeout);
    }

    pub(crate) fn rollback(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        timeout: Option<Duration>,
    ) {
        let revision = self.previous(name);
        self.move_to(turn, request, name, revision, timeout);
    }

    /// Where a worker can have one process only and there is no other worker, that is a restart.
    pub(crate) fn renew(&mut self, turn: &mut Turn<'_>, name: &AppName, why: String) {
        let Some(revision) = self.revision(name).filter(|_| !turn.halting) else { return };
        let goal = self.new_goal(revision);
        let Some(app) = self.apps.get_mut(name) else { return };
        if !app.is_renewable() {
            return;
        }
        for seat in app.seats.iter_mut().filter(|seat| seat.has_ended()) {
            seat.wish_up();
            turn.save = true;
        }
        let up = app.seats.iter().filter(|seat| seat.wish == Wish::Up).count();
        turn.told.push((About::App(name.clone()), What::Renewed(why)));
        let gently =
            up > 1 || app.rollout.is_some() || app.specs.get(&revision).is_some_and(|spec| spec.overlap);
        if gently {
            app.renew_gently(goal);
            let of = u32::try_from(up).unwrap_or(u32::MAX);
            turn.told.push((About::App(name.clone()), What::ReloadBegan(of)));
        } else {
            let App { seats, specs, .. } = app;
            seats.iter_mut().filter(|seat| seat.wish == Wish::Up).for_each(|seat| seat.restart(turn, specs));
        }
    }

    fn move_to(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        revision: Option<RevisionId>,
        timeout: Option<Duration>,
    ) {
        let Some(revision) = revision else { return self.nothing_to_move_to(turn, request, name) };
        let goal = self.new_goal(revision);
        let Some(app) = self.apps.get_mut(name) else { return };
        turn.save = true;
        let rolls = !app.is_job() && app.specs.get(&revision).is_some_and(|spec| spec.job.is_none());
        let superseded = match rolls {
            true => app.begin_rollout(goal, request, timeout.map(|timeout| turn.now.mono + timeout)),
            false => app.replace(goal),
        };
        let App { seats, specs, .. } = app;
        seats.iter_mut().filter(|seat| seat.wish != Wish::Gone).for_each(|seat| seat.wish_start(specs));
        if !rolls {
            self.wait(request, name, Until::Up);
            return self.superseded(superseded, turn);
        }
        let of = u32::try_from(app.seats.len()).unwrap_or(u32::MAX);
        turn.told.push((About::App(name.clone()), What::ReloadBegan(of)));
        self.wait(request, name, Until::Rollout);
        self.superseded(superseded, turn);
    }

    /// An unknown app, or one without an earlier version.
    fn nothing_to_move_to(&self, turn: &mut Turn<'_>, request: RequestId, name: &AppName) {
        let seats = self.apps.get(name).into_iter().flat_map(|app| &app.seats);
        let failure = |seat: &Seat| WorkerResult {
            worker: seat.worker,
            app: name.clone(),
            failure: Some("there is no earlier version".to_owned()),
            exit: None,
        };
        turn.effects.push(Effect::Answer { request, results: seats.map(failure).collect() });
    }

    pub(crate) fn scale(&mut self, turn: &mut Turn<'_>, request: RequestId, name: &AppName, count: u32) {
        if let Some(app) = self.apps.get_mut(name).filter(|app| !app.is_job()) {
            let goal = app.rollout.as_ref().map_or(app.goal, |rollout| rollout.to);
            let count = app.scaled_by_hand(count);
            app.resize(count, goal, Wish::Up, &mut self.next_worker, turn);
        }
        let concerned = |seat: &&Seat| seat.wish != Wish::Down;
        let workers = self.apps.get(name).into_iter().flat_map(|app| app.seats.iter().filter(concerned));
        let workers = workers.map(|seat| (seat.worker, name.clone())).collect();
        self.waiting.push(Waiting::new(request, workers, Until::Scaled));
    }

    /// Applies one wish to the seats of these workers and waits for it.
    pub(crate) fn wish(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        workers: &[WorkerId],
        until: Until,
        wish: impl Fn(&mut Seat, &mut Turn<'_>, &Specs),
    ) {
        let mut concerned = Vec::new();
        for (name, app) in &mut self.apps {
            for seat in app.seats.iter_mut().filter(|seat| workers.contains(&seat.worker)) {
                if seat.wish != Wish::Gone || until != Until::Down {
                    wish(seat, turn, &app.specs);
                }
                concerned.push((seat.worker, name.clone()));
            }
        }
        turn.save |= !concerned.is_empty();
        self.waiting.push(Waiting::new(request, concerned, until));
    }

    /// Nothing waits for it: it has no part in what runs.
    pub(crate) fn reset(&mut self, workers: &[WorkerId]) {
        let seats = self.apps.values_mut().flat_map(|app| &mut app.seats);
        seats.filter(|seat| workers.contains(&seat.worker)).for_each(Seat::forget_failures);
    }

    pub(crate) fn new_goal(&mut self, revision: RevisionId) -> Goal {
        self.next_generation += 1;
        Goal { generation: Generation(self.next_generation), revision }
    }

    pub(crate) fn wait(&mut self, request: RequestId, app: &AppName, until: Until) {
        let live = |seat: &&Seat| seat.wish != Wish::Gone;
        let workers = self.apps.get(app).into_iter().flat_map(|known| known.seats.iter().filter(live));
        let workers = workers.map(|seat| (seat.worker, app.clone())).collect();
        self.waiting.push(Waiting::new(request, workers, until));
    }

    pub(crate) fn superseded(&mut self, ended: Option<(RequestId, Outcome)>, turn: &mut Turn<'_>) {
        if let Some((request, outcome)) = ended {
            self.answer_rollout(request, &outcome, &mut turn.effects);
        }
    }
}
