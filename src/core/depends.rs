//! Order among apps: whose start waits for whom, and who is let go first.
//!
//! It concerns first starts and ends only. Who has been started is on its own: neither its own restart nor anything that
//! happens to what it depends on holds it back or takes it down.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::event::{Exit, What};
use crate::id::AppName;
use crate::seat::{About, Rest, Seat, Turn, Wish};
use crate::spec::Condition;

/// Why a start waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// For which app.
    pub(crate) on: AppName,
    /// In words, with its name.
    pub(crate) why: String,
    /// That app is on its way; otherwise it has failed, or somebody has to start it.
    pub(crate) hopeful: bool,
}

/// Who has to wait at this moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    starts: BTreeMap<AppName, Held>,
    stops: BTreeSet<AppName>,
}

type Apps = BTreeMap<AppName, App>;

/// What a worker, or an app, has come to.
enum Standing {
    Met,
    Coming(String),
    Stuck(String),
}

impl Order {
    pub(crate) fn new(apps: &Apps, halting: bool) -> Self {
        let depending = || apps.iter().filter(|(_, app)| !app.depends_on().is_empty());
        let mut order = Self::default();
        for (name, app) in depending() {
            if waits(app) {
                order.starts.extend(held(apps, app, &mut vec![name]).map(|held| (name.clone(), held)));
            }
            if app.seats.iter().any(|seat| seat.is_ending(halting)) {
                let below = below(apps, name);
                // In a circle nobody comes first.
                order
                    .stops
                    .extend(below.into_iter().filter(|it| !self::below(apps, it).contains(name)).cloned());
            }
        }
        order
    }

    /// Why a first start of this app's workers waits.
    pub(crate) fn holds(&self, app: &AppName) -> Option<&Held> {
        self.starts.get(app)
    }

    /// Whether this app stays until those that depend on it have ended.
    pub(crate) fn keeps(&self, app: &AppName) -> bool {
        self.stops.contains(app)
    }
}

/// An app, unless the end of this turn sweeps it away.
fn known<'a>(apps: &'a Apps, name: &AppName) -> Option<&'a App> {
    let is_left = |seat: &Seat| seat.wish != Wish::Gone || !seat.runs.is_empty();
    apps.get(name).filter(|app| app.seats.iter().any(is_left))
}

/// Every app on which this one depends, directly or not.
fn below<'a>(apps: &'a Apps, name: &AppName) -> BTreeSet<&'a AppName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&App> = known(apps, name).into_iter().collect();
    while let Some(app) = open.pop() {
        for next in app.depends_on().keys() {
            if found.insert(next) {
                open.extend(known(apps, next));
            }
        }
    }
    found
}

/// The first condition of the app that is not met. `path`: who waits for whom, down to this app.
fn held<'a>(apps: &'a Apps, app: &'a App, path: &mut Vec<&'a AppName>) -> Option<Held> {
    app.depends_on().iter().find_map(|(on, condition)| {
        let (why, hopeful) = match standing(apps, on, *condition, path) {
            Standing::Met => return None,
            Standing::Coming(why) => (why, true),
            Standing::Stuck(why) => (why, false),
        };
        Some(Held { on: on.clone(), why: format!("waiting for {on}: {why}"), hopeful })
    })
}

fn standing<'a>(
    apps: &'a Apps,
    name: &'a AppName,
    condition: Condition,
    path: &mut Vec<&'a AppName>,
) -> Standing {
    let missing = || Standing::Stuck("there is no such app".to_owned());
    let Some(app) = known(apps, name) else { return missing() };
    let kept = app.seats.iter().filter(|seat| seat.wish != Wish::Gone);
    let rank = |standing: &Standing| match standing {
        Standing::Met => 0,
        Standing::Coming(_) => 1,
        Standing::Stuck(_) => 2,
    };
    let each = kept.map(|seat| seat.standing(condition));
    let found = match condition {
        Condition::Started | Condition::Ready => each.min_by_key(rank),
        Condition::Completed => each.max_by_key(rank),
    };
    match found {
        Some(Standing::Coming(_)) if waits(app) => waiting(apps, name, app, path),
        Some(standing) => standing,
        None => missing(),
    }
}

/// Whether the order among apps has a say in what comes next of it. A rollout waits for nobody.
fn waits(app: &App) -> bool {
    app.rollout.is_none() && app.seats.iter().any(Seat::waits_its_turn)
}

/// The standing of an app that may wait itself.
fn waiting<'a>(apps: &'a Apps, name: &'a AppName, app: &'a App, path: &mut Vec<&'a AppName>) -> Standing {
    if path.contains(&name) {
        return Standing::Stuck("it waits in a circle".to_owned());
    }
    path.push(name);
    let held = held(apps, app, path);
    path.pop();
    match held {
        Some(Held { why, hopeful: true, .. }) => Standing::Coming(why),
        Some(Held { why, hopeful: false, .. }) => Standing::Stuck(why),
        None => Standing::Coming("not started yet".to_owned()),
    }
}

impl Seat {
    /// Its start is the first since it was wished up, and nothing but the order among apps can hold it back.
    pub(crate) fn waits_its_turn(&self) -> bool {
        self.orderly && self.wish == Wish::Up && self.rest == Rest::None && self.active() == 0
    }

    /// Notes why its first start waits, and tells of it once for each app that it waits for.
    pub(crate) fn note_held(&mut self, turn: &mut Turn<'_>, held: Option<&Held>) {
        let held = held.filter(|_| self.waits_its_turn() && !turn.halting);
        if let Some(held) = held
            && self.held.as_ref().is_none_or(|told| told.on != held.on)
        {
            turn.told.push((About::Worker(self.worker), What::Held(held.why.clone())));
        }
        self.held = held.cloned();
    }

    /// It shall not run any more, and something of it does.
    fn is_ending(&self, halting: bool) -> bool {
        (halting || self.wish != Wish::Up) && !self.runs.is_empty()
    }

    fn standing(&self, condition: Condition) -> Standing {
        let executed = self.runs.iter().any(|run| run.phase.is_active() && run.pid.is_some());
        let well = matches!(self.rest, Rest::Ended { well: true, .. });
        let met = match condition {
            Condition::Started => self.wish == Wish::Up && executed,
            Condition::Ready => self.wish == Wish::Up && self.serving().is_some(),
            Condition::Completed => well && self.runs.is_empty(),
        };
        if met {
            return Standing::Met;
        }
        match (&self.rest, self.wish) {
            // Processes that it has left behind are not over.
            _ if well && condition == Condition::Completed => {
                Standing::Coming("not completed yet".to_owned())
            }
            (Rest::Waiting { why, .. } | Rest::Ended { why, .. } | Rest::Errored { why }, _) => {
                Standing::Stuck(why.clone())
            }
            (Rest::None, Wish::Down | Wish::Gone) => Standing::Stuck("it is stopped".to_owned()),
            (Rest::None, Wish::Up) => Standing::Coming(
                match condition {
                    Condition::Started => "not started yet",
                    Condition::Ready => "not ready yet",
                    Condition::Completed => "not completed yet",
                }
                .to_owned(),
            ),
        }
    }
}

impl App {
    /// What it depends on, by its proven version.
    fn depends_on(&self) -> &BTreeMap<AppName, Condition> {
        static NOTHING: BTreeMap<AppName, Condition> = BTreeMap::new();
        self.specs.get(&self.goal.revision).map_or(&NOTHING, |spec| &spec.depends_on)
    }
}

/// Whether a run has done what it was started for.
pub(crate) fn went_well(exit: &Exit) -> bool {
    *exit == Exit::Code(0)
}
