//! What does the dashboard know, and what follows from a key or an answer? A message in, wishes out: it neither reads a clock nor talks
//! to anybody.

mod control;

use std::collections::BTreeSet;

use crossterm::event::KeyEvent;
use supd_api::{Accepted, AppName, AppView, DaemonView, Fault, LogLine, WorkerView};

use super::action::{Action, Target};
use super::details;
use super::history::History;
use super::layout::{self, Areas};
use super::log::{Log, Pane, pattern};
use super::rows::{Row, rows};

/// So long good news stay, in milliseconds. Bad news stay until a key is pressed.
const NEWS: u64 = 8000;

/// What the state is told.
#[derive(Debug)]
pub(super) enum Message {
    Key(KeyEvent),
    /// Columns and rows of the terminal.
    Size(u16, u16),
    /// About a second has passed.
    Tick,
    /// What the daemon has answered to [`Wish::Look`].
    Looked(Result<Box<Look>, Fault>),
    /// A line of the log with this number.
    Line(u64, LogLine),
    /// What came of an action.
    Acted(Action, Result<Accepted, Fault>),
}

/// A look at everything.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) daemon: DaemonView,
    /// Ordered by app and id.
    pub(super) workers: Vec<WorkerView>,
    /// The app that was asked for, if there is one of that name.
    pub(super) app: Option<AppView>,
}

/// What the state wants to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To look at everything, and closer at this app.
    Look(Option<AppName>),
    /// To follow the log of this target and of none before; its lines come with this number.
    Follow(u64, Target),
    Act(Action),
    Quit,
}

/// What the foot asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    /// Whether to do it.
    Whether(Action, String),
    /// A line of text.
    Line(Purpose, String),
}

/// What a line is typed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Filter,
    Search,
    /// Of an app with so many workers.
    Scale(AppName, usize),
}

/// What was told last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) text: String,
    pub(super) bad: bool,
    at: u64,
}

/// How the daemon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// Since then, for this reason.
    Lost(u64, String),
}

/// Everything the dashboard knows.
#[derive(Debug)]
pub(super) struct State {
    /// Unix time in milliseconds.
    pub(super) now: u64,
    pub(super) size: (u16, u16),
    pub(super) daemon: Option<DaemonView>,
    pub(super) workers: Vec<WorkerView>,
    /// The app that was looked at closer, which may not be the one that is selected.
    pub(super) app: Option<AppView>,
    pub(super) link: Link,
    /// Since when an answer is awaited.
    pub(super) looking: Option<u64>,
    pub(super) history: History,
    pub(super) folded: BTreeSet<AppName>,
    pub(super) filter: String,
    pub(super) selected: Option<Target>,
    /// The first row of the list that is on the screen.
    pub(super) top: usize,
    pub(super) log: Log,
    /// The number of the log.
    feed: u64,
    /// Whose log it is.
    pub(super) followed: Option<Target>,
    pub(super) search: String,
    pub(super) asking: Option<Asking>,
    pub(super) help: bool,
    /// Details in place of the log.
    pub(super) swapped: bool,
    /// The first row of the details that is on the screen.
    pub(super) details_top: usize,
    pub(super) news: Option<News>,
    /// What goes on.
    pub(super) acting: Vec<Action>,
}

impl State {
    /// Nothing is known yet.
    pub(super) fn new(now: u64, size: (u16, u16)) -> Self {
        Self {
            now,
            size,
            daemon: None,
            workers: Vec::new(),
            app: None,
            link: Link::Up,
            looking: None,
            history: History::default(),
            folded: BTreeSet::new(),
            filter: String::new(),
            selected: None,
            top: 0,
            log: Log::default(),
            feed: 0,
            followed: None,
            search: String::new(),
            asking: None,
            help: false,
            swapped: false,
            details_top: 0,
            news: None,
            acting: Vec::new(),
        }
    }

    /// Takes a message in. `now`: Unix time in milliseconds.
    pub(super) fn update(&mut self, now: u64, message: Message) -> Vec<Wish> {
        self.now = now;
        let mut wishes = match message {
            Message::Key(key) => self.key(key),
            Message::Size(width, height) => {
                self.size = (width, height);
                Vec::new()
            }
            Message::Tick => self.tick(),
            Message::Looked(look) => {
                self.looked(look);
                Vec::new()
            }
            Message::Line(feed, line) => {
                if feed == self.feed {
                    self.log.take(&line);
                }
                // Many come at once, and none changes what is selected.
                return Vec::new();
            }
            Message::Acted(action, outcome) => self.acted(action, &outcome),
        };
        wishes.extend(self.settle());
        wishes
    }

