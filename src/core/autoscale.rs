//! How many workers an app needs, by the load of those it has.
//!
//! The arithmetic is that of Kubernetes' HorizontalPodAutoscaler
//! (<https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/>, "Algorithm details", "Default
//! behavior"; where that says little, its `pkg/controller/podautoscaler`): as many workers as bring the mean to its target, the greatest of
//! several figures, more of them at once but in steps, fewer only when nothing within the window has asked for more.
//! What differs: the machine's memory is a bound too, and nothing is decided while a rollout moves the workers or one of
//! them was stopped by hand; after that the window begins anew.

mod window;

use std::cmp::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::clock::{Now, Wall};
use crate::event::What;
use crate::id::{AppName, RunId};
use crate::seat::{About, Rest, Seat, Turn, Wish};
use crate::supervisor::Supervisor;
use window::Window;

/// A mean so close to its target, as a share of it, changes nothing (`--horizontal-pod-autoscaler-tolerance`): one tenth.
const TOLERANCE: u128 = 10;
/// In one step the workers may double, or so many more come if that is more ("Default behavior", `scaleUp`). A step is one
/// [`crate::Event::Load`], which comes every 15 s as there.
const STEP: u32 = 4;

/// Thousandths of one processor, as Kubernetes counts them: 1000 is all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millicpu(pub u64);

/// Bytes of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// How an app scales itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoscale {
    /// Never fewer workers; at least 1.
    pub min: u32,
    /// Never more; at least `min`.
    pub max: u32,
    /// What a worker is to use of the processor in the mean; not zero.
    pub cpu: Option<Millicpu>,
    /// What it is to use of memory in the mean; not zero.
    pub memory: Option<Bytes>,
    /// Fewer workers only when for so long no more were needed.
    pub stabilization: Duration,
}

/// What a ready run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Which.
    pub run: RunId,
    /// Since the look before; `None`: it was not ready then.
    pub cpu: Option<Millicpu>,
    /// Now.
    pub memory: Bytes,
}

/// What the last look at an app's load has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `None`: it has no target.
    pub cpu: Option<Figure<Millicpu>>,
    /// `None`: it has no target.
    pub memory: Option<Figure<Bytes>>,
    /// So many would bring it to its target, whatever is allowed; `None`: it says nothing.
    pub wanted: Option<u32>,
    /// Why there are not as many.
    pub hold: Option<Hold>,
}

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure<T> {
    /// Of the workers of which it is known; `None`: of no worker.
    pub mean: Option<T>,
    /// What it is to be.
    pub target: T,
}

/// Why an app has not as many workers as its load asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// No more are allowed.
    Maximum,
    /// No fewer are allowed.
    Minimum,
    /// The machine has less memory available than one more worker uses in the mean.
    Memory {
        /// It has so much.
        available: Bytes,
        /// One worker uses so much.
        worker: Bytes,
    },
    /// The others come in the next step.
    Step,
    /// More were needed not long ago.
    Window,
    /// Nothing is known of any worker, or not enough to have fewer.
    Unknown,
    /// A rollout moves the workers.
    Rollout,
    /// A worker was stopped by hand.
    Stopped,
}

/// What an app remembers of its scaling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scaling {
    /// `None`: it begins with the next decision.
    pub(crate) window: Option<Window>,
    finding: Option<Finding>,
    /// When it came to have so many workers.
    pub(crate) since: Wall,
}

/// How an app scales itself, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalingView<'a> {
    /// Its rules.
    pub rules: &'a Autoscale,
    /// So many workers it has.
    pub count: u32,
    /// Since when.
    pub since: Wall,
    /// What the last look has shown; `None`: nothing that counts now.
    pub finding: Option<&'a Finding>,
    /// Why it has not as many as its load asks for.
    pub hold: Option<Hold>,
}

impl Autoscale {
    /// The nearest number that is allowed.
    pub(crate) fn clamp(&self, count: u32) -> u32 {
        count.clamp(self.min, self.max.max(self.min))
    }
}

/// The figures of all workers of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    sum: u64,
    known: u64,
    /// Ready, yet nothing is known of them.
    missing: u64,
    /// On their way.
    unready: u64,
}

