//! One app: its seats, and what keeps their number as wished.

use serde::{Deserialize, Serialize};

use crate::autoscale::Scaling;
use crate::depends::Order;
use crate::event::Effect;
use crate::id::{AppName, RevisionId, WorkerId};
use crate::rollout::{Probation, Rollout, pace};
use crate::seat::{Goal, Seat, Specs, Turn, Wish};

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct App {
    /// What its workers are to be, unless a rollout is moving them; the last that was proven.
    pub(crate) goal: Goal,
    pub(crate) specs: Specs,
    /// In order of their instance numbers.
    pub(crate) seats: Vec<Seat>,
    pub(crate) rollout: Option<Rollout>,
    /// The version before the last change, for a rollback.
    #[serde(default)]
    pub(crate) previous: Option<RevisionId>,
    #[serde(default)]
    pub(crate) probation: Option<Probation>,
    /// What people should know about it.
    #[serde(default)]
    pub(crate) notice: Option<String>,
    /// How it came to its number of workers, if by itself.
    #[serde(default)]
    pub(crate) scaling: Scaling,
    /// Nothing of it runs or shall run, and the caller has been told.
    idle: bool,
}

impl App {
    pub(crate) fn new(goal: Goal) -> Self {
        Self {
            goal,
            specs: Specs::new(),
            seats: Vec::new(),
            rollout: None,
            previous: None,
            probation: None,
            notice: None,
            scaling: Scaling::default(),
            idle: false,
        }
    }

    /// Whether it has something that new processes would replace or bring back.
    pub(crate) fn is_renewable(&self) -> bool {
        self.seats.iter().any(|seat| seat.wish == Wish::Up || seat.has_ended())
    }

    /// Makes another version the wanted one at once, not in a rollout.
    pub(crate) fn replace_goal(&mut self, goal: Goal) {
        if self.goal.revision != goal.revision {
            self.previous = Some(self.goal.revision);
        }
        self.goal = goal;
        self.probation = None;
        self.notice = None;
    }

    /// Makes another version of the same processes the wanted one: what is of this version goes over to it.
    pub(crate) fn amend(&mut self, revision: RevisionId) {
        let old = self.goal;
        self.previous = Some(old.revision);
        self.goal.revision = revision;
        let wanted = self.seats.iter_mut().map(|seat| &mut seat.wanted);
        wanted.filter(|goal| **goal == old).for_each(|goal| goal.revision = revision);
        let runs = self.seats.iter_mut().flat_map(|seat| &mut seat.runs).map(|run| &mut run.goal);
        runs.filter(|goal| **goal == old).for_each(|goal| goal.revision = revision);
    }

    /// Surplus, then missing, for every seat.
    pub(crate) fn settle(&mut self, turn: &mut Turn<'_>, name: &AppName, order: &Order) {
        let unproven = self.rollout.as_ref().map(|rollout| rollout.to);
        let held = order.holds(name).is_some();
        self.begin_window_anew();
        self.seats.iter_mut().for_each(|seat| seat.surplus(turn, &self.specs, order.keeps(name)));
        if self.dismiss_oversize(turn) {
            self.seats.iter_mut().for_each(|seat| seat.surplus(turn, &self.specs, order.keeps(name)));
        }
        let mut doubled = self.seats.iter().filter(|seat| seat.active() > 1).count();
        for seat in &mut self.seats {
            // When all workers fail their checks at once, they are not all doubled at once.
            let surge = self.specs.get(&seat.wanted.revision).map_or(1, |spec| spec.surge.max(1) as usize);
            let before = seat.active();
            if before == 0 || doubled < surge {
                seat.missing(turn, name, unproven, held);
                doubled += usize::from(before == 1 && seat.active() == 2);
            }
        }
    }

    /// Lets runs go that have been too large for long enough, no more at a time than a reload would move. Whether any.
    fn dismiss_oversize(&mut self, turn: &Turn<'_>) -> bool {
        let mut moving = self.seats.iter().filter(|seat| seat.is_moving()).count();
        let before = moving;
        for seat in self.seats.iter_mut().filter(|seat| !turn.halting && seat.has_oversize()) {
            let pace = pace(&self.specs, seat.wanted);
            if moving < pace.surge {
                seat.dismiss_oversize(pace.manner);
                moving += 1;
            }
        }
        moving > before
    }

    /// Makes it so many seats: the highest instance numbers go, the lowest free ones come.
    pub(crate) fn resize(
        &mut self,
        count: u32,
        goal: Goal,
        wish: Wish,
        next_worker: &mut u32,
        turn: &mut Turn<'_>,
    ) {
        turn.save = true;
        if self.count() != count {
            self.scaling.since = turn.now.wall;
        }
        let wanted = |seat: &Seat| seat.wish != Wish::Gone;
        let mut live = self.seats.iter().filter(|seat| wanted(seat)).count();
        for seat in self.seats.iter_mut().rev().filter(|seat| seat.wish != Wish::Gone) {
            if live <= count as usize {
                break;
            }
            seat.wish_away(Wish::Gone);
            live -= 1;
        }
        while live < count as usize {
            let taken = |n: &u32| self.seats.iter().any(|seat| wanted(seat) && seat.instance == *n);
            let instance = (0..).find(|n| !taken(n)).unwrap_or_default();
            let seat = Seat::new(WorkerId(*next_worker), instance, wish, goal, turn.now.wall);
            *next_worker = next_worker.saturating_add(1);
            self.seats.push(seat);
            live += 1;
        }
        self.seats.sort_by_key(|seat| (seat.instance, seat.worker));
    }

    fn used_revisions(&self) -> Vec<RevisionId> {
        let rollout = self.rollout.iter().flat_map(|rollout| [rollout.from.revision, rollout.to.revision]);
        let seats = self
            .seats
            .iter()
            .flat_map(|seat| seat.runs.iter().map(|run| run.goal.revision).chain([seat.wanted.revision]));
        let probation = self.probation.iter();
        let probation =
            probation.flat_map(|probation| probation.before.into_iter().chain([probation.from.revision]));
        rollout.chain(seats).chain(probation).chain(self.previous).chain([self.goal.revision]).collect()
    }

    /// Removes seats that are no more, and tells of revisions and ports that are no longer needed.
    pub(crate) fn sweep(&mut self, name: &AppName, effects: &mut Vec<Effect>) {
        self.seats.retain(|seat| seat.wish != Wish::Gone || !seat.runs.is_empty());
        let idle = self.seats.iter().all(|seat| seat.wish != Wish::Up && seat.runs.is_empty());
        if idle && !self.idle {
            effects.push(Effect::Idle { app: name.clone() });
        }
        self.idle = idle;
        let used = if self.seats.is_empty() { Vec::new() } else { self.used_revisions() };
        self.specs.retain(|revision, _| {
            let keep = used.contains(revision);
            if !keep {
                effects.push(Effect::DropRevision { app: name.clone(), revision: *revision });
            }
            keep
        });
    }
}
