//! Workers that grow too large.

use proptest::prelude::*;
use supd_core::{Event, Phase, RunId, State};

use crate::config;
use crate::script::{App, Op, Profile, fair_profile};
use crate::world::World;

proptest! {
    #![proptest_config(config(5_000))]

    /// One that is too large serves until its replacement does, whenever it is found to be, so nobody notices.
    #[test]
    fn nobody_notices_that_workers_are_too_large(
        count in 1u32..5,
        surge in 1u32..3,
        good in prop::collection::vec(fair_profile(), 1..4),
        large in prop::collection::vec((any::<u8>(), prop_oneof![Just(0), 0u64..40_000]), 1..10),
        kill_supervisor_after in prop::option::of(0u64..20_000),
    ) {
        let mut world = World::new(good);
        let kind = App { count, surge, ..App::overlapping() };
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        world.require_ready(0, count);
        for (nth, pause) in large {
            world.run(&Op::Oversize { nth });
            world.run(&Op::Advance(pause));
        }
        if let Some(after) = kill_supervisor_after {
            world.run(&Op::Advance(after));
            world.run(&Op::KillSupervisor { effects_lost: false });
        }
        world.run(&Op::Advance(300_000));
        prop_assert!(world.core.view(world.now.mono).all(|seat| seat.reason == "ready" && seat.unstable == 0));
        world.end();
    }
}

fn apply(world: &mut World, kind: App) {
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
}

/// The runs that are up.
fn ready(world: &World) -> Vec<RunId> {
    let runs = world.core.runs().filter(|(.., run)| matches!(run.phase, Phase::Ready { .. }));
    runs.map(|(.., run)| run.run).collect()
}

fn too_large(world: &mut World, runs: &[RunId]) {
    for run in runs {
        world.handle(Event::Oversize { run: *run, why: "uses 2 MB, may use 1 MB".to_owned() });
    }
}

/// A limit below what the program takes at least: no hot loop, and it is up nearly all of the time.
#[test]
fn a_limit_that_cannot_be_kept_does_not_keep_the_app_down() {
    for kind in [App::plain(), App::overlapping()] {
        let mut world = World::new(vec![Profile::GOOD]);
        apply(&mut world, kind);
        let mut down = 0;
        for _ in 0..600 {
            let runs = ready(&world);
            down += u32::from(runs.is_empty());
            too_large(&mut world, &runs);
            world.run(&Op::Advance(1_000));
        }
        let starts = world.spawn_times().len();
        assert!((20..45).contains(&starts), "{starts} starts in ten minutes");
        assert!(down < 10, "each restart takes but a moment, yet it was down in {down} of 600 seconds");
        let seat = world.core.view(world.now.mono).next().expect("a seat");
        assert_eq!(
            (seat.state, seat.unstable as usize, seat.restarts as usize),
            (State::Online, 0, starts - 1)
        );
        assert!(
            seat.reason == "ready" || seat.reason.ends_with("uses 2 MB, may use 1 MB"),
            "{}",
            seat.reason
        );
        assert!(seat.last_oversize.is_some());
        world.end();
    }
}

/// Those that have their ports for themselves go down one after another.
#[test]
fn not_all_at_once() {
    let mut world = World::new(vec![Profile { ready_after: Some(500), ..Profile::GOOD }]);
    apply(&mut world, App { count: 4, parallel: 1, told: Some(supd_core::OnLate::Fail), ..App::plain() });
    world.require_ready(0, 3);
    let before = ready(&world);
    too_large(&mut world, &before);
    world.run(&Op::Advance(10_000));
    assert!(ready(&world).iter().all(|run| !before.contains(run)));
    world.end();
}

/// It works, so it may finish what it has, unlike one that is unfit.
#[test]
fn it_drains_in_full() {
    let slow = Profile { drains_after: Some(1_900), ..Profile::GOOD };
    let mut world = World::new(vec![slow]);
    apply(&mut world, App::overlapping());
    let before = ready(&world);
    too_large(&mut world, &before);
    world.run(&Op::Advance(1_800));
    let drains = |phase| matches!(phase, Phase::Draining { .. });
    assert!(world.core.runs().any(|(.., run)| run.run == before[0] && drains(run.phase)));
    world.end();
}

/// `autorestart` is about exits that nobody asked for.
#[test]
fn one_that_is_not_restarted_is_replaced_all_the_same() {
    let mut world = World::new(vec![Profile::GOOD]);
    apply(&mut world, App { autorestart: false, ..App::plain() });
    let before = ready(&world);
    too_large(&mut world, &before);
    world.run(&Op::Advance(10_000));
    assert_eq!(ready(&world).len(), 1);
    assert_ne!(ready(&world), before);
    world.end();
}