impl Sample {
    fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.known)
    }

    /// So many workers bring the mean to the target. Who is not known counts for what speaks against a change: as on target when
    /// there would be fewer, as idle when there would be more; who is not ready yet only as idle when there would be more.
    fn wanted(&self, current: u32, target: u64) -> Option<u32> {
        let [sum, known, missing, unready, target] =
            [self.sum, self.known, self.missing, self.unready, target].map(u128::from);
        if known == 0 || target == 0 {
            return None;
        }
        let direction = sum.cmp(&(known * target));
        let (sum, of) = match direction {
            Ordering::Less => (sum + missing * target, known + missing),
            Ordering::Equal => return Some(current),
            Ordering::Greater => (sum, known + missing + unready),
        };
        let on_target = of * target;
        if sum.abs_diff(on_target) * TOLERANCE <= on_target || sum.cmp(&on_target) != direction {
            return Some(current);
        }
        let wanted = u32::try_from(sum.div_ceil(target)).unwrap_or(u32::MAX);
        // Those that have failed are not counted, but that alone is no reason for the other direction.
        Some(if direction == Ordering::Less { wanted.min(current) } else { wanted.max(current) })
    }
}

/// The load of an app as far as it is known.
struct Picture {
    cpu: Sample,
    memory: Sample,
}

impl Picture {
    /// Who was given up or has ended by itself has no part in it.
    fn new<'a>(seats: impl Iterator<Item = &'a Seat>, loads: &[Load]) -> Self {
        let mut picture = Self { cpu: Sample::default(), memory: Sample::default() };
        for seat in seats.filter(|seat| seat.wish == Wish::Up) {
            match (seat.serving(), &seat.rest) {
                (Some(run), _) => {
                    let load = loads.iter().find(|load| load.run == run.id);
                    picture.cpu.add(load.and_then(|load| load.cpu).map(|cpu| cpu.0));
                    picture.memory.add(load.map(|load| load.memory.0));
                }
                (None, Rest::None | Rest::Waiting { .. }) => {
                    picture.cpu.unready += 1;
                    picture.memory.unready += 1;
                }
                (None, Rest::Ended { .. } | Rest::Errored { .. }) => {}
            }
        }
        picture
    }

    /// The greatest of what the figures ask for. Where one of them says nothing, the other does not lead to fewer.
    fn wanted(&self, rules: &Autoscale, current: u32) -> Option<u32> {
        let by_cpu = rules.cpu.map(|target| self.cpu.wanted(current, target.0));
        let by_memory = rules.memory.map(|target| self.memory.wanted(current, target.0));
        let mut all = by_cpu.into_iter().chain(by_memory);
        let known = all.clone().flatten().max()?;
        (known >= current || all.all(|wanted| wanted.is_some())).then_some(known)
    }
}

impl Sample {
    fn add(&mut self, figure: Option<u64>) {
        self.known += u64::from(figure.is_some());
        self.missing += u64::from(figure.is_none());
        self.sum += figure.unwrap_or_default();
    }
}

/// What is asked for after all: the nearest number to what is wanted that everything allows, and what does not.
fn allowed(
    rules: &Autoscale,
    current: u32,
    wanted: u32,
    highest: u32,
    room: Option<(Bytes, Bytes)>,
) -> (u32, Option<Hold>) {
    if wanted < current {
        let hold = (highest > wanted).then_some(Hold::Window);
        let count = highest.min(current);
        return if count < rules.min { (rules.min, Some(Hold::Minimum)) } else { (count, hold) };
    }
    let step = current.saturating_mul(2).max(current.saturating_add(STEP));
    let memory = room.and_then(|(available, worker)| {
        let more = u32::try_from(available.0.checked_div(worker.0)?).unwrap_or(u32::MAX);
        Some((current.saturating_add(more), Hold::Memory { available, worker }))
    });
    let bounds = [(step, Hold::Step), (rules.clamp(u32::MAX), Hold::Maximum)].into_iter().chain(memory);
    bounds.fold((wanted, None), |(count, hold), (bound, why)| match bound < count {
        true => (bound, Some(why)),
        false => (count, hold),
    })
}

impl App {
    /// How it scales itself by its proven version.
    fn autoscale(&self) -> Option<&Autoscale> {
        self.specs.get(&self.goal.revision)?.autoscale.as_ref()
    }

