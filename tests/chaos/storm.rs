//! What happens to machines, only more often.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::cast::{CAST, Habit};
use crate::census::{Census, Citizen, run_of};
use crate::dice::Dice;
use crate::faults::{Frozen, Narrow};
use crate::process;
use crate::rain::Rain;

/// Supervisors die no faster, or most of the time there would be none.
const BETWEEN_SUPERVISORS: Duration = Duration::from_secs(3);

/// Kills one after the other.
pub fn strike(rain: &Rain<'_>, number: u64) {
    let mut dice = Dice::new(rain.seed, number);
    let mut spared_until = Instant::now() + dice.millis(0, 3000);
    while rain.falls() {
        thread::sleep(dice.millis(50, 800));
        let census = census(rain);
        if Instant::now() > spared_until
            && dice.once_in(4)
            && let Some(supervisor) = census.supervisor()
        {
            rain.fault(&format!("kills the supervisor {supervisor}"));
            process::kill(supervisor);
            rain.killed.fetch_add(1, Ordering::Relaxed);
            spared_until = Instant::now() + BETWEEN_SUPERVISORS;
            continue;
        }
        let killed = if dice.once_in(8) { 4 } else { 1 };
        let mut victims = census.of_apps();
        for _ in 0..killed.min(victims.len()) {
            kill(rain, victims.swap_remove(dice.below(victims.len())));
        }
    }
}

/// Whoever waits for an answer of it is excused, until it has been reaped: then the last of its threads has gone and the
/// kernel has closed its connections.
fn kill(rain: &Rain<'_>, victim: &Citizen) {
    let app = CAST.iter().find(|part| Some(part.name) == victim.app.as_deref());
    let excused = app.filter(|part| part.habit == Habit::Serving).map(|part| rain.traffic.excuse(part.name));
    // Its number may have another owner by now.
    if run_of(victim.pid) == victim.run {
        rain.fault(&format!("kills {} of {:?}, run {:?}", victim.pid, victim.app, victim.run));
        process::kill(victim.pid);
        while excused.is_some() && process::state(victim.pid).is_some() {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[derive(Clone, Copy)]
enum Fault {
    FreezeWorker,
    FreezeSupervisor,
    FillDisk,
    NarrowKeeper,
    NarrowSupervisor,
    ForbidForks,
}

const FAULTS: [(usize, Fault); 6] = [
    (4, Fault::FreezeWorker),
    (2, Fault::FreezeSupervisor),
    (2, Fault::FillDisk),
    (2, Fault::NarrowKeeper),
    (2, Fault::NarrowSupervisor),
    (2, Fault::ForbidForks),
];

/// Takes one thing away for a while, then another.
pub fn lame(rain: &Rain<'_>, number: u64) {
    let mut dice = Dice::new(rain.seed, number);
    while rain.falls() {
        thread::sleep(dice.millis(50, 1000));
        let census = census(rain);
        let span = dice.millis(100, 2000);
        let more = dice.below(4);
        let victim = dice.one_of(&census.of_apps()).cloned();
        match dice.weighted(&FAULTS) {
            Fault::FreezeWorker => {
                if let Some(victim) = victim {
                    let what = format!("freezes {} of {:?}", victim.pid, victim.app);
                    hold(rain, &what, span, || Some(Frozen::new(victim.pid)));
                }
            }
            Fault::FreezeSupervisor => {
                if let Some(supervisor) = census.supervisor() {
                    hold(rain, "freezes the supervisor", span, || Some(Frozen::new(supervisor)));
                }
            }
            Fault::FillDisk => {
                hold(rain, "fills the disk", span, || rain.ground.disk.as_ref().map(|disk| disk.fill()));
            }
            Fault::NarrowKeeper => narrow(rain, "the keeper", Some(rain.keeper), more, span),
            Fault::NarrowSupervisor => narrow(rain, "the supervisor", census.supervisor(), more, span),
            Fault::ForbidForks => hold(rain, "forbids forks", span, || rain.ground.forks.forbid()),
        }
    }
}

fn narrow(rain: &Rain<'_>, whom: &str, pid: Option<i32>, more: usize, span: Duration) {
    if let Some(pid) = pid {
        let what = format!("leaves {whom} {more} descriptors");
        hold(rain, &what, span, || Some(Narrow::new(&rain.ground.daemon, rain.keeper, pid, more)));
    }
}

/// Keeps a fault up for so long.
fn hold<F>(rain: &Rain<'_>, what: &str, span: Duration, fault: impl FnOnce() -> Option<F>) {
    rain.fault(&format!("{what} for {} ms", span.as_millis()));
    let fault = fault();
    thread::sleep(span);
    drop(fault);
    rain.journal.note("storm", &format!("no longer {what}"));
}

fn census(rain: &Rain<'_>) -> Census {
    Census::take(&rain.ground.daemon, rain.keeper)
}
