//! The state, and the one way to change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::answers::{Ground, Until, Waiting};
use crate::app::App;
use crate::clock::{Mono, Now};
use crate::depends::Order;
use crate::event::{Effect, Event, Exit, Happening, Known, KnownState, Recalled, What};
use crate::id::{AppName, RequestId, RevisionId, RunId};
use crate::phase::Fact;
use crate::rollout::Outcome;
use crate::seat::{About, Failure, Rest, Seat, Turn, Wish};
use crate::spec::Spec;
use crate::wishes::Release;

/// Everything known and everything wished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervisor {
    pub(crate) apps: BTreeMap<AppName, App>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) halting: bool,
    next_run: u64,
    pub(crate) next_worker: u32,
    pub(crate) next_generation: u64,
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
        let mut turn = Turn {
            now,
            halting: self.halting,
            next_run: &mut next_run,
            effects: vec![],
            told: vec![],
            save: false,
        };
        self.record(&mut turn, event);
        turn.halting = self.halting;
        self.reconcile(&mut turn);
        let (mut effects, save, told) = (turn.effects, turn.save, turn.told);
        self.next_run = next_run;
        effects.extend(
            told.into_iter().filter_map(|(about, what)| self.happening(about, what)).map(Effect::Tell),
        );
        if save {
            effects.insert(0, Effect::Save);
        }
        self.sweep_apps(&mut effects);
        self.answers(&mut effects);
        effects
    }

    /// When to call [`Supervisor::handle`] with [`Event::Tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.apps.values().filter_map(App::next_deadline).min()
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

    /// Takes a spec anew from its declaration: a predecessor may have known fewer fields.
    pub fn respecify(&mut self, app: &AppName, revision: RevisionId, spec: Spec) {
        let known = self.apps.get_mut(app).and_then(|app| app.specs.get_mut(&revision));
        if let Some(known) = known {
            *known = spec;
        }
    }

    /// What is entrusted to us, for the ledger: each app with its proven revision, the one before, and its seats.
    pub fn entrusted(
        &self,
    ) -> impl Iterator<Item = (&AppName, RevisionId, Option<RevisionId>, Vec<Recalled>)> {
        self.apps.iter().filter_map(|(name, app)| {
            let seats: Vec<Recalled> = app
                .seats
                .iter()
                .filter(|seat| seat.wish != Wish::Gone)
                .map(|seat| Recalled {
                    worker: seat.worker,
                    instance: seat.instance,
                    up: match seat.job(&app.specs) {
                        Some(_) => !seat.runs_of_job.paused,
                        None => seat.wish == Wish::Up,
                    },
                    completed: matches!(seat.rest, Rest::Ended { well: true, .. }),
                    last: seat.job(&app.specs).and_then(|_| seat.last_exit.clone()),
                })
                .collect();
            (!seats.is_empty()).then_some((name, app.goal.revision, app.previous, seats))
        })
    }

    /// Whether [`Event::Renew`] would bring this app new processes.
    pub fn is_renewable(&self, app: &AppName) -> bool {
        self.apps.get(app).is_some_and(App::is_renewable)
    }

    // ---- record ----------------------------------------------------------------------------------------------

    fn record(&mut self, turn: &mut Turn<'_>, event: Event) {
        match event {
            Event::Apply { request, app, revision, spec, gently, timeout } => {
                self.apply(turn, request, &app, Release { revision, spec, gently, timeout, rests: false });
            }
            Event::Amend { request, app, revision, spec } => {
                self.amend(turn, request, &app, (revision, spec));
            }
            Event::Recall { app, revision, spec, seats, previous } => {
                self.recall(turn, app, (revision, spec), &seats, previous);
            }
            Event::Start { request, workers } => {
                self.wish(turn, request, &workers, Until::Up, |seat, _, specs| seat.wish_start(specs));
            }
            Event::Stop { request, workers } => {
                self.wish(turn, request, &workers, Until::Down, |seat, _, _| seat.wish_stop());
            }
            Event::Restart { request, workers } => {
                self.wish(turn, request, &workers, Until::Up, Seat::wish_restart)
            }
            Event::Run { request, app, why } => self.run_job(turn, request, &app, why),
            Event::Delete { request, workers } => {
                self.wish(turn, request, &workers, Until::Gone, |seat, _, _| seat.wish_away(Wish::Gone));
            }
            Event::Reset { workers } => self.reset(&workers),
            Event::Reload { request, app, timeout } => self.reload(turn, request, &app, timeout),
            Event::Renew { app, why } => self.renew(turn, &app, why),
            Event::Rollback { request, app, timeout } => self.rollback(turn, request, &app, timeout),
            Event::Scale { request, app, count } => self.scale(turn, request, &app, count),
            Event::Load { app, runs, available } => self.load(turn, &app, &runs, available),
            Event::Shutdown { request } => {
                self.halting = true;
                self.waiting.push(Waiting::new(request, Vec::new(), Until::Silence));
            }
            Event::Spawned { run, pid } => self.fact(turn, run, &Fact::Spawned(pid), None),
            Event::NotStarted { run, why } => {
                self.fact(turn, run, &Fact::NotStarted, Some(Exit::NotStarted(why)));
            }
            Event::Ready { run } => self.fact(turn, run, &Fact::Ready, None),
            Event::Unfit { run, why } => self.unfit(turn, run, why),
            Event::Oversize { run, why } => self.oversize(turn, run, why),
            Event::MoreTime { run, more } => self.fact(turn, run, &Fact::MoreTime(more), None),
            Event::Drained { run } => self.fact(turn, run, &Fact::Drained, None),
            Event::Exited { run, exit, survivors } => {
                self.fact(turn, run, &Fact::Exited { survivors }, Some(exit));
            }
            Event::Gone { run } => self.fact(turn, run, &Fact::Gone, None),
            Event::Resync { known } => self.resync(turn, known),
            Event::Tick => {}
        }
    }

    fn fact(&mut self, turn: &mut Turn<'_>, run: RunId, fact: &Fact, exit: Option<Exit>) {
        let Some((name, app, seat)) = self.owner(run) else { return stray(turn, run, fact) };
        let failure = app.seats[seat].record(turn, &app.specs, run, fact, exit);
        let ended = failure.and_then(|failure| app.on_failure(turn, &name, &failure));
        self.superseded(ended, turn);
    }

    fn unfit(&mut self, turn: &mut Turn<'_>, run: RunId, why: String) {
        let Some((name, app, seat)) = self.owner(run).filter(|(_, app, _)| !app.is_job()) else { return };
        let failure = app.seats[seat].unfit(turn, &app.specs, run, why);
        let ended = failure.and_then(|failure| app.on_failure(turn, &name, &failure));
        self.superseded(ended, turn);
    }

    fn oversize(&mut self, turn: &mut Turn<'_>, run: RunId, why: String) {
        if let Some((_, app, seat)) = self.owner(run).filter(|(_, app, _)| !app.is_job()) {
            app.seats[seat].oversize(turn, run, why);
        }
    }

    /// The app of a run, and the position of its seat.
    fn owner(&mut self, run: RunId) -> Option<(AppName, &mut App, usize)> {
        self.apps.iter_mut().find_map(|(name, app)| {
            let seat = app.seats.iter().position(|seat| seat.runs.iter().any(|known| known.id == run))?;
            Some((name.clone(), app, seat))
        })
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
            outcomes.extend(failures.iter().filter_map(|failure| app.on_failure(turn, name, failure)));
            outcomes.extend(app.on_time(turn, name));
        }
        let mut order = Order::new(&self.apps, turn.halting);
        loop {
            outcomes.extend(self.settle(turn, &order));
            // What has been moved or started may have been waited for.
            let before = std::mem::replace(&mut order, Order::new(&self.apps, turn.halting));
            if before == order {
                break;
            }
        }
        for (name, app) in &mut self.apps {
            app.seats.iter_mut().for_each(|seat| seat.note_held(turn, order.holds(name)));
        }
        for (request, outcome) in outcomes {
            self.answer_rollout(request, &outcome, &mut turn.effects);
        }
    }

    /// Surplus, missing and rollout, app by app.
    fn settle(&mut self, turn: &mut Turn<'_>, order: &Order) -> Vec<(RequestId, Outcome)> {
        let mut outcomes = Vec::new();
        for (name, app) in &mut self.apps {
            app.settle(turn, name, order);
            while let Some(before) = app.rollout.clone().filter(|_| !turn.halting) {
                outcomes.extend(app.advance_rollout(turn, name));
                app.settle(turn, name, order);
                if app.rollout.as_ref() == Some(&before) {
                    break;
                }
            }
        }
        outcomes
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

    fn happening(&self, about: About, what: What) -> Option<Happening> {
        match about {
            About::App(app) => Some(Happening { app, worker: None, what }),
            About::Worker(worker) => {
                let app = self.seats().find(|(_, seat)| seat.worker == worker)?.0.clone();
                Some(Happening { app, worker: Some(worker), what })
            }
        }
    }

    /// Whether anything was ever started.
    pub(crate) fn has_run(&self) -> bool {
        self.next_run > 0
    }

    pub(crate) fn seats(&self) -> impl Iterator<Item = (&AppName, &Seat)> {
        self.apps.iter().flat_map(|(name, app)| app.seats.iter().map(move |seat| (name, seat)))
    }

    /// Answers what can be answered.
    fn answers(&mut self, effects: &mut Vec<Effect>) {
        let ground = Ground { apps: &self.apps, halting: self.halting };
        self.waiting.retain_mut(|entry| match entry.results(&ground) {
            Some(results) => {
                effects.push(Effect::Answer { request: entry.request, results });
                false
            }
            None => true,
        });
    }

    /// Answers the request of a rollout that has ended.
    pub(crate) fn answer_rollout(
        &mut self,
        request: RequestId,
        outcome: &Outcome,
        effects: &mut Vec<Effect>,
    ) {
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
        Fact::Spawned(_) | Fact::Ready | Fact::Drained | Fact::Exited { survivors: true } => {
            turn.effects.push(Effect::Kill { run });
        }
        Fact::NotStarted | Fact::Gone | Fact::Exited { survivors: false } => {
            turn.effects.push(Effect::Forget { run });
        }
        Fact::Deadline | Fact::Hopeless | Fact::MoreTime(_) => {}
    }
}