    /// So many workers it shall have.
    pub(crate) fn count(&self) -> u32 {
        let live = self.seats.iter().filter(|seat| seat.wish != Wish::Gone).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// So many workers it shall have as this version says: one that scales itself keeps what it has come to.
    pub(crate) fn count_by(&self, spec: &crate::Spec) -> u32 {
        match &spec.autoscale {
            Some(rules) if self.count() > 0 => rules.clamp(self.count()),
            Some(rules) => rules.clamp(spec.count),
            None => spec.count,
        }
    }

    /// Somebody has said how many: that counts as needed from now on.
    pub(crate) fn scaled_by_hand(&mut self, count: u32) -> u32 {
        self.scaling.window = None;
        self.autoscale().map_or(count, |rules| rules.clamp(count))
    }

    /// What was needed before a pause says nothing of what is needed after it.
    pub(crate) fn begin_window_anew(&mut self) {
        if self.pause().is_some() {
            self.scaling.window = None;
        }
    }

    /// Why nothing is to be decided now.
    fn pause(&self) -> Option<Hold> {
        let stopped = self.seats.iter().any(|seat| seat.wish == Wish::Down);
        let rollout = self.rollout.is_some().then_some(Hold::Rollout);
        rollout.or(stopped.then_some(Hold::Stopped))
    }

    /// How many workers it shall have, by this load.
    fn judge(&mut self, now: Now, loads: &[Load], available: Option<Bytes>) -> Option<(u32, Finding)> {
        let rules = self.autoscale()?.clone();
        let current = self.count();
        let picture = Picture::new(self.seats.iter(), loads);
        let worker = picture.memory.mean().map(Bytes);
        let cpu = rules.cpu.map(|target| Figure { mean: picture.cpu.mean().map(Millicpu), target });
        let memory = rules.memory.map(|target| Figure { mean: worker, target });
        if let Some(pause) = self.pause() {
            return Some((current, Finding { cpu, memory, wanted: None, hold: Some(pause) }));
        }
        let wanted = picture.wanted(&rules, current);
        let window = self.scaling.window.get_or_insert_with(|| Window::new(now.mono, current));
        let (count, hold) = match wanted {
            _ if current < rules.min => (rules.clamp(current), Some(Hold::Minimum)),
            _ if current > rules.clamp(current) => (rules.clamp(current), Some(Hold::Maximum)),
            None => (current, Some(Hold::Unknown)),
            Some(wanted) => {
                let highest = window.note(now.mono, wanted, rules.stabilization);
                allowed(&rules, current, wanted, highest, available.zip(worker))
            }
        };
        Some((count, Finding { cpu, memory, wanted, hold }))
    }
}

impl Supervisor {
    /// Figures of an app's ready runs have come, with the memory that the machine could give to others.
    pub(crate) fn load(
        &mut self,
        turn: &mut Turn<'_>,
        name: &AppName,
        loads: &[Load],
        available: Option<Bytes>,
    ) {
        let Some(app) = self.apps.get_mut(name).filter(|_| !turn.halting) else { return };
        let from = app.count();
        let Some((to, finding)) = app.judge(turn.now, loads, available) else { return };
        let before = app.scaling.finding.as_ref().and_then(|finding| finding.hold);
        if to != from {
            app.resize(to, app.goal, Wish::Up, &mut self.next_worker, turn);
            turn.told.push((About::App(name.clone()), What::Scaled { from, to, finding: finding.clone() }));
        }
        if finding.wanted > Some(to) && finding.hold.is_some_and(|hold| hold.is_news_after(before)) {
            turn.told
                .push((About::App(name.clone()), What::ScalingHeld { at: to, finding: finding.clone() }));
        }
        app.scaling.finding = Some(finding);
    }

    /// How this app scales itself, if it does.
    pub fn scaling(&self, app: &AppName) -> Option<ScalingView<'_>> {
        let app = self.apps.get(app)?;
        let Scaling { finding, since, .. } = &app.scaling;
        let pause = app.pause();
        let finding = finding.as_ref().filter(|_| pause.is_none());
        Some(ScalingView {
            rules: app.autoscale()?,
            count: app.count(),
            since: *since,
            finding,
            hold: pause.or(finding.and_then(|finding| finding.hold)),
        })
    }
}

impl Hold {
    /// People want to know when more are needed than there can be, once.
    fn is_news_after(self, before: Option<Self>) -> bool {
        let bound = matches!(self, Self::Maximum | Self::Memory { .. });
        let same = |before| std::mem::discriminant(&before) == std::mem::discriminant(&self);
        bound && !before.is_some_and(same)
    }
}

#[cfg(test)]
mod tests;
