//! The core against a simulated machine under virtual time: random scripts of wishes, faults and crashes of the
//! supervisor, and after every step the invariants of the design.

mod autoscale;
mod invariants;
mod jobs;
mod oversize;
mod script;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use script::{App, Op, Profile, fair_profile, op, profile};
use supd_core::{
    Condition, Effect, Event, Exit, Known, KnownState, Now, OnLate, Over, Pid, RunId, State, Supervisor,
};
use world::World;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(30_000))]

    /// Whatever is wished and whatever breaks: all invariants hold, and a shutdown ends everything in bounded time.
    #[test]
    fn any_script(ops in prop::collection::vec(op(), 1..40), profiles in prop::collection::vec(profile(), 1..12)) {
        let mut world = World::new(profiles);
        for op in &ops {
            world.run(op);
        }
        world.end();
    }
}

proptest! {
    #![proptest_config(config(5_000))]

    /// In reloads where nothing misbehaves, ready runs never drop below the count (invariant 2).
    #[test]
    fn a_reload_of_good_workers_never_serves_with_fewer(
        count in 1u32..6,
        surge in 1u32..3,
        pauses in prop::collection::vec(0u64..4_000, 1..6),
        profiles in prop::collection::vec(fair_profile(), 1..8),
    ) {
        let mut world = World::new(profiles);
        world.run(&Op::Apply { app: 0, kind: App { count, surge, ..App::overlapping() }, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        world.require_ready(0, count);
        for (n, pause) in pauses.into_iter().enumerate() {
            match n % 3 {
                0 => world.run(&Op::Reload { app: 0, timeout: None }),
                1 => world.run(&Op::Renew { app: 0 }),
                _ => world.run(&Op::Apply { app: 0, kind: App { count, surge, ..App::overlapping() }, gently: true, timeout: None }),
            }
            world.run(&Op::Advance(pause));
        }
        world.run(&Op::Advance(120_000));
        world.require_ready(0, count);
        prop_assert_eq!(world.revisions_in_service(0).len(), 1, "one revision serves at the end");
        world.end();
    }

    /// A rollout whose replacement never gets ready leaves the old workers serving (invariant 3).
    #[test]
    fn a_bad_release_changes_nothing(
        count in 1u32..6,
        surge in 1u32..3,
        good in prop::collection::vec(fair_profile(), 1..4),
        bad in prop::sample::select(Profile::BAD.to_vec()),
        late in prop::sample::select(vec![OnLate::Fail, OnLate::Assume]),
        kill_supervisor_after in prop::option::of(0u64..5_000),
    ) {
        let mut world = World::new(good);
        let kind = App { count, surge, told: Some(late), ..App::overlapping() };
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        let before = world.revisions_in_service(0);
        world.require_ready(0, count);
        world.set_profile_of_next_revision(bad);
        world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
        if let Some(after) = kill_supervisor_after {
            world.run(&Op::Advance(after));
            world.run(&Op::KillSupervisor { effects_lost: false });
        }
        world.run(&Op::Advance(300_000));
        prop_assert_eq!(world.revisions_in_service(0), before);
        prop_assert!(kill_supervisor_after.is_some() || world.last_answer_failed());
        world.end();
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    /// A release that gets ready and then falls into a crash loop is taken back, and the old one serves again.
    #[test]
    fn a_crash_loop_after_the_reload_is_taken_back(
        count in 1u32..5,
        surge in 1u32..3,
        dies_after in 0u64..4_000,
        kill_supervisor_after in prop::option::of(0u64..20_000),
    ) {
        let mut world = World::new(vec![Profile::GOOD]);
        let kind = App { count, surge, ..App::overlapping() };
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        let before = world.revisions_in_service(0);
        world.set_profile_of_next_revision(Profile { dies_after: Some(100 + dies_after), ..Profile::GOOD });
        world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
        if let Some(after) = kill_supervisor_after {
            world.run(&Op::Advance(after));
            world.run(&Op::KillSupervisor { effects_lost: false });
        }
        world.run(&Op::Advance(120_000));
        prop_assert_eq!(world.revisions_in_service(0), before);
        world.require_ready(0, count);
        world.end();
    }

    /// A worker that fails its checks goes when its replacement is ready, so nobody notices.
    #[test]
    fn a_worker_that_fails_its_checks_serves_until_its_replacement_does(
        count in 1u32..5,
        good in prop::collection::vec(fair_profile(), 1..4),
        unfit in prop::collection::vec((any::<u8>(), 0u64..20_000), 1..6),
    ) {
        let mut world = World::new(good);
        let kind = App { count, ..App::overlapping() };
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        world.require_ready(0, count);
        for (nth, pause) in unfit {
            world.run(&Op::Unfit { nth });
            world.run(&Op::Advance(pause));
        }
        world.run(&Op::Advance(300_000));
        prop_assert!(world.core.view(world.now.mono).all(|seat| seat.reason == "ready"));
        world.end();
    }
}

/// Workers that live for a moment each, again and again, are never all up at once; each has been.
#[test]
fn a_start_of_what_never_stays_up_is_answered() {
    let brief = |after| Profile { executes_after: Some(after), dies_after: Some(3), ..Profile::GOOD };
    let mut world = World::new(vec![brief(10), brief(17)]);
    let kind = App { count: 2, pm2_max_restarts: Some(1_000_000), ..App::plain() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(16));
    assert!(world.answered.is_empty(), "the second has not been up");
    world.run(&Op::Advance(5));
    assert_eq!(world.answered, world.asked, "the first is not up any more");
    world.end();
}

/// A rollback goes to the version before, and back again.
#[test]
fn a_rollback_returns_to_the_version_before() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    world.run(&Op::Rollback { app: 0 });
    assert!(world.last_answer_failed(), "there is none before the first");
    let first = world.revisions_in_service(0);
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(60_000));
    let second = world.revisions_in_service(0);
    for expected in [&first, &second, &first] {
        world.run(&Op::Rollback { app: 0 });
        world.run(&Op::Advance(60_000));
        assert_eq!(world.revisions_in_service(0), *expected);
        assert!(!world.last_answer_failed());
    }
    world.end();
}

/// What needs no new processes gets none: those that run are of the new version from then on, and their end is judged by it.
#[test]
fn an_amended_app_goes_on_as_it_runs() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::plain() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let (before, first): (Vec<RunId>, _) = (world.alive().collect(), world.revisions_in_service(0));
    world.run(&Op::Amend { app: 0, kind: App { autorestart: false, ..kind } });
    assert!(!world.last_answer_failed());
    assert_eq!(world.alive().collect::<Vec<_>>(), before);
    assert_ne!(world.revisions_in_service(0), first);
    world.run(&Op::Crash { nth: 0 });
    world.run(&Op::Advance(60_000));
    let ended = world.core.view(world.now.mono).filter(|seat| seat.state == State::Stopped).count();
    assert_eq!(ended, 1, "the new policy restarts nothing");
    // The number of workers needs no reload either.
    world.run(&Op::Amend { app: 0, kind: App { count: 4, ..kind } });
    world.run(&Op::Advance(60_000));
    assert!(world.alive().any(|run| run == before[1]) && world.alive().count() == 3);
    world.run(&Op::StopApp { app: 0 });
    world.run(&Op::Advance(60_000));
    world.run(&Op::Amend { app: 0, kind: App { count: 5, ..kind } });
    world.run(&Op::Advance(60_000));
    assert_eq!(world.alive().count(), 0, "what was stopped stays so");
    world.end();
}

