//! What must hold after every step. The numbers are those of the design.

use std::collections::{BTreeMap, BTreeSet};

use supd_core::{
    AppName, Condition, Effect, Event, Hold, Mono, Now, Phase, RunId, State, Supervisor, WorkerId,
};

use crate::world::World;

/// The largest surge a script asks for.
const SURGE: usize = 2;

pub fn after_a_turn(world: &World) {
    few_enough_runs(world);
    core_and_world_agree(world);
    nothing_left_to_do(world);
    over_is_over(world);
}

/// 1: never more than two runs a worker; never more active runs than seats and surge.
fn few_enough_runs(world: &World) {
    let mut by_worker: BTreeMap<WorkerId, usize> = BTreeMap::new();
    let mut active: BTreeMap<&AppName, usize> = BTreeMap::new();
    for (app, worker, _, run) in world.core.runs() {
        *by_worker.entry(worker).or_default() += 1;
        *active.entry(app).or_default() += usize::from(is_active(run.phase));
    }
    assert!(by_worker.values().all(|runs| *runs <= 2), "more than two runs: {by_worker:?}");
    for (app, runs) in active {
        let seats = world.core.view(world.now.mono).filter(|seat| seat.app == app).count();
        assert!(runs <= seats + SURGE, "{app}: {runs} active runs for {seats} seats");
    }
}

fn is_active(phase: Phase) -> bool {
    match phase {
        Phase::Spawning { .. } | Phase::Starting { .. } | Phase::Ready { .. } => true,
        Phase::Draining { .. } | Phase::Stopping { .. } | Phase::Sweeping { .. } => false,
    }
}

/// 4: what lives is known, and what is known has not been reported over.
fn core_and_world_agree(world: &World) {
    let known: BTreeSet<RunId> = world.core.runs().map(|(_, _, _, run)| run.run).collect();
    let strangers: Vec<RunId> = world.alive().filter(|run| !known.contains(run)).collect();
    assert!(strangers.is_empty(), "alive but unknown: {strangers:?}");
    let ghosts: Vec<&RunId> = known.intersection(&world.over).collect();
    assert!(ghosts.is_empty(), "over but held: {ghosts:?}");
}

/// 5 and 6: a second turn at the same moment changes nothing, and no deadline is in the past.
fn nothing_left_to_do(world: &World) {
    let mut again = world.core.clone();
    let effects = again.handle(world.now, Event::Tick);
    assert!(effects.is_empty(), "reconcile twice is not once: {effects:?}");
    assert_eq!(again, world.core, "reconcile twice is not once");
    if let Some(deadline) = world.core.next_deadline() {
        assert!(deadline > world.now.mono, "a deadline has been passed over");
    }
}

/// Everything is over exactly when nothing lives and no time that passes brings anything back.
fn over_is_over(world: &World) {
    let none_runs = world.core.runs().next().is_none();
    if world.core.over().is_some() {
        assert!(none_runs, "over, and something runs");
        let later = Now { mono: Mono(u64::MAX / 2), ..world.now };
        let effects = world.core.clone().handle(later, Event::Tick);
        let starts = |effect: &&Effect| matches!(effect, Effect::Spawn { .. });
        assert_eq!(effects.iter().find(starts), None, "over, and then it goes on");
    } else if none_runs && world.core.next_deadline().is_none() && !world.core.is_halting() {
        assert!(world.spawn_times().is_empty(), "nothing will ever happen, and it is not over");
    }
}

/// 11 and 12: a first start comes after what its app depends on has come to be, an end after those that depend on it.
pub fn in_order(before: &Supervisor, world: &World, effects: &[Effect]) {
    for effect in effects {
        match effect {
            Effect::Spawn { app, worker, .. } if world.is_first_start(before, app, *worker) => {
                for (on, condition) in world.depends_on(app) {
                    let met = |core: &Supervisor| is_met(core, world.now, &on, condition);
                    assert!(met(before) || met(&world.core), "{app} is started before {on} is {condition:?}");
                }
            }
            Effect::Drain { run } | Effect::Stop { run } => {
                let Some((app, _, _, view)) = before.run(*run) else { continue };
                if matches!(view.phase, Phase::Ready { .. }) && is_ending(&world.core, app) {
                    let waited_for: Vec<_> = world
                        .all_below()
                        .into_iter()
                        .filter(|(above, below)| {
                            below == app && !world.all_below().contains(&(below.clone(), above.clone()))
                        })
                        .filter(|(above, _)| is_ending(&world.core, above))
                        .filter(|(above, _)| world.core.runs().any(|(name, ..)| name == above))
                        .collect();
                    assert!(waited_for.is_empty(), "{app} is stopped too early: {waited_for:?}");
                }
            }
            _ => {}
        }
    }
}

/// Nothing of it shall run any more.
fn is_ending(core: &Supervisor, app: &AppName) -> bool {
    let up = core.entrusted().any(|(name, _, _, seats)| name == app && seats.iter().any(|seat| seat.up));
    core.is_halting() || !up
}

fn is_met(core: &Supervisor, now: Now, app: &AppName, condition: Condition) -> bool {
    let mut runs = core.runs().filter(|(name, ..)| *name == app).map(|(_, _, _, run)| run);
    match condition {
        Condition::Started => runs.any(|run| run.pid.is_some() && is_active(run.phase)),
        Condition::Ready => runs.any(|run| matches!(run.phase, Phase::Ready { .. })),
        Condition::Completed => {
            let kept = core
                .entrusted()
                .find(|(name, ..)| *name == app)
                .map(|(_, _, _, seats)| seats)
                .unwrap_or_default();
            let done = |worker| {
                let seat = core.view(now.mono).find(|seat| seat.worker == worker).expect("it is kept");
                (seat.state, seat.reason.as_str()) == (State::Stopped, "exited with code 0")
            };
            !kept.is_empty() && kept.iter().all(|seat| done(seat.worker))
        }
    }
}

/// 13: a look at the load brings the number of workers within its bounds, or changes nothing.
pub fn within_bounds(world: &World, app: &AppName, before: u32) {
    let Some(scaling) = world.core.scaling(app) else { return };
    let within = (scaling.rules.min..=scaling.rules.max).contains(&scaling.count);
    let paused = matches!(scaling.hold, Some(Hold::Rollout | Hold::Stopped));
    assert!(within || (world.core.is_halting() || paused) && scaling.count == before, "{scaling:?}");
}

/// 8: a supervisor restored from a snapshot gives the same effects.
pub fn same_after_a_round_trip(core: &Supervisor, now: Now, event: &Event) {
    let text = serde_json::to_string(&core.snapshot()).expect("a snapshot is JSON");
    let mut twin =
        Supervisor::restore(serde_json::from_str(&text).expect("it can be read back")).expect("our version");
    let mut core = core.clone();
    assert_eq!(twin.handle(now, event.clone()), core.handle(now, event.clone()));
    assert_eq!(twin, core);
}

/// 7 and 9: after a shutdown nothing is left, and everyone still there has been answered.
pub fn all_gone(world: &World) {
    let left: Vec<RunId> = world.alive().collect();
    assert!(left.is_empty(), "still alive: {left:?}");
    assert!(world.processes.is_empty(), "not forgotten: {:?}", world.processes.keys());
    assert_eq!(world.core.runs().count(), 0);
    let silent: Vec<_> = world
        .asked
        .iter()
        .filter(|id| !world.answered.contains(id) && !world.abandoned.contains(id))
        .collect();
    assert!(silent.is_empty(), "never answered: {silent:?}");
}
