//! How does a reload look while it goes on, and what can be learnt from it? On a terminal a bar for each app, elsewhere a
//! line for each step forward, with `--json` and `--silent` nothing. How it ended is told by the answer, not here.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use supd_api::{AppName, Happening, HappeningKind, Progress};

use super::cells;
use super::output::{Output, Style};

/// A longer name is cut, so that a bar and a step fit beside it on a line of 80 characters.
const NAME_MAX: usize = 20;

/// A bar before and after it is known how many workers there are.
const BEGUN: &str = "{prefix}  [{bar:20}]  {wide_msg}";
const COUNTED: &str = "{prefix}  [{bar:20}]  {pos}/{len}  {wide_msg}";

/// Drawn at once: there are far fewer happenings than frames.
const FRAMES: u8 = 60;

/// Follows the reloads of some apps.
pub(crate) struct Watch {
    apps: Vec<AppName>,
    /// Those that have begun and not ended.
    moving: BTreeSet<AppName>,
    /// Whose fault it is should the reload fail.
    suspects: BTreeMap<AppName, u32>,
    look: Look,
}

enum Look {
    Nothing,
    Lines(Lines),
    Bars(Bars),
}

impl Watch {
    /// `done`: what has been done to a worker that has been moved.
    pub(crate) fn new(done: &'static str, apps: Vec<AppName>, style: Style) -> Self {
        let look = match style {
            Style { silent: true, .. } | Style { json: true, .. } => Look::Nothing,
            Style { aside, .. } if aside.bars => {
                Look::Bars(Bars::new(&apps, ProgressDrawTarget::stderr_with_hz(FRAMES)))
            }
            _ => Look::Lines(Lines { done, told: BTreeMap::new() }),
        };
        Self { apps, moving: BTreeSet::new(), suspects: BTreeMap::new(), look }
    }

    /// Shows what has happened, if it belongs to one of the reloads.
    pub(crate) fn see(&mut self, happening: &Happening, output: &mut Output) {
        if !self.apps.contains(&happening.app) {
            return;
        }
        self.learn(happening);
        match &mut self.look {
            Look::Nothing => {}
            Look::Lines(lines) => {
                if let Some(line) = lines.after(happening) {
                    output.note(&line);
                }
            }
            Look::Bars(bars) => bars.see(happening),
        }
    }

    /// Whether a reload has begun and not ended.
    pub(crate) fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// The worker of each app that has made its reload fail, if it has failed.
    pub(crate) fn suspects(&self) -> BTreeMap<AppName, u32> {
        self.suspects.clone()
    }

    /// Takes what is shown away, as far as it is not meant to stay.
    pub(crate) fn end(&mut self) {
        self.look = Look::Nothing;
    }

    fn learn(&mut self, happening: &Happening) {
        use HappeningKind as Kind;
        let Happening { kind, app, worker, .. } = happening;
        match kind {
            Kind::ReloadBegan | Kind::ReloadMoved => {
                self.moving.insert(app.clone());
            }
            Kind::ReloadDone => {
                self.moving.remove(app);
            }
            Kind::ReloadFailed => {
                self.moving.remove(app);
                self.suspects.extend(worker.map(|worker| (app.clone(), worker)));
            }
            // Unless the daemon names it: who failed last, or, when time ran out, who was started last.
            Kind::Started | Kind::Failed | Kind::GivenUp | Kind::Unfit => {
                if self.moving.contains(app) {
                    self.suspects.extend(worker.map(|worker| (app.clone(), worker)));
                }
            }
            Kind::Ready
            | Kind::Oversize
            | Kind::Draining
            | Kind::Stopping
            | Kind::Killed
            | Kind::Stopped
            | Kind::Held
            | Kind::Waiting
            | Kind::Renewed
            | Kind::Scaled
            | Kind::ScalingHeld
            | Kind::RolledBack
            | Kind::Message => {}
        }
    }
}

/// `web: 1/4 reloaded`.
struct Lines {
    done: &'static str,
    told: BTreeMap<AppName, Progress>,
}

impl Lines {
    fn after(&mut self, happening: &Happening) -> Option<String> {
        let progress = happening.progress?;
        let before = self.told.insert(happening.app.clone(), progress);
        let Progress { done, of } = progress;
        (before != Some(progress)).then(|| format!("{}: {done}/{of} {}", happening.app, self.done))
    }
}

/// `web  [=====>    ]  2/4  worker 3: draining`.
struct Bars {
    all: MultiProgress,
    of: BTreeMap<AppName, ProgressBar>,
    name_width: usize,
}

impl Bars {
    fn new(apps: &[AppName], target: ProgressDrawTarget) -> Self {
        let longest = apps.iter().map(|app| app.as_str().chars().count()).max().unwrap_or(0);
        let all = MultiProgress::with_draw_target(target);
        Self { all, of: BTreeMap::new(), name_width: longest.min(NAME_MAX) }
    }

    fn see(&mut self, happening: &Happening) {
        if let Some(Progress { done, of }) = happening.progress {
            let bar = self.bar(&happening.app);
            bar.set_style(look(COUNTED));
            bar.update(|state| {
                state.set_len(of.into());
                state.set_pos(done.into());
            });
        } else if happening.kind == HappeningKind::ReloadBegan {
            self.bar(&happening.app).set_message("begins");
        }
        if let (Some(bar), Some(step)) = (self.of.get(&happening.app), step(happening)) {
            bar.set_message(step);
        }
    }

    fn bar(&mut self, app: &AppName) -> ProgressBar {
        if let Some(bar) = self.of.get(app) {
            return bar.clone();
        }
        let bar = self.all.add(ProgressBar::new(1).with_style(look(BEGUN)));
        bar.set_prefix(format!("{:width$}", cut(app.as_str()), width = self.name_width));
        self.of.insert(app.clone(), bar.clone());
        bar
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.of.values().for_each(ProgressBar::finish_and_clear);
    }
}

fn look(template: &str) -> ProgressStyle {
    // The templates are constants, so the default look is never seen.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(NAME_MAX) {
        None => name.to_owned(),
        Some(_) => name.chars().take(NAME_MAX - 1).chain(['…']).collect(),
    }
}

/// What goes on now, in words; `None`: nothing new.
fn step(happening: &Happening) -> Option<String> {
    use HappeningKind as Kind;
    let step = match happening.kind {
        Kind::Started => "starting",
        Kind::Ready => "ready",
        Kind::Failed => "failed",
        Kind::Unfit => "unfit",
        Kind::Oversize => "too large",
        Kind::Draining => "draining",
        Kind::Stopping => "stopping",
        Kind::Killed => "killed",
        Kind::Stopped => "gone",
        Kind::Held | Kind::Waiting => "waiting",
        Kind::GivenUp => "given up",
        Kind::ReloadBegan | Kind::ReloadMoved | Kind::Message => return None,
        Kind::ReloadDone => return Some("done".to_owned()),
        Kind::Renewed | Kind::Scaled | Kind::ScalingHeld | Kind::ReloadFailed | Kind::RolledBack => {
            return Some(cells::harmless(&happening.text));
        }
    };
    happening.worker.map(|worker| format!("worker {worker}: {step}"))
}

#[cfg(test)]
mod tests;