/// In a rollout an amendment is its new target.
#[test]
fn an_amendment_in_a_rollout_is_its_new_target() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let first = world.revisions_in_service(0);
    world.require_ready(0, 2);
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Amend { app: 0, kind });
    world.run(&Op::Advance(60_000));
    let last = world.revisions_in_service(0);
    assert!(last.len() == 1 && last != first);
    world.end();
}

/// What was stopped stays so, and what is up gets new processes.
#[test]
fn a_renewal_starts_nothing_that_was_stopped() {
    for kind in [App::plain(), App::overlapping(), App { count: 3, ..App::plain() }] {
        let mut world = World::new(vec![Profile::GOOD]);
        world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
        world.run(&Op::Advance(60_000));
        let before: Vec<RunId> = world.alive().collect();
        world.run(&Op::Renew { app: 0 });
        world.run(&Op::Advance(60_000));
        assert_eq!(world.alive().count(), before.len());
        assert!(world.alive().all(|run| !before.contains(&run)), "new processes");
        world.run(&Op::StopApp { app: 0 });
        world.run(&Op::Advance(60_000));
        world.run(&Op::Renew { app: 0 });
        world.run(&Op::Advance(60_000));
        assert_eq!(world.alive().count(), 0);
        world.end();
    }
}

/// What ended by itself was not stopped by anybody: it runs again, by whatever rule it ended.
#[test]
fn a_renewal_brings_back_what_ended_by_itself() {
    for (code, autorestart) in [(0, false), (1, false), (99, true)] {
        for kind in [App::plain(), App::overlapping(), App { count: 3, ..App::plain() }] {
            let mut world = World::new(vec![Profile { dies_after: Some(5_000), code, ..Profile::GOOD }]);
            world.run(&Op::Apply { app: 0, kind: App { autorestart, ..kind }, gently: false, timeout: None });
            world.run(&Op::Advance(60_000));
            assert_eq!(world.alive().count(), 0);
            world.run(&Op::Renew { app: 0 });
            world.run(&Op::Advance(1_000));
            assert!(world.alive().count() > 0, "code {code}");
            world.run(&Op::Advance(60_000));
            assert_eq!(world.alive().count(), 0);
            world.end();
        }
    }
}

