//! Apps that scale themselves by their load.

use proptest::prelude::*;
use supd_core::{Bytes, Event, Hold, Load, Millicpu};

use crate::config;
use crate::script::{App, Op, Profile, fair_profile, name};
use crate::world::World;

/// From one look at the load to the next.
const PERIOD: u64 = 15_000;
/// The window of `script::autoscale`, in looks.
const WINDOW: usize = 4;

fn scaling(min: u32, max: u32) -> App {
    App { count: min, autoscale: Some((min, max)), ..App::overlapping() }
}

fn count(world: &World) -> u32 {
    world.core.scaling(&name(0)).expect("it scales itself").count
}

fn wanted(world: &World) -> Option<u32> {
    world.core.scaling(&name(0)).expect("it scales itself").finding?.wanted
}

fn hold(world: &World) -> Option<Hold> {
    world.core.scaling(&name(0)).expect("it scales itself").hold
}

/// Work for so many processors, shared by all ready workers: one of them cannot use more than one. What a look then shows.
fn look(world: &mut World, work: u64) -> u32 {
    let ready = world.ready_runs(0);
    let cpu = (work / ready.len().max(1) as u64).min(1_000);
    world.run(&Op::Load { app: 0, cpu: Some(cpu), memory: 10, available: None });
    world.run(&Op::Advance(PERIOD));
    count(world)
}

proptest! {
    #![proptest_config(config(3_000))]

    /// Whatever the load does: within the bounds, in steps that are allowed, and never down to fewer than were asked for within
    /// the window. A supervisor may die in between.
    #[test]
    fn never_down_before_the_window_is_over(
        bounds in (1u32..4, 0u32..9),
        works in prop::collection::vec((0u64..9_000, any::<bool>()), 1..40),
        good in prop::collection::vec(fair_profile(), 1..4),
    ) {
        let (min, max) = (bounds.0, bounds.0 + bounds.1);
        let mut world = World::new(good);
        world.run(&Op::Apply { app: 0, kind: scaling(min, max), gently: false, timeout: None });
        world.run(&Op::Advance(PERIOD));
        let (mut before, mut asked) = (count(&world), vec![count(&world)]);
        for (work, dies) in works {
            if dies {
                world.run(&Op::KillSupervisor { effects_lost: false });
            }
            let after = look(&mut world, work);
            prop_assert!((min..=max).contains(&after));
            prop_assert!(after <= (before * 2).max(before + 4));
            asked.extend(wanted(&world));
            let of_late = *asked.iter().rev().take(WINDOW).max().expect("one");
            prop_assert!(after >= before || after >= of_late.min(max), "{before} → {after}: {asked:?}");
            before = after;
        }
        world.end();
    }

    /// Under a constant load it comes to a number and stays there.
    #[test]
    fn no_flapping(work in 0u64..12_000, begin in 1u32..12) {
        let mut world = World::new(vec![Profile::GOOD]);
        let kind = App { count: begin, ..scaling(1, 12) };
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(PERIOD));
        let counts: Vec<u32> = (0..30).map(|_| look(&mut world, work)).collect();
        let settled = counts[20];
        prop_assert!(counts[20..].iter().all(|count| *count == settled), "{counts:?}");
        // Within the tolerance.
        let fewest = (1..12).find(|count| work / u64::from(*count) <= 660).unwrap_or(12);
        prop_assert!(settled >= fewest, "{settled} for {work}");
        let turns = counts.windows(3).filter(|it| (it[1] > it[0]) != (it[2] > it[1]) && it[0] != it[1] && it[1] != it[2]);
        prop_assert_eq!(turns.count(), 0, "{:?}", counts);
        world.end();
    }
}

fn started(kind: App) -> World {
    let mut world = World::new(vec![Profile::GOOD]);
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(PERIOD));
    world
}

#[test]
fn up_at_once_and_down_after_the_window() {
    let mut world = started(scaling(2, 8));
    assert_eq!(look(&mut world, 2_000), 4, "1.67 times as many");
    assert_eq!(look(&mut world, 4_800), 7, "each uses all it can get");
    assert_eq!((look(&mut world, 6_000), hold(&world)), (8, Some(Hold::Maximum)));
    let down: Vec<u32> = (0..WINDOW + 2).map(|_| look(&mut world, 100)).collect();
    assert_eq!(down, [8, 8, 8, 2, 2, 2]);
    world.end();
}

