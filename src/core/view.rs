//! The present state in words.

use std::time::Duration;

use crate::app::App;
use crate::clock::{Mono, Now, Wall};
use crate::event::Exit;
use crate::id::{AppName, Pid, RevisionId, RunId, WorkerId};
use crate::phase::Phase;
use crate::seat::{Rest, Run, Seat, Wish};
use crate::supervisor::Supervisor;

/// A worker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready.
    Online,
    /// On its way.
    Launching,
    /// Asked to go.
    Stopping,
    /// Down, as wished.
    Stopped,
    /// Given up.
    Errored,
    /// Waits for its next start.
    Waiting,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatView<'a> {
    /// Its id.
    pub worker: WorkerId,
    /// Its app.
    pub app: &'a AppName,
    /// The revision it is to be.
    pub revision: RevisionId,
    /// Its number within the app.
    pub instance: u32,
    /// Whether it shall run.
    pub wished: bool,
    /// Its state.
    pub state: State,
    /// Why it is in that state.
    pub reason: String,
    /// What people should know about its app.
    pub notice: Option<&'a str>,
    /// Time left until the next start, until it is replaced, or until it is killed.
    pub remaining: Option<Duration>,
    /// The run that stands for it.
    pub run: Option<RunView>,
    /// How often it was started again.
    pub restarts: u32,
    /// Unhealthy lives in a row.
    pub unstable: u32,
    /// When the seat was made.
    pub created: Wall,
    /// How the last run ended, when, and after what time.
    pub last_exit: Option<(&'a Exit, Wall, Duration)>,
    /// Why a run was last found to be too large, and when.
    pub last_oversize: Option<(&'a str, Wall)>,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Which.
    pub run: RunId,
    /// Its main process, when it has been executed.
    pub pid: Option<Pid>,
    /// By which declaration it was started.
    pub revision: RevisionId,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was started.
    pub started: Now,
}

impl Supervisor {
    /// All workers, by app and instance.
    pub fn view(&self, now: Mono) -> impl Iterator<Item = SeatView<'_>> {
        self.apps.iter().flat_map(move |(name, app)| {
            app.seats.iter().map(move |seat| seat.view(name, app, now, self.halting))
        })
    }

    /// All runs with the worker each belongs to.
    pub fn runs(&self) -> impl Iterator<Item = (&AppName, WorkerId, u32, RunView)> {
        self.seats().flat_map(|(name, seat)| {
            seat.runs.iter().map(move |run| (name, seat.worker, seat.instance, run.view()))
        })
    }

    /// One run with the worker it belongs to.
    pub fn run(&self, run: RunId) -> Option<(&AppName, WorkerId, u32, RunView)> {
        self.runs().find(|(_, _, _, view)| view.run == run)
    }

    /// The revision an app is at, or is moving to.
    pub fn revision(&self, app: &AppName) -> Option<RevisionId> {
        self.apps.get(app).map(|app| app.rollout.as_ref().map_or(app.goal, |rollout| rollout.to).revision)
    }

    /// The version of an app before its last change, if there is one to return to.
    pub fn previous(&self, app: &AppName) -> Option<RevisionId> {
        self.apps.get(app)?.previous
    }

    /// The version of an app that was proven last; a rollout may be moving it to another.
    pub fn proven(&self, app: &AppName) -> Option<RevisionId> {
        self.apps.get(app).map(|app| app.goal.revision)
    }

    /// How many workers of how many a rollout in progress has moved.
    pub fn progress(&self, app: &AppName) -> Option<(u32, u32)> {
        let app = self.apps.get(app)?;
        let of = app.seats.iter().filter(|seat| seat.wish == Wish::Up).count();
        app.rollout.as_ref().map(|rollout| (rollout.moved, u32::try_from(of).unwrap_or(u32::MAX)))
    }

    /// Another ready run in the seat of this one: the one that it is to replace, or that replaces it.
    pub fn neighbour(&self, run: RunId) -> Option<RunId> {
        let (_, seat) = self.seats().find(|(_, seat)| seat.runs.iter().any(|known| known.id == run))?;
        seat.runs
            .iter()
            .find(|other| other.id != run && other.phase.ready_since().is_some())
            .map(|run| run.id)
    }

    /// Whether this worker shall run.
    pub fn is_wished(&self, worker: WorkerId) -> bool {
        self.seats().any(|(_, seat)| seat.worker == worker && seat.wish == Wish::Up)
    }

    /// Whether everything is being stopped for good.
    pub fn is_halting(&self) -> bool {
        self.halting
    }
}