/// Several workers without overlap go one after the other.
#[test]
fn a_renewal_leaves_others_at_work() {
    let mut world = World::new(vec![Profile::GOOD]);
    world.run(&Op::Apply { app: 0, kind: App { count: 3, ..App::plain() }, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    world.require_ready(0, 1);
    world.run(&Op::Renew { app: 0 });
    world.run(&Op::Advance(60_000));
    world.end();
}

/// Whoever waits for a reload waits for the processes that a change in the middle of it asks for, and for the new version.
#[test]
fn a_renewal_takes_no_reload_away() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 3, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let before = world.revisions_in_service(0);
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(60));
    world.run(&Op::Renew { app: 0 });
    world.run(&Op::Advance(60_000));
    assert!(world.asked.is_subset(&world.answered) && !world.last_answer_failed());
    assert_ne!(world.revisions_in_service(0), before);
    world.end();
}

/// A renewal after a bad release is none of its crashes: the release is still taken back.
#[test]
fn a_renewal_ends_no_probation() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let before = world.revisions_in_service(0);
    world.set_profile_of_next_revision(Profile { dies_after: Some(3_000), ..Profile::GOOD });
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(1_000));
    world.run(&Op::Renew { app: 0 });
    world.run(&Op::Advance(60_000));
    assert_eq!(world.revisions_in_service(0), before);
    world.end();
}

/// Where nobody tells that it is ready, a replacement has to live for a while before the old one goes.
#[test]
fn a_replacement_that_dies_young_changes_nothing() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, told: None, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let before = world.revisions_in_service(0);
    world.require_ready(0, 2);
    world.set_profile_of_next_revision(Profile { ready_after: None, dies_after: Some(800), ..Profile::GOOD });
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(60_000));
    assert!(world.last_answer_failed());
    assert_eq!(world.revisions_in_service(0), before);
    world.end();
}

/// After a reload one crash is an accident.
#[test]
fn one_crash_takes_nothing_back() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let before = world.revisions_in_service(0);
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(5_000));
    world.run(&Op::Crash { nth: 0 });
    world.run(&Op::Advance(60_000));
    assert_ne!(world.revisions_in_service(0), before);
    world.end();
}

/// No more workers are on the move than allowed, counting those whose predecessor still drains.
#[test]
fn a_reload_waits_for_those_who_leave() {
    let slow = Profile { drains_after: None, goes_after: None, ..Profile::GOOD };
    let mut world = World::new(vec![slow]);
    let kind = App { count: 5, surge: 2, parallel: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    world.run(&Op::Reload { app: 0, timeout: None });
    for _ in 0..40 {
        let mut runs = BTreeMap::new();
        world.core.runs().for_each(|(_, worker, ..)| *runs.entry(worker).or_insert(0) += 1);
        assert!(runs.values().filter(|runs| **runs > 1).count() <= 2, "{runs:?}");
        world.run(&Op::Advance(500));
    }
    assert!(!world.last_answer_failed());
    world.end();
}

/// Who asks for more time while it starts gets it.
#[test]
fn a_start_may_ask_for_more_time() {
    let mut world = World::new(vec![Profile { ready_after: Some(5_000), ..Profile::GOOD }]);
    world.run(&Op::Apply { app: 0, kind: App::overlapping(), gently: false, timeout: None });
    world.run(&Op::Advance(2_000));
    let run = world.alive().next().expect("a run");
    world.handle(Event::MoreTime { run, more: Duration::from_secs(4) });
    world.run(&Op::Advance(3_100));
    assert_eq!(world.core.view(world.now.mono).next().map(|seat| seat.restarts), Some(0));
    world.require_ready(0, 1);
    world.end();
}

/// A reload that takes too long goes back.
#[test]
fn a_reload_has_a_time_limit() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 3, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let before = world.revisions_in_service(0);
    world.set_profile_of_next_revision(Profile { ready_after: Some(2_000), ..Profile::GOOD });
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: Some(3_000) });
    world.run(&Op::Advance(3_001));
    assert!(world.last_answer_failed());
    world.run(&Op::Advance(60_000));
    assert_eq!(world.revisions_in_service(0), before);
    world.end();
}

