//! The state, and the one way to change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answers::{Ground, Until, Waiting};
use crate::app::App;
use crate::clock::{Mono, Now};
use crate::event::{Effect, Event, Exit, Known, KnownState, Recalled};
use crate::id::{AppName, Generation, RequestId, RevisionId, RunId, WorkerId};
use crate::phase::Fact;
use crate::rollout::Outcome;
use crate::seat::{Failure, Goal, Manner, Seat, Specs, Turn, Wish};
use crate::spec::Spec;

/// Everything known and everything wished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    pub(crate) apps: BTreeMap<AppName, App>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) halting: bool,
    next_run: u64,
    next_worker: u32,
    next_generation: u64,
}

/// Everything a supervisor must hand to its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SNAPSHOT_VERSION`] of the writer.
    pub version: u32,
    state: Supervisor,
}

/// Version of [`Snapshot`]. A field may be added with a default; anything else is a new version with a conversion.
pub const SNAPSHOT_VERSION: u32 = 1;

impl Supervisor {
    /// Handles one event. Total: any event is legal in any state.
    #[must_use = "effects are orders; dropping them breaks the world"]
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut next_run = self.next_run;
        let mut turn =
            Turn { now, halting: self.halting, next_run: &mut next_run, effects: Vec::new(), save: false };
        self.record(&mut turn, event);
        turn.halting = self.halting;
        self.reconcile(&mut turn);
        let (mut effects, save) = (turn.effects, turn.save);
        self.next_run = next_run;
        if save {
            effects.push(Effect::Save);
        }
        self.sweep_apps(&mut effects);
        self.answers(&mut effects);
        effects
    }

    /// When to call [`Supervisor::handle`] with [`Event::Tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.seats().filter_map(|(_, seat)| seat.next_deadline()).min()
    }

    /// Everything known, to survive a change of supervisor.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { version: SNAPSHOT_VERSION, state: self.clone() }
    }

    /// Goes on from a snapshot. The next event should be [`Event::Resync`].
    ///
    /// # Errors
    /// The snapshot's version, if this supervisor cannot read it.
    pub fn restore(snapshot: Snapshot) -> Result<Self, u32> {
        if snapshot.version == SNAPSHOT_VERSION { Ok(snapshot.state) } else { Err(snapshot.version) }
    }

    /// What is entrusted to us, for the ledger: each app with its proven revision and its seats.
    pub fn entrusted(&self) -> impl Iterator<Item = (&AppName, RevisionId, Vec<Recalled>)> {
        self.apps.iter().filter_map(|(name, app)| {
            let seats: Vec<Recalled> = app
                .seats
                .iter()
                .filter(|seat| seat.wish != Wish::Gone)
                .map(|seat| Recalled {
                    worker: seat.worker,
                    instance: seat.instance,
                    up: seat.wish == Wish::Up,
                })
                .collect();
            (!seats.is_empty()).then_some((name, app.goal.revision, seats))
        })
    }

    // ---- record ----------------------------------------------------------------------------------------------

    fn record(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::Apply { request, app, revision, spec, gently } => {
                self.apply(turn, request, &app, revision, spec, gently);
            }
            Event::Recall { app, revision, spec, seats } => self.recall(turn, app, revision, spec, &seats),
            Event::Start { request, workers } => {
                self.wish(turn, request, &workers, Until::Up, |seat, _, _| seat.wish_up());
            }
            Event::Stop { request, workers } => {
                self.wish(turn, request, &workers, Until::Down, |seat, _, _| seat.wish_away(Wish::Down));
            }
            Event::Restart { request, workers } => {
                self.wish(turn, request, &workers, Until::Up, Seat::restart)
            }
            Event::Delete { request, workers } => {
                self.wish(turn, request, &workers, Until::Gone, |seat, _, _| seat.wish_away(Wish::Gone));
            }
            Event::Reload { request, app } => self.reload(turn, request, &app),
            Event::Scale { request, app, count } => self.scale(turn, request, &app, count),
            Event::Shutdown { request } => {
                self.halting = true;
                self.waiting.push(Waiting { request, workers: Vec::new(), until: Until::Silence });
            }
            Event::Spawned { run, pid } => self.fact(turn, run, &Fact::Spawned(pid), None),
            Event::NotStarted { run, why } => {
                self.fact(turn, run, &Fact::NotStarted, Some(Exit::NotStarted(why)));
            }
            Event::Ready { run } => self.fact(turn, run, &Fact::Ready, None),
            Event::Exited { run, exit, survivors } => {
                self.fact(turn, run, &Fact::Exited { survivors }, Some(exit));
            }
            Event::Gone { run } => self.fact(turn, run, &Fact::Gone, None),
            Event::Resync { known } => self.resync(turn, known),
            Event::Tick => {}
        }
    }

    fn apply(
        &mut self,
        turn: &mut Turn<'_>,
        request: RequestId,
        name: &AppName,
        revision: RevisionId,
        spec: Spec,
        gently: bool,
    ) {
        let goal = self.new_goal(revision);
        let known = self.apps.contains_key(name);
        let app = self.apps.entry(name.clone()).or_insert_with(|| App::new(goal));
        let (count, wish) = (spec.count, if known || spec.autostart { Wish::Up } else { Wish::Down });
        app.specs.insert(revision, spec);
        let superseded = if known && gently {
            app.begin_rollout(goal, request)
        } else {
            app.goal = goal;
            app.seats.iter_mut().for_each(|seat| seat.want(goal, Manner::StopFirst));
            app.cancel_rollout()
        };
        app.seats.iter_mut().for_each(Seat::wish_up);
        app.resize(count, goal, wish, &mut self.next_worker, turn);
        let until = match wish {
            Wish::Up if known && gently => Until::Rollout,
            Wish::Up => Until::Up,
            Wish::Down | Wish::Gone => Until::Down,
        };
        turn.save = true;
        self.wait(request, name, until);
        self.superseded(superseded, turn);
    }

    fn recall(
        &mut self,
        turn: &mut Turn<'_>,
        name: AppName,
        revision: RevisionId,
        spec: Spec,
        seats: &[Recalled],
    ) {
        let goal = self.new_goal(revision);
        let mut app = App::new(goal);
        app.specs.insert(revision, spec);
        for recalled in seats {
            let wish = if recalled.up { Wish::Up } else { Wish::Down };
            app.seats.push(Seat::new(recalled.worker, recalled.instance, wish, goal, turn.now.wall));
            self.next_worker = self.next_worker.max(recalled.worker.0.saturating_add(1));
        }
        app.seats.sort_by_key(|seat| seat.instance);
        self.apps.entry(name).or_insert(app);
    }

    fn reload(&mut self, turn: &mut Turn<'_>, request: RequestId, name: &AppName) {
        let Some(revision) =
            self.apps.get(name).map(|app| app.rollout.as_ref().map_or(app.goal, |to| to.to).revision)
        else {
            return self.wait(request, name, Until::Rollout);
        };
        let goal = self.new_goal(revision);
        let Some(app) = self.apps.get_mut(name) else { return };
        let superseded = app.begin_rollout(goal, request);
        app.seats.iter_mut().filter(|seat| seat.wish != Wish::Gone).for_each(Seat::wish_up);
        turn.save = true;
        self.wait(request, name, Until::Rollout);
        self.superseded(superseded, turn);
    }

    fn scale(&mut self, turn: &mut Turn<'_>, request: RequestId, name: &AppName, count: u32) {
        if let Some(app) = self.apps.get_mut(name) {
            let goal = app.rollout.as_ref().map_or(app.goal, |rollout| rollout.to);
            app.resize(count, goal, Wish::Up, &mut self.next_worker, turn);
        }
        let concerned = |seat: &&Seat| seat.wish != Wish::Down;
        let workers = self.apps.get(name).into_iter().flat_map(|app| app.seats.iter().filter(concerned));
        let workers = workers.map(|seat| (seat.worker, name.clone())).collect();
        self.waiting.push(Waiting { request, workers, until: Until::Scaled });
    }

    /// Applies one wish to the seats of these workers and waits for it.
    fn wish(
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
        self.waiting.push(Waiting { request, workers: concerned, until });
    }

    fn fact(&mut self, turn: &mut Turn<'_>, run: RunId, fact: &Fact, exit: Option<Exit>) {
        let owner = self.apps.iter_mut().find_map(|(name, app)| {
            let seat = app.seats.iter().position(|seat| seat.runs.iter().any(|known| known.id == run))?;
            Some((name.clone(), app, seat))
        });
        let Some((_, app, seat)) = owner else { return stray(turn, run, fact) };
        let failure = app.seats[seat].record(turn, &app.specs, run, fact, exit);
        let ended = failure.and_then(|failure| app.on_failure(&failure));
        self.superseded(ended, turn);
    }

    /// Compares what is known with what there is, after a change of supervisor.
    fn resync(&mut self, turn: &mut Turn<'_>, known: Vec<Known>) {
        let lost: Vec<(RunId, bool)> = self
            .seats()
            .flat_map(|(_, seat)| &seat.runs)
            .filter(|run| !known.iter().any(|entry| entry.run == run.id))
            .map(|run| (run.id, run.pid.is_none()))
            .collect();
        for (run, never_ordered) in lost {
            if never_ordered {
                self.apps
                    .values_mut()
                    .flat_map(|app| &mut app.seats)
                    .for_each(|seat| seat.never_ordered(run));
            } else {
                self.fact(turn, run, &Fact::Gone, Some(Exit::Unknown));
            }
        }
        for Known { run, pid, state } in known {
            match state {
                KnownState::Spawning => {}
                KnownState::Alive => self.fact(turn, run, &Fact::Spawned(pid), None),
                KnownState::Exited { exit, survivors } => {
                    self.fact(turn, run, &Fact::Exited { survivors }, Some(exit));
                }
            }
        }
    }

    // ---- reconcile -------------------------------------------------------------------------------------------

    /// The rules, in fixed order: deadlines, surplus, missing, rollout. Then again for what the rollout has moved.
    fn reconcile(&mut self, turn: &mut Turn<'_>) {
        let mut outcomes: Vec<(RequestId, Outcome)> = Vec::new();
        for (name, app) in &mut self.apps {
            let failures: Vec<Failure> =
                app.seats.iter_mut().flat_map(|seat| seat.on_time(turn, &app.specs)).collect();
            outcomes.extend(failures.iter().filter_map(|failure| app.on_failure(failure)));
            app.settle(turn, name);
            while let Some(before) = app.rollout.clone().filter(|_| !turn.halting) {
                outcomes.extend(app.advance_rollout(turn));
                app.settle(turn, name);
                if app.rollout.as_ref() == Some(&before) {
                    break;
                }
            }
        }
        for (request, outcome) in outcomes {
            self.answer_rollout(request, &outcome, &mut turn.effects);
        }
    }

    /// Removes what is no more.
    fn sweep_apps(&mut self, effects: &mut Vec<Effect>) {
        for (name, app) in &mut self.apps {
            app.sweep(name, effects);
        }
        self.apps.retain(|_, app| !app.seats.is_empty());
        if self.apps.is_empty() {
            self.next_worker = 0;
        }
    }

    // ---- small change ----------------------------------------------------------------------------------------

    fn new_goal(&mut self, revision: RevisionId) -> Goal {
        self.next_generation += 1;
        Goal { generation: Generation(self.next_generation), revision }
    }

    fn wait(&mut self, request: RequestId, app: &AppName, until: Until) {
        let live = |seat: &&Seat| seat.wish != Wish::Gone;
        let workers = self.apps.get(app).into_iter().flat_map(|known| known.seats.iter().filter(live));
        let workers = workers.map(|seat| (seat.worker, app.clone())).collect();
        self.waiting.push(Waiting { request, workers, until });
    }

    fn superseded(&mut self, ended: Option<(RequestId, Outcome)>, turn: &mut Turn<'_>) {
        if let Some((request, outcome)) = ended {
            self.answer_rollout(request, &outcome, &mut turn.effects);
        }
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = (&AppName, &Seat)> {
        self.apps.iter().flat_map(|(name, app)| app.seats.iter().map(move |seat| (name, seat)))
    }

    /// Answers what can be answered.
    fn answers(&mut self, effects: &mut Vec<Effect>) {
        let ground = Ground { apps: &self.apps, halting: self.halting };
        self.waiting.retain(|entry| match entry.results(&ground) {
            Some(results) => {
                effects.push(Effect::Answer { request: entry.request, results });
                false
            }
            None => true,
        });
    }

    /// Answers the request of a rollout that has ended.
    fn answer_rollout(&mut self, request: RequestId, outcome: &Outcome, effects: &mut Vec<Effect>) {
        if let Some(index) = self.waiting.iter().position(|entry| entry.request == request) {
            let ground = Ground { apps: &self.apps, halting: self.halting };
            let results = self.waiting.remove(index).after_rollout(outcome, &ground);
            effects.push(Effect::Answer { request, results });
        }
    }
}

/// A run nobody here knows: it must not live, and need not be remembered.
fn stray(turn: &mut Turn<'_>, run: RunId, fact: &Fact) {
    match fact {
        Fact::Spawned(_) | Fact::Ready | Fact::Exited { survivors: true } => {
            turn.effects.push(Effect::Kill { run });
        }
        Fact::NotStarted | Fact::Gone | Fact::Exited { survivors: false } => {
            turn.effects.push(Effect::Forget { run });
        }
        Fact::Deadline => {}
    }
}