    /// The rows of the list.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        rows(&self.workers, &self.folded, pattern(self.filter_text()).as_ref())
    }

    /// The row that is selected.
    pub(super) fn row(&self) -> Option<Row<'_>> {
        self.rows().into_iter().find(|row| Some(row.target()) == self.selected)
    }

    /// What is filtered by, also while it is being typed.
    pub(super) fn filter_text(&self) -> &str {
        match &self.asking {
            Some(Asking::Line(Purpose::Filter, text)) => text,
            _ => &self.filter,
        }
    }

    /// The parts of the screen; `None`: it is too small.
    pub(super) fn areas(&self) -> Option<Areas> {
        layout::areas(self.size, self.rows().len(), self.swapped)
    }

    /// The cells that workers' numbers take before lines of the log: none where all lines are of one worker.
    pub(super) fn numbers(&self) -> usize {
        let Some(Target { app, worker: None }) = &self.followed else { return 0 };
        let crew = self.workers.iter().filter(|worker| worker.app == *app);
        let widest = crew.clone().map(|worker| worker.id.to_string().len()).max().unwrap_or(0);
        if crew.count() > 1 { widest + 1 } else { 0 }
    }

    /// The room of the log's text; of a log that is not shown, that of the whole screen.
    pub(super) fn pane(&self) -> Pane {
        let area = self.areas().and_then(|areas| areas.log);
        area.map_or_else(
            || Pane { cells: self.size.0.max(1).into(), rows: self.size.1.into() },
            |area| layout::log_pane(area, self.numbers()),
        )
    }

    fn tick(&mut self) -> Vec<Wish> {
        if self.news.as_ref().is_some_and(|news| !news.bad && self.now.saturating_sub(news.at) >= NEWS) {
            self.news = None;
        }
        // One question at a time: a daemon that is busy is not asked again.
        if self.looking.is_some() { Vec::new() } else { self.look() }
    }

    fn look(&mut self) -> Vec<Wish> {
        self.looking = Some(self.now);
        vec![Wish::Look(self.selected.as_ref().map(|target| target.app.clone()))]
    }

    fn looked(&mut self, look: Result<Box<Look>, Fault>) {
        self.looking = None;
        match look {
            Ok(look) => {
                let Look { daemon, workers, app } = *look;
                self.link = Link::Up;
                if let Some(before) = &self.daemon
                    && let Some(text) = change(before, &daemon)
                {
                    self.tell(text, false);
                }
                self.history.note(self.now, &workers);
                (self.daemon, self.workers, self.app) = (Some(daemon), workers, app);
            }
            Err(fault) => {
                let since = match &self.link {
                    Link::Up => self.now,
                    Link::Lost(since, _) => *since,
                };
                self.link = Link::Lost(since, fault.message);
            }
        }
    }

    fn acted(&mut self, action: Action, outcome: &Result<Accepted, Fault>) -> Vec<Wish> {
        let told = action.told(outcome);
        if let Some(at) = self.acting.iter().position(|known| *known == action) {
            self.acting.remove(at);
        }
        match told {
            Ok(text) => self.tell(text, false),
            Err(text) => self.tell(text, true),
        }
        if self.looking.is_some() { Vec::new() } else { self.look() }
    }

    fn tell(&mut self, text: impl Into<String>, bad: bool) {
        self.news = Some(News { text: text.into(), bad, at: self.now });
    }

    /// Something is selected and on the screen, and its log is followed.
    fn settle(&mut self) -> Option<Wish> {
        let targets: Vec<Target> = self.rows().iter().map(Row::target).collect();
        let at = targets.iter().position(|target| Some(target) == self.selected.as_ref());
        let at = at.unwrap_or_else(|| self.neighbour(&targets));
        // Nothing can be done to what is not on the screen.
        self.selected = targets.get(at).cloned();
        let height = self.areas().map_or(1, |areas| usize::from(areas.list.height));
        self.top = self.top.clamp((at + 1).saturating_sub(height), at);
        self.top = self.top.min(targets.len().saturating_sub(height));
        let rows = details::lines(self).iter().map(|line| line.rows(self.details_cells())).sum::<usize>();
        self.details_top = self.details_top.min(rows.saturating_sub(self.details_step() + 1));
        if self.followed == self.selected {
            return None;
        }
        self.followed.clone_from(&self.selected);
        self.feed += 1;
        self.log.clear();
        self.details_top = 0;
        Some(Wish::Follow(self.feed, self.followed.clone()?))
    }

    fn details_cells(&self) -> usize {
        self.areas().and_then(|areas| areas.details).map_or(1, |area| area.width.into())
    }

    /// Where what is selected would be if it were still there: itself, else its app, else what has come into its place.
    fn neighbour(&self, targets: &[Target]) -> usize {
        let Some(gone) = &self.selected else { return 0 };
        let place = targets.iter().position(|target| target.app >= gone.app);
        place.unwrap_or(targets.len().saturating_sub(1))
    }
}

/// What has happened to the daemon between two looks.
fn change(before: &DaemonView, after: &DaemonView) -> Option<String> {
    let attempt = |daemon: &DaemonView| daemon.last_upgrade.as_ref().map(|upgrade| upgrade.attempt);
    if before.keeper_pid != after.keeper_pid {
        return Some("the daemon was started again".to_owned());
    }
    if attempt(before) != attempt(after)
        && let Some(upgrade) = &after.last_upgrade
    {
        return Some(match &upgrade.failure {
            None => format!("the daemon was upgraded from {} to {}", upgrade.from, upgrade.to),
            Some(why) => format!("the daemon was not upgraded: {}", crate::ctl::cells::harmless(why)),
        });
    }
    let restarted = before.supervisor_pid != after.supervisor_pid;
    restarted.then(|| "another supervisor has taken over; nothing was lost".to_owned())
}

#[cfg(test)]
mod tests;