#[test]
fn what_was_said_by_hand_holds_for_the_window() {
    let mut world = started(scaling(1, 8));
    assert_eq!(look(&mut world, 100), 1);
    world.run(&Op::Scale { app: 0, count: 5 });
    world.run(&Op::Advance(PERIOD));
    let after: Vec<u32> = (0..WINDOW + 2).map(|_| look(&mut world, 100)).collect();
    assert_eq!(after, [5, 5, 5, 5, 1, 1]);
    world.run(&Op::Scale { app: 0, count: 100 });
    assert_eq!(count(&world), 8, "no more than are allowed");
    world.end();
}

#[test]
fn nothing_is_decided_while_workers_are_moved_or_stopped() {
    let mut world = started(scaling(2, 8));
    world.run(&Op::Reload { app: 0, timeout: None });
    world.run(&Op::Load { app: 0, cpu: Some(1_000), memory: 10, available: None });
    assert_eq!((count(&world), hold(&world)), (2, Some(Hold::Rollout)));
    world.run(&Op::Advance(PERIOD));
    world.run(&Op::Stop { nth: 1 });
    assert_eq!((look(&mut world, 1_000), hold(&world)), (2, Some(Hold::Stopped)));
    world.run(&Op::StartAll);
    world.run(&Op::Advance(PERIOD));
    assert_eq!(look(&mut world, 2_000), 4);
    world.run(&Op::Advance(WINDOW as u64 * PERIOD));
    // Nobody looks at an app that is down, and yet its window begins anew.
    world.run(&Op::StopAll);
    assert_eq!(hold(&world), Some(Hold::Stopped));
    world.run(&Op::StartAll);
    world.run(&Op::Advance(PERIOD));
    let after: Vec<u32> = (0..WINDOW + 2).map(|_| look(&mut world, 100)).collect();
    assert_eq!(after, [4, 4, 4, 4, 2, 2]);
    world.end();
}

#[test]
fn its_number_outlives_changes_and_reboots() {
    let mut world = started(scaling(2, 8));
    assert_eq!(look(&mut world, 2_000), 4);
    world.run(&Op::Apply { app: 0, kind: scaling(1, 6), gently: true, timeout: None });
    world.run(&Op::Advance(PERIOD));
    assert_eq!(count(&world), 4);
    world.run(&Op::Amend { app: 0, kind: scaling(5, 6) });
    assert_eq!(count(&world), 5, "no fewer than are allowed now");
    world.run(&Op::Reboot);
    world.run(&Op::Advance(PERIOD));
    assert_eq!(count(&world), 5);
    world.run(&Op::Apply {
        app: 0,
        kind: App { count: 3, ..App::overlapping() },
        gently: false,
        timeout: None,
    });
    world.run(&Op::Advance(PERIOD));
    assert_eq!(world.workers(&name(0)).len(), 3, "as declared, once it does not scale itself any more");
    world.end();
}

/// Who has fallen into a crash loop, or was given up, neither asks for more nor for fewer.
#[test]
fn those_that_fail_are_no_load() {
    let dies = Profile { dies_after: Some(5), ..Profile::GOOD };
    let mut world = World::new(vec![Profile::GOOD, dies]);
    let kind = App { pm2_max_restarts: Some(1), told: None, ..scaling(4, 8) };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(PERIOD));
    let ready = world.ready_runs(0);
    assert_eq!(ready.len(), 2, "half of them were given up");
    let mut at = |cpu: u64| {
        let runs = ready.iter().map(|run| Load { run: *run, cpu: Some(Millicpu(cpu)), memory: Bytes(10) });
        world.handle(Event::Load { app: name(0), runs: runs.collect(), available: None });
        count(&world)
    };
    assert_eq!(at(640), 4, "on target");
    assert_eq!(at(700), 4, "that two of them need 3 is no reason to have fewer");
    assert_eq!(at(1_400), 5);
    world.end();
}