/// A stop on the way to a new release: nothing has proven it, so the next start takes the old one.
#[test]
fn a_stop_in_a_rollout_keeps_what_was_proven() {
    let mut world = World::new(vec![Profile::GOOD]);
    let kind = App { count: 2, ..App::overlapping() };
    world.run(&Op::Apply { app: 0, kind, gently: false, timeout: None });
    world.run(&Op::Advance(60_000));
    let proven = world.revisions_in_service(0);
    world.run(&Op::Apply { app: 0, kind, gently: true, timeout: None });
    world.run(&Op::Advance(60));
    world.run(&Op::StopApp { app: 0 });
    world.run(&Op::Advance(60_000));
    world.run(&Op::Start { nth: 0 });
    world.run(&Op::Start { nth: 1 });
    world.run(&Op::Advance(60_000));
    assert_eq!(world.revisions_in_service(0), proven);
    world.end();
}

/// Invariant 10 for the patient policy: at once, then after 1, 2, 4 … 60 s, each with at most 20 % of jitter.
#[test]
fn a_crash_loop_is_slow_and_endless() {
    let mut world = World::new(vec![Profile { dies_after: Some(5), ..Profile::GOOD }]);
    world.run(&Op::Apply { app: 0, kind: App { count: 1, ..App::plain() }, gently: false, timeout: None });
    world.run(&Op::Advance(3_600_000));
    let spawns = world.spawn_times();
    let gaps: Vec<Duration> = spawns.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    for (n, gap) in gaps.iter().enumerate() {
        let nominal = match n {
            0 => 0.0,
            n => f64::from(1 << (n - 1).min(6)).min(60.0),
        };
        let life = 0.1;
        assert!((nominal * 0.8..=nominal * 1.2 + life).contains(&gap.as_secs_f64()), "gap {n}: {gap:?}");
    }
    assert!(spawns.len() > 50, "it goes on: {}", spawns.len());
    world.end();
}

/// Invariant 10 for PM2's rules: never more lives than allowed.
#[test]
fn pm2_rules_stop_a_crash_loop() {
    let mut world = World::new(vec![Profile { dies_after: Some(5), ..Profile::GOOD }]);
    world.run(&Op::Apply {
        app: 0,
        kind: App { pm2_max_restarts: Some(5), ..App::plain() },
        gently: false,
        timeout: None,
    });
    world.run(&Op::Advance(3_600_000));
    assert_eq!(world.spawn_times().len(), 5);
    assert!(world.core.view(world.now.mono).all(|seat| seat.state == State::Errored));
    world.end();
}

