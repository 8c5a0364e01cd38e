//! What may be asked of the control groups of runs, and what do they tell?
//!
//! The keeper makes them, before a run is there; here they are read, and changed while it runs. Nothing about them is remembered:
//! where the keeper is says where they are (`supd_keeper::cgroup`).

mod alarm;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use supd_api::{AppDeclaration, CgroupPolicy, CgroupView, Fault, FaultCode, PressureView};
use supd_core::{AppName, Event, Exit, Phase, RunId, RunView};
use supd_keeper::cgroup::{Bounds, Groups, Leaf, Milliprocessors, NoGroups, Weight, leaf_name, offered};
use supd_keeper::protocol;

pub(crate) use alarm::{Alarms, Bell};

use crate::supervisor::care::figures::spoken;
use crate::supervisor::now;
use crate::supervisor::turn::{Shell, exit_of};

/// Of its `memory_high`, in percent, what a run must not be able to give back to count as too large. The kernel counts files that were
/// read too, and whoever reads many files is at the mark without having grown.
const TOO_LARGE: u64 = 90;
/// What to do where groups cannot keep what is declared.
const REMEDIES: [&str; 2] = [
    "run supd with `Delegate=yes`, by `supctl startup` or `systemd-run --user --scope -p Delegate=yes supctl …`, or name a group of \
        its own in SUPD_CGROUP; without: `max_memory_restart`, `rlimits`, `nice`",
    "the groups above have to hand the controller on (`cgroup.subtree_control`); without: `max_memory_restart`, `rlimits`, `nice`",
];

/// In the keeper's words.
pub(crate) fn bounds(policy: &CgroupPolicy) -> Bounds {
    Bounds {
        memory_high: policy.memory_high,
        memory_max: policy.memory_max,
        cpu_max: policy.cpu_max.map(|it| Milliprocessors(it.0)),
        cpu_weight: policy.cpu_weight.map(|it| Weight(it.0)),
        pids_max: policy.pids_max,
        io_weight: policy.io_weight.map(|it| Weight(it.0)),
    }
}

/// Whether what is declared can be kept here. Blocks for a moment.
///
/// # Errors
/// `Invalid` with the fields, the reason and the remedy.
pub(crate) fn check(app: &AppDeclaration) -> Result<(), Fault> {
    if app.cgroup.is_default() {
        return Ok(());
    }
    // The keeper is our parent.
    let groups = Groups::of(nix::unistd::getppid().as_raw());
    match unkept(&app.cgroup, groups.as_ref()) {
        None => Ok(()),
        Some(why) => {
            let text = format!("{}: {why}", app.name);
            Err(Fault::new(FaultCode::Invalid, text).hint(REMEDIES[usize::from(groups.is_ok())]))
        }
    }
}

/// Which fields cannot be kept, and why; `None`: all can.
fn unkept(policy: &CgroupPolicy, groups: Result<&Groups, &NoGroups>) -> Option<String> {
    match groups {
        Err(NoGroups::NotYet(group)) => without(policy.beyond(&offered(group)), group, &offered(group)),
        Err(why) => {
            let fields = named(policy.given().into_iter().map(|(field, _)| field));
            Some(format!("{fields} cannot be kept: supd has no control groups for its workers: {why}"))
        }
        Ok(groups) => without(groups.lacks(&bounds(policy)), groups.dir(), &groups.controllers()),
    }
}

fn without(fields: Vec<&str>, dir: &Path, controllers: &[String]) -> Option<String> {
    let has = if controllers.is_empty() { "no controllers".to_owned() } else { controllers.join(", ") };
    let fields = Some(fields).filter(|fields| !fields.is_empty())?;
    Some(format!("{} cannot be kept: {} has {has}", named(fields.into_iter()), dir.display()))
}

fn named<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    fields.map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

/// What is declared of runs and not kept: the machine has changed since it was accepted.
pub(crate) struct Unkept {
    keeper: i32,
    groups: OnceCell<Result<Groups, NoGroups>>,
}

impl Unkept {
    pub(crate) fn new(keeper: i32) -> Self {
        Self { keeper, groups: OnceCell::new() }
    }

    /// In words.
    pub(crate) fn of(&self, policy: &CgroupPolicy, app: &AppName, run: RunId) -> Option<String> {
        if policy.is_default() {
            return None;
        }
        let groups = self.groups.get_or_init(|| Groups::of(self.keeper)).as_ref();
        if let Some(why) = unkept(policy, groups) {
            return Some(format!("{why}; see `supctl doctor`"));
        }
        let leaf = leaf_name(run.0, &app.0);
        let lacks = groups.map_or_else(|_| policy.beyond(&[]), |it| it.leaf(&leaf).lacks(&bounds(policy)));
        let fields = Some(lacks).filter(|fields| !fields.is_empty())?;
        Some(format!(
            "{} are kept from the next start on: it began without a control group",
            named(fields.into_iter())
        ))
    }
}

impl Shell {
    /// Whether runs have groups of their own.
    pub(crate) fn cgroup_view(&self) -> CgroupView {
        match Groups::of(self.keeper_facts.pid) {
            Ok(groups) => {
                CgroupView::Own { dir: groups.dir().display().to_string(), controllers: groups.controllers() }
            }
            Err(why) => CgroupView::None(why.to_string()),
        }
    }

    /// The group of a run; it need not be there.
    fn leaf_of(&self, run: RunId) -> Option<Leaf> {
        let (app, ..) = self.core.run(run)?;
        Some(Groups::of(self.keeper_facts.pid).ok()?.leaf(&leaf_name(run.0, &app.0)))
    }

