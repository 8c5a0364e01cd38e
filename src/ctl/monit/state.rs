//! What does the dashboard know, and what follows from a key or an answer? A message in, wishes out: it neither reads a clock nor talks
//! to anybody.

use std::collections::BTreeSet;

use crossterm::event::KeyEvent;
use supd_api::{Accepted, AppName, AppView, DaemonView, Fault, LogLine, WorkerView};

use super::action::{Action, Target, Verb};
use super::details;
use super::history::History;
use super::keys::{self, Command, Edit};
use super::layout::{self, Areas};
use super::log::{Log, Pane, pattern};
use super::rows::{Row, rows};
use crate::ctl::args::ScaleCount;

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
    Looked(Result<Look, Fault>),
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

    fn looked(&mut self, look: Result<Look, Fault>) {
        self.looking = None;
        match look {
            Ok(Look { daemon, workers, app }) => {
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

    // ---- keys ------------------------------------------------------------------------------------------------

    fn key(&mut self, key: KeyEvent) -> Vec<Wish> {
        self.news = None;
        match self.asking.take() {
            Some(Asking::Whether(action, question)) => self.answer(key, action, &question),
            Some(Asking::Line(purpose, text)) => self.typed(key, purpose, text),
            None if self.help => {
                self.help = false;
                if keys::is_interrupt(key) { vec![Wish::Quit] } else { Vec::new() }
            }
            None => keys::command(key).map_or_else(Vec::new, |command| self.command(command)),
        }
    }

    /// Only `y` is a yes.
    fn answer(&mut self, key: KeyEvent, action: Action, question: &str) -> Vec<Wish> {
        if key.code == crossterm::event::KeyCode::Char('y') {
            return self.act(action);
        }
        self.tell(format!("not done: {}", question.trim_end_matches('?')), false);
        Vec::new()
    }

    fn typed(&mut self, key: KeyEvent, purpose: Purpose, mut line: String) -> Vec<Wish> {
        match keys::edit(key) {
            Some(Edit::Cancel) => return Vec::new(),
            Some(Edit::Done) => return self.entered(purpose, line),
            Some(Edit::Letter(letter)) => line.push(letter),
            Some(Edit::Back) => drop(line.pop()),
            Some(Edit::Clear) => line.clear(),
            None => {}
        }
        self.asking = Some(Asking::Line(purpose, line));
        Vec::new()
    }

    fn entered(&mut self, purpose: Purpose, line: String) -> Vec<Wish> {
        match purpose {
            Purpose::Filter => self.filter = line,
            Purpose::Search => {
                let pane = self.pane();
                if !self.log.look_for(&line, pane) {
                    self.tell(format!("`{line}` is not in the log"), true);
                }
                self.search = line;
            }
            Purpose::Scale(app, _) if !line.is_empty() => match line.parse::<ScaleCount>() {
                Ok(count) => {
                    let target = Target { app, worker: None };
                    return self.act(Action::new(Verb::Scale(count.0), target));
                }
                Err(wrong) => self.tell(wrong, true),
            },
            Purpose::Scale(..) => {}
        }
        Vec::new()
    }

    fn command(&mut self, command: Command) -> Vec<Wish> {
        let pane = self.pane();
        match command {
            Command::Quit => return vec![Wish::Quit],
            Command::Help => self.help = true,
            Command::Previous => self.select(|at, _| at.saturating_sub(1)),
            Command::Next => self.select(|at, last| (at + 1).min(last)),
            Command::First => self.select(|_, _| 0),
            Command::Last => self.select(|_, last| last),
            Command::Fold => self.fold(true),
            Command::Unfold => self.fold(false),
            Command::FoldAll => self.fold_all(),
            Command::Start => return self.ask(Verb::Start),
            Command::Stop => return self.ask(Verb::Stop),
            Command::Restart => return self.ask(Verb::Restart),
            Command::Reload => return self.ask(Verb::Reload),
            Command::Delete => return self.ask(Verb::Delete),
            Command::Scale => self.ask_count(),
            Command::Filter => self.asking = Some(Asking::Line(Purpose::Filter, self.filter.clone())),
            Command::Search => {
                self.swapped = false;
                self.asking = Some(Asking::Line(Purpose::Search, String::new()));
            }
            Command::Older => self.find(Log::older),
            Command::Newer => self.find(Log::newer),
            Command::Hold => self.log.hold(pane),
            Command::PageUp if self.details_scroll() => {
                self.details_top = self.details_top.saturating_sub(self.details_step());
            }
            Command::PageDown if self.details_scroll() => self.details_top += self.details_step(),
            Command::PageUp => self.log.page_up(pane),
            Command::PageDown => self.log.page_down(pane),
            Command::Begin => self.log.to_begin(pane),
            Command::Follow => self.log.follow(),
            Command::Swap => (self.swapped, self.details_top) = (!self.swapped, 0),
            Command::Cancel => {
                (self.search, self.filter) = (String::new(), String::new());
                self.log.look_for("", pane);
            }
        }
        Vec::new()
    }

    fn find(&mut self, next: fn(&mut Log, Pane) -> bool) {
        let pane = self.pane();
        if self.log.search().is_none() {
            self.tell("`/` says what to search for", false);
        } else if !next(&mut self.log, pane) {
            self.tell(format!("`{}` is not in the log", self.search), true);
        }
    }

    fn details_scroll(&self) -> bool {
        self.swapped && !layout::is_wide(self.size.0)
    }

    fn details_step(&self) -> usize {
        let rows = self.areas().and_then(|areas| areas.details).map_or(1, |area| area.height);
        usize::from(rows).saturating_sub(1).max(1)
    }

    // ---- what is selected ------------------------------------------------------------------------------------

    fn select(&mut self, to: impl FnOnce(usize, usize) -> usize) {
        let targets: Vec<Target> = self.rows().iter().map(Row::target).collect();
        let Some(last) = targets.len().checked_sub(1) else { return };
        let at = targets.iter().position(|target| Some(target) == self.selected.as_ref()).unwrap_or(0);
        self.selected = targets.into_iter().nth(to(at, last));
    }

    fn fold(&mut self, fold: bool) {
        let Some(target) = self.selected.clone() else { return };
        if fold {
            self.folded.insert(target.app.clone());
            self.selected = Some(Target { worker: None, ..target });
        } else {
            self.folded.remove(&target.app);
        }
    }

    fn fold_all(&mut self) {
        if !std::mem::take(&mut self.folded).is_empty() {
            return;
        }
        let crews = self.workers.chunk_by(|a, b| a.app == b.app).filter(|crew| crew.len() > 1);
        self.folded = crews.map(|crew| crew[0].app.clone()).collect();
        self.selected = self.selected.take().map(|target| Target { worker: None, ..target });
    }

    fn ask(&mut self, verb: Verb) -> Vec<Wish> {
        let Some(target) = self.selected.clone() else { return Vec::new() };
        let action = Action::new(verb, target);
        let crew = self.workers.iter().filter(|worker| worker.app == action.target.app).count();
        match action.question(crew) {
            Some(question) => {
                self.asking = Some(Asking::Whether(action, question));
                Vec::new()
            }
            None => self.act(action),
        }
    }

    fn ask_count(&mut self) {
        let Some(Target { app, .. }) = self.selected.clone() else { return };
        let crew = self.workers.iter().filter(|worker| worker.app == app).count();
        self.asking = Some(Asking::Line(Purpose::Scale(app, crew), String::new()));
    }

    fn act(&mut self, action: Action) -> Vec<Wish> {
        if self.acting.contains(&action) {
            return Vec::new();
        }
        self.acting.push(action.clone());
        vec![Wish::Act(action)]
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