/// What was stopped has not failed; of what has failed, the first counts.
#[test]
fn the_end_of_everything_is_that_of_the_first_that_failed() {
    let dies = |after, code| Profile { dies_after: Some(after), code, ..Profile::GOOD };
    let once = App { autorestart: false, ..App::plain() };
    let apply = |app, kind| Op::Apply { app, kind, gently: false, timeout: None };
    let cases: [(&[Profile], Over<'_>); 4] = [
        (&[dies(10, 0), dies(20, 0), dies(30, 0)], Over::Well),
        (&[dies(10, 0), dies(30, 4), dies(20, 3)], Over::Badly(&Exit::Code(3))),
        (&[dies(10, 0), dies(20, 0), dies(30, 5)], Over::Badly(&Exit::Code(5))),
        (&[dies(10, 7), dies(20, 0), dies(30, 5)], Over::Badly(&Exit::Code(7))),
    ];
    for (profiles, expected) in cases {
        let mut world = World::new(profiles.to_vec());
        assert_eq!(world.core.over(), None, "nothing has begun");
        world.run(&apply(0, App { autostart: false, ..once }));
        assert_eq!(world.core.over(), None, "nothing was started");
        world.run(&Op::DeleteApp { app: 0 });
        (0..3).for_each(|app| world.run(&apply(app, once)));
        assert_eq!(world.core.over(), None, "it runs");
        world.run(&Op::Advance(60_000));
        assert_eq!(world.core.over(), Some(expected));
        world.end();
    }
    let mut world = World::new(vec![Profile::GOOD]);
    world.run(&apply(0, App::plain()));
    world.run(&Op::Advance(60_000));
    world.run(&Op::Crash { nth: 0 });
    assert_eq!(world.core.over(), None, "it is started again");
    world.run(&Op::Advance(60_000));
    world.run(&Op::StopApp { app: 0 });
    world.run(&Op::Advance(60_000));
    assert_eq!(world.core.over(), Some(Over::Well));
    world.run(&Op::DeleteApp { app: 0 });
    world.run(&Op::Advance(60_000));
    assert_eq!(world.core.over(), Some(Over::Well));
    world.end();
}

/// After a change of supervisor: what the keeper no longer has did end, and is replaced.
#[test]
fn a_run_that_the_keeper_does_not_know_has_ended() {
    let mut world = World::new(vec![Profile::GOOD]);
    world.run(&Op::Apply { app: 0, kind: App::plain(), gently: false, timeout: None });
    world.run(&Op::Advance(1_000));
    let effects = world.core.clone().handle(world.now, Event::Resync { known: Vec::new() });
    let restarts = |effect: &Effect| matches!(effect, Effect::Spawn { .. });
    assert!(effects.iter().any(restarts), "{effects:?}");
    let mut after = world.core.clone();
    let _ = after.handle(world.now, Event::Resync { known: Vec::new() });
    let last =
        after.view(world.now.mono).next().and_then(|seat| seat.last_exit.map(|(exit, ..)| exit.clone()));
    assert_eq!(last, Some(Exit::Unknown));
    world.end();
}

/// After a change of supervisor: what only the keeper knows must not live.
#[test]
fn a_run_that_only_the_keeper_knows_is_killed_and_forgotten() {
    let (run, now) = (RunId(77), Now::default());
    let mut core = Supervisor::default();
    let known = vec![Known { run, pid: Pid(7), state: KnownState::Alive }];
    assert_eq!(core.handle(now, Event::Resync { known }), [Effect::Kill { run }]);
    let ended = Event::Exited { run, exit: Exit::Signal(9), survivors: false };
    assert_eq!(core.handle(now, ended), [Effect::Forget { run }]);
}

/// An app that depends on the one before it, each with one worker.
fn chain(condition: Condition) -> [App; 3] {
    let depends_on = |on| App { depends_on: Some((on, condition)), ..App::overlapping() };
    [depends_on(1), depends_on(2), App::overlapping()]
}

fn declare(world: &mut World, apps: &[App; 3]) {
    for (app, kind) in [0, 1, 2].into_iter().zip(apps).rev() {
        world.run(&Op::Apply { app, kind: *kind, gently: false, timeout: None });
    }
}

proptest! {
    #![proptest_config(config(2_000))]

    /// Whoever depends on another comes up after it and on its own, also after a reboot and a supervisor's death, and is
    /// touched by nothing that happens to the other later. That the order is kept is an invariant of every script.
    #[test]
    fn apps_in_order_all_come_up_and_stay_up(
        condition in prop_oneof![Just(Condition::Started), Just(Condition::Ready)],
        good in prop::collection::vec(fair_profile(), 1..5),
        interruptions in prop::collection::vec((0u8..4, 0u64..5_000), 0..4),
        harm in prop::collection::vec((0u8..3, 0u64..20_000), 1..6),
    ) {
        let mut world = World::new(good);
        declare(&mut world, &chain(condition));
        for (what, after) in interruptions {
            world.run(&Op::Advance(after));
            world.run(&match what {
                0 => Op::Reboot,
                1 => Op::KillSupervisor { effects_lost: false },
                2 => Op::KillSupervisor { effects_lost: true },
                _ => Op::StartAll,
            });
        }
        world.run(&Op::Advance(120_000));
        prop_assert!(world.core.view(world.now.mono).all(|seat| seat.reason == "ready"));
        let runs = world.of_app(0);
        for (what, after) in harm {
            // The last of the table is the worker of the last app, on which the others depend.
            world.run(&match what {
                0 => Op::Restart { nth: 2 },
                1 => Op::Reload { app: 2, timeout: None },
                _ => Op::StopApp { app: 2 },
            });
            world.run(&Op::Advance(after));
            prop_assert_eq!(world.of_app(0), runs.clone(), "the dependent goes on");
        }
        world.run(&Op::StopAll);
        world.run(&Op::Advance(60_000));
        prop_assert_eq!(world.core.runs().count(), 0);
        world.end();
    }
}

/// What a waiting app waits for is told, and it begins by itself when that is there, however late.
#[test]
fn a_dependent_waits_and_says_for_what() {
    let mut world = World::new(vec![Profile::GOOD]);
    declare(&mut world, &chain(Condition::Ready));
    let expected = |on: &str| (State::Launching, format!("waiting for {on}"));
    world.run(&Op::Advance(10));
    assert_eq!(world.state(1), expected("app2: not ready yet"));
    assert_eq!(world.state(0), expected("app1: waiting for app2: not ready yet"));
    world.run(&Op::Advance(1_000));
    assert_eq!(world.state(0), (State::Online, "ready".to_owned()));

    world.run(&Op::StopAll);
    world.run(&Op::Advance(1));
    let kept = (State::Stopping, "stops when what depends on it has stopped".to_owned());
    assert_eq!((world.state(1), world.state(2)), (kept.clone(), kept));
    world.run(&Op::Advance(10_000));
    world.run(&Op::Start { nth: 0 });
    assert!(world.last_answer_failed(), "nobody starts what it waits for");
    assert_eq!(world.state(0), expected("app1: it is stopped"));
    world.run(&Op::Start { nth: 1 });
    assert!(world.last_answer_failed());
    assert_eq!(world.state(0), expected("app1: waiting for app2: it is stopped"));
    world.run(&Op::Start { nth: 2 });
    world.run(&Op::Advance(1_000));
    assert_eq!(world.state(0), (State::Online, "ready".to_owned()));
    world.end();
}

/// A dependency that fails is waited for without end, and the first sign of life of it is enough.
#[test]
fn a_dependency_that_fails_is_waited_for() {
    let mut world = World::new(vec![Profile { dies_after: Some(5), ..Profile::GOOD }]);
    declare(&mut world, &chain(Condition::Ready));
    world.run(&Op::Advance(600_000));
    let (state, reason) = world.state(0);
    assert_eq!(state, State::Launching);
    assert!(reason.starts_with("waiting for app1: waiting for app2: "), "{reason}");
    assert!(world.last_answer_failed(), "who asked was told");
    world.set_profile_of_next_revision(Profile::GOOD);
    world.run(&Op::Apply { app: 2, kind: App::overlapping(), gently: false, timeout: None });
    world.run(&Op::Advance(120_000));
    assert_eq!(world.state(2).0, State::Online);
    world.end();
}

/// `completed`: after it has ended by itself with code 0, which is remembered over a reboot.
#[test]
fn what_has_to_be_completed_runs_once() {
    let once = App { autorestart: false, ..App::plain() };
    for (code, comes) in [(0, true), (1, false)] {
        let mut world = World::new(vec![Profile::GOOD]);
        world.set_profile_of_next_revision(Profile { dies_after: Some(500), code, ..Profile::GOOD });
        let after = App { depends_on: Some((2, Condition::Completed)), ..App::plain() };
        world.run(&Op::Apply { app: 2, kind: once, gently: false, timeout: None });
        world.run(&Op::Apply { app: 0, kind: after, gently: false, timeout: None });
        world.run(&Op::Advance(400));
        assert_eq!(world.state(0), (State::Launching, "waiting for app2: not completed yet".to_owned()));
        world.run(&Op::Advance(1_000));
        assert_eq!(world.state(0).0 == State::Online, comes, "{:?}", world.state(0));
        world.run(&Op::Reboot);
        world.run(&Op::Advance(1_000));
        assert_eq!(world.state(0).0 == State::Online, comes, "{:?}", world.state(0));
        world.end();
    }
}
