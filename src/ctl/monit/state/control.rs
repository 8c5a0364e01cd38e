//! What does a key do? What it does to the daemon is a wish; what takes something down is asked before.

use crossterm::event::{KeyCode, KeyEvent};

use super::{Asking, Purpose, State, Wish};
use crate::ctl::args::ScaleCount;
use crate::ctl::monit::action::{Action, Target, Verb};
use crate::ctl::monit::keys::{self, Command, Edit};
use crate::ctl::monit::layout;
use crate::ctl::monit::log::{Log, Pane};
use crate::ctl::monit::rows::Row;

impl State {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Wish> {
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
        if key.code == KeyCode::Char('y') {
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
            Command::Begin => self.log.rewind(pane),
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

    pub(super) fn details_step(&self) -> usize {
        let rows = self.areas().and_then(|areas| areas.details).map_or(1, |area| area.height);
        usize::from(rows).saturating_sub(1).max(1)
    }

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
}