    /// Where the groups of workers are, or would be, by the worker.
    pub(crate) fn cgroups(&self) -> BTreeMap<u32, PathBuf> {
        let Ok(groups) = Groups::of(self.keeper_facts.pid) else { return BTreeMap::new() };
        let all = self.core.view(now().mono).filter_map(|seat| {
            let leaf = leaf_name(seat.run?.run.0, &seat.app.0);
            Some((seat.worker.0, groups.leaf(&leaf).path().to_owned()))
        });
        all.collect()
    }

    /// Its directory, if it is there.
    pub(crate) fn cgroup_of(&self, run: RunId) -> Option<PathBuf> {
        self.leaf_of(run).map(|leaf| leaf.path().to_owned()).filter(|dir| dir.exists())
    }

    /// How a run has ended. The kernel kills all of a run that reaches its bound, and counts that.
    pub(crate) fn exit_of(&self, run: RunId, exit: protocol::Exit) -> Exit {
        let exit = exit_of(exit);
        let bounded = || self.revision_of(run).is_some_and(|it| it.declaration.cgroup.memory_max.is_some());
        if exit != Exit::Signal(nix::libc::SIGKILL) || !bounded() {
            return exit;
        }
        let events = self.leaf_of(run).and_then(|leaf| leaf.events()).unwrap_or_default();
        if events.oom > 0 && events.oom_kill > 0 { Exit::OutOfMemory } else { exit }
    }

    /// A run that is up is replaced when it grows to its mark, if it has one.
    pub(crate) fn mark_memory(&mut self, run: RunId) {
        let ready = |view: &RunView| matches!(view.phase, Phase::Ready { .. });
        if self.core.run(run).is_none_or(|(.., view)| !ready(&view)) {
            return;
        }
        let marked = self.revision_of(run).is_some_and(|it| it.declaration.cgroup.memory_high.is_some());
        if let Some(leaf) = self.leaf_of(run).filter(|_| marked) {
            self.alarms.watch(run, &leaf.events_file());
            // It may stand at the mark without reaching for more.
            self.look_at_memory(run);
        }
    }

    /// The kernel has counted something for this run.
    pub(crate) fn on_bell(&mut self, bell: Bell) {
        if let Some(run) = self.alarms.run_of(bell) {
            self.look_at_memory(run);
        }
    }

    fn look_at_memory(&mut self, run: RunId) {
        let Some(mark) = self.revision_of(run).and_then(|it| it.declaration.cgroup.memory_high) else {
            return;
        };
        let Some(leaf) = self.leaf_of(run) else { return };
        let reached = leaf.events().is_some_and(|events| events.high > 0);
        let Some(held) = leaf.held().filter(|held| reached && is_too_large(*held, mark)) else { return };
        self.alarms.leave(run);
        let why = format!("uses {} of memory, its memory_high is {}", spoken(held), spoken(mark));
        self.turn(Event::Oversize { run, why });
    }

    /// What is declared of this app has changed while its runs go on.
    pub(crate) fn bound_anew(&mut self, app: &AppName) {
        let runs = self.core.runs().filter(|(name, ..)| *name == app);
        let runs: Vec<RunId> = runs.map(|(.., run)| run.run).collect();
        for run in runs {
            self.alarms.leave(run);
            let Some(revision) = self.revision_of(run) else { continue };
            let Some(leaf) = self.leaf_of(run) else { continue };
            if let Err(error) = leaf.rebound(&bounds(&revision.declaration.cgroup)) {
                tracing::error!(
                    "run {run} of {app}: its control group does not take what is declared: {error}"
                );
            }
            self.mark_memory(run);
        }
    }

    /// That what is declared cannot be kept for a run that is about to start.
    pub(crate) fn warn_of_unkept(&self, app: &AppDeclaration, run: RunId) {
        if app.cgroup.is_default() {
            return;
        }
        let groups = Groups::of(self.keeper_facts.pid);
        if let Some(why) = unkept(&app.cgroup, groups.as_ref()) {
            tracing::warn!("run {run} of {} starts nevertheless: {why}", app.name);
        }
    }
}

/// For what the run in this group waits.
pub(crate) fn pressure(dir: &Path) -> Option<PressureView> {
    let pressure = Leaf::from(dir.to_owned()).pressure()?;
    Some(PressureView { cpu: pressure.cpu, memory: pressure.memory, io: pressure.io })
}

fn is_too_large(held: u64, mark: u64) -> bool {
    held >= mark / 100 * TOO_LARGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_were_read_make_nobody_large() {
        assert!(is_too_large(95 << 20, 100 << 20) && is_too_large(1, 0));
        assert!(!is_too_large(89 << 20, 100 << 20));
    }

    #[test]
    fn what_cannot_be_kept_is_named_with_the_reason() {
        let policy = CgroupPolicy { memory_max: Some(1), pids_max: Some(1), ..CgroupPolicy::default() };
        let none = NoGroups::NotDelegated("/sys/fs/cgroup/user.slice".into());
        let why = unkept(&policy, Err(&none)).expect("it is not kept");
        let said = "`memory_max`, `pids_max` cannot be kept: supd has no control groups for its workers: its control group \
            /sys/fs/cgroup/user.slice is not delegated to it";
        assert_eq!(why, said);
        // This process is no keeper, so it has none to show.
        let unkept = Unkept::new(std::process::id().cast_signed());
        let app = AppName("web".to_owned());
        assert!(unkept.of(&policy, &app, RunId(1)).is_some_and(|text| text.contains("cannot be kept")));
        assert_eq!(unkept.of(&CgroupPolicy::default(), &app, RunId(1)), None);
    }
}