impl Run {
    fn view(&self) -> RunView {
        RunView {
            run: self.id,
            pid: self.pid,
            revision: self.goal.revision,
            phase: self.phase,
            started: self.started,
        }
    }
}

impl Seat {
    /// The run that stands for the seat: the one that serves, else the one to come, else the one that goes.
    fn shown(&self) -> Option<&Run> {
        self.serving().or_else(|| self.fresh()).or_else(|| self.runs.last())
    }

    fn view<'a>(&'a self, name: &'a AppName, app: &'a App, now: Mono, halting: bool) -> SeatView<'a> {
        let shown = self.shown();
        // It is to go, and has not been told yet.
        let kept = shown.is_some_and(|run| run.phase.is_active()) && (halting || self.wish != Wish::Up);
        let (state, until) = match shown.map(|run| run.phase) {
            Some(_) if kept => (State::Stopping, None),
            Some(Phase::Ready { .. }) => (State::Online, shown.and_then(Run::stays_until)),
            Some(Phase::Spawning { .. } | Phase::Starting { .. }) => (State::Launching, None),
            Some(Phase::Draining { until }) => (State::Stopping, Some(until)),
            Some(Phase::Stopping { kill_at } | Phase::Sweeping { kill_at }) => {
                (State::Stopping, Some(kill_at))
            }
            None => self.at_rest(),
        };
        SeatView {
            worker: self.worker,
            app: name,
            revision: self.wanted.revision,
            instance: self.instance,
            wished: self.wish == Wish::Up,
            state,
            reason: match kept {
                true => "stops when what depends on it has stopped".to_owned(),
                false => self.reason(app, shown),
            },
            notice: app.notice.as_deref(),
            remaining: until.map(|until| until.since(now)),
            run: shown.map(Run::view),
            restarts: self.restarts,
            unstable: self.streak.unstable,
            created: self.created,
            last_oversize: self.last_oversize.as_ref().map(|(why, at)| (why.as_str(), *at)),
            last_exit: self.last_exit.as_ref().map(|ended| (&ended.exit, ended.at, ended.uptime)),
        }
    }

    fn at_rest(&self) -> (State, Option<Mono>) {
        match (&self.rest, self.wish) {
            (Rest::Waiting { until, .. }, _) => (State::Waiting, Some(*until)),
            (Rest::Errored { .. }, _) => (State::Errored, None),
            (Rest::Ended { .. }, _) | (Rest::None, Wish::Down | Wish::Gone) => (State::Stopped, None),
            (Rest::None, Wish::Up) => (State::Launching, None),
        }
    }

    fn reason(&self, app: &App, shown: Option<&Run>) -> String {
        if let Some(why) = shown.and_then(|run| run.unfit.as_deref().or(run.too_large())) {
            return format!("to be replaced: {why}");
        }
        let back = app.rollout.as_ref().and_then(|rollout| rollout.back.as_deref());
        match (shown.map(|run| run.phase), &self.rest) {
            (Some(Phase::Ready { .. }), Rest::Waiting { why, .. }) => format!("the replacement {why}"),
            (Some(Phase::Ready { .. }), _) if self.runs.len() > 1 => match back {
                Some(why) => format!("reload taken back: the new one {why}"),
                None => "being replaced".to_owned(),
            },
            (Some(Phase::Ready { .. }), _) => "ready".to_owned(),
            (Some(Phase::Draining { .. }), _) => "finishes what it has accepted".to_owned(),
            (Some(Phase::Spawning { .. }), _) => "being executed".to_owned(),
            (Some(Phase::Starting { .. }), _) => "not ready yet".to_owned(),
            (Some(Phase::Stopping { .. }), _) => "asked to stop".to_owned(),
            (Some(Phase::Sweeping { .. }), _) => {
                "its main process has ended, others of it have not".to_owned()
            }
            (None, Rest::Waiting { why, .. } | Rest::Errored { why } | Rest::Ended { why, .. }) => {
                why.clone()
            }
            (None, Rest::None) => match self.wish {
                Wish::Up => {
                    self.held.as_ref().map_or_else(|| "to be started".to_owned(), |held| held.why.clone())
                }
                Wish::Down | Wish::Gone if self.last_exit.is_none() => "not started yet".to_owned(),
                Wish::Down | Wish::Gone => "stopped as asked".to_owned(),
            },
        }
    }
}
