//! Jobs: what runs when it is asked for, and comes to an end.

use proptest::prelude::*;
use supd_core::{Exit, Overlap, State};

use crate::config;
use crate::script::{App, Op, Profile, overlap, profile};
use crate::world::World;

fn declare(kind: App, gently: bool) -> Op {
    Op::Apply { app: 0, kind, gently, timeout: None }
}

const ASK: Op = Op::Run { app: 0, by_clock: false };
const DUE: Op = Op::Run { app: 0, by_clock: true };

/// A job whose runs take so many milliseconds and end with this code.
fn job(kind: App, takes: u64, code: i32) -> World {
    let mut world = World::new(vec![Profile { dies_after: Some(takes), code, ..Profile::GOOD }]);
    world.run(&declare(kind, false));
    assert!(!world.last_answer_failed(), "it is known, that is all");
    world
}

/// Seconds at which runs began.
fn begun(world: &World) -> Vec<u64> {
    world.spawn_times().iter().map(|at| (at.0 + 500_000_000) / 1_000_000_000).collect()
}

#[test]
fn nothing_runs_unless_it_is_asked_for() {
    for (code, reason) in
        [(0, "the last run has completed"), (3, "the last run has failed: exited with code 3")]
    {
        let mut world = job(App::job(Overlap::Skip), 2_000, code);
        world.run(&Op::Advance(100_000));
        assert_eq!(world.state(0), (State::Idle, "no run yet".to_owned()));
        for start in [Op::Start { nth: 0 }, Op::Restart { nth: 0 }, Op::Reload { app: 0, timeout: None }] {
            world.run(&start);
            assert!(!world.last_answer_failed());
            world.run(&Op::Renew { app: 0 });
            world.run(&Op::Scale { app: 0, count: 3 });
        }
        assert_eq!(begun(&world), [0u64; 0]);
        world.run(&ASK);
        world.run(&Op::Advance(1_000));
        assert_eq!(world.state(0), (State::Online, "a run goes on".to_owned()));
        assert_eq!(world.last_exit(), None, "not answered yet");
        world.run(&Op::Advance(3_600_000));
        assert_eq!(world.last_exit(), Some(Exit::Code(code)));
        assert_eq!(world.last_answer_failed(), code != 0);
        assert_eq!((begun(&world), world.state(0)), (vec![100], (State::Idle, reason.to_owned())));
        world.end();
    }
}

/// Each run takes 10 s; runs are asked for at 0, 3 and 5 s.
#[test]
fn runs_that_would_overlap() {
    for (overlap, expected, third_fails) in [
        (Overlap::Skip, vec![0], true),
        (Overlap::Queue, vec![0, 10], true),
        (Overlap::Kill, vec![0, 3, 5], false),
    ] {
        let mut world = job(App::job(overlap), 10_000, 0);
        world.run(&DUE);
        world.run(&Op::Advance(3_000));
        world.run(&DUE);
        world.run(&Op::Advance(2_000));
        world.run(&ASK);
        assert_eq!(world.last_answer_failed(), third_fails);
        world.run(&Op::Advance(100_000));
        assert_eq!(begun(&world), expected, "{overlap:?}");
        world.end();
    }
}

#[test]
fn a_run_that_is_replaced_is_told_so() {
    let mut world = job(App::job(Overlap::Kill), 10_000, 0);
    world.run(&ASK);
    world.run(&Op::Advance(1_000));
    world.run(&DUE);
    assert!(world.last_answer_failed());
    assert_eq!(world.last_exit(), None);
    world.run(&Op::Advance(20_000));
    assert_eq!(world.state(0).1, "the last run has completed");
    world.end();
}

/// The one that is stubborn is killed; the one that waits for its end comes all the same.
#[test]
fn a_run_that_takes_too_long_is_stopped() {
    for (overlap, expected) in [(Overlap::Skip, vec![0]), (Overlap::Queue, vec![0, 7])] {
        let mut world = World::new(vec![Profile { goes_after: None, ..Profile::GOOD }]);
        world.run(&declare(App { job: Some((overlap, Some(5_000))), ..App::plain() }, false));
        world.run(&ASK);
        let queue = overlap == Overlap::Queue;
        world.run(&Op::Advance(5_100));
        assert_eq!(world.state(0).0, State::Stopping);
        if queue {
            world.run(&DUE);
        }
        world.run(&Op::Advance(2_000));
        let timed_out = "the last run has failed: timed out after 5 s";
        if !queue {
            assert_eq!(
                world.last_exit().map(|exit| exit.to_string()),
                Some("timed out after 5 s".to_owned())
            );
            assert_eq!(world.state(0), (State::Idle, timed_out.to_owned()));
        }
        world.run(&Op::Advance(100_000));
        assert_eq!((begun(&world), world.state(0).1.as_str()), (expected, timed_out));
        world.end();
    }
}

#[test]
fn stopped_it_runs_for_nobody_but_those_who_ask() {
    let mut world = job(App::job(Overlap::Queue), 10_000, 0);
    world.run(&ASK);
    world.run(&Op::Advance(1_000));
    world.run(&DUE);
    world.run(&Op::Stop { nth: 0 });
    world.run(&Op::Advance(10_000));
    assert_eq!(world.state(0), (State::Stopped, "stopped as asked".to_owned()));
    assert_eq!(begun(&world), [0], "nothing waits any more");
    for _ in 0..2 {
        world.run(&Op::Reboot);
        assert_eq!(world.state(0).0, State::Stopped);
    }
    world.run(&ASK);
    world.run(&Op::Advance(20_000));
    assert_eq!((begun(&world), world.state(0).0), (vec![11], State::Stopped));
    world.run(&Op::StartAll);
    world.run(&Op::Reboot);
    assert_eq!(world.state(0), (State::Idle, "the last run has completed".to_owned()));
    world.run(&Op::Advance(60_000));
    assert_eq!(begun(&world), [0u64; 0], "nor does a boot start it");
    world.end();
}

/// What is amended to be of another kind stays stopped if it was.
#[test]
fn stopped_it_stays_so_whatever_it_becomes() {
    for (before, after) in [(App::job(Overlap::Skip), App::plain()), (App::plain(), App::job(Overlap::Skip))]
    {
        for is_stopped in [true, false] {
            let mut world = World::new(vec![Profile::GOOD]);
            world.run(&declare(before, false));
            world.run(&Op::Advance(10_000));
            if is_stopped {
                world.run(&Op::StopApp { app: 0 });
            }
            world.run(&Op::Amend { app: 0, kind: after });
            world.run(&Op::Advance(10_000));
            assert!(!world.last_answer_failed());
            let expected = match (is_stopped, after.job) {
                (true, _) => State::Stopped,
                (false, Some(_)) => State::Idle,
                (false, None) => State::Online,
            };
            assert_eq!(world.state(0).0, expected);
            world.end();
        }
    }
}

/// A run is never cut short for a new version: its successor is of that one. What is no job any more begins, and the other way round.
#[test]
fn a_new_version_is_for_the_next_run() {
    for gently in [false, true] {
        let mut world = job(App::job(Overlap::Skip), 10_000, 0);
        world.run(&ASK);
        world.run(&Op::Advance(1_000));
        world.run(&declare(App { watch: 7, ..App::job(Overlap::Queue) }, gently));
        world.run(&Op::Advance(1_000));
        let old = world.revisions_in_service(0);
        assert_eq!((old.len(), world.state(0).0), (1, State::Online));
        world.run(&DUE);
        world.run(&Op::Advance(13_000));
        assert_ne!(world.revisions_in_service(0), old);
        assert_eq!(begun(&world), [0, 10]);
        world.run(&Op::Rollback { app: 0 });
        world.run(&declare(App { count: 2, ..App::plain() }, gently));
        world.run(&Op::Advance(5_000));
        assert_eq!(world.of_app(0).len(), 2, "two workers");
        world.run(&declare(App::job(Overlap::Skip), gently));
        world.run(&Op::Advance(60_000));
        assert_eq!(world.state(0).0, State::Idle);
        world.end();
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    /// Whatever becomes of processes and supervisors: who is the last to ask for a run that waits its turn gets one, and nothing
    /// runs after that.
    #[test]
    fn every_run_comes_once(
        overlap in overlap(),
        timeout in prop::option::of(1u64..30_000),
        asks in prop::collection::vec((0u8..4, 0u64..40_000), 1..12),
        profiles in prop::collection::vec(profile(), 1..6),
    ) {
        let profiles = profiles.into_iter().map(|it| Profile { dies_after: it.dies_after.or(Some(60_000)), ..it });
        let mut world = World::new(profiles.collect());
        world.run(&declare(App { job: Some((overlap, timeout)), ..App::plain() }, false));
        let mut asked = 0;
        for (what, after) in asks {
            match what {
                0 => world.run(&Op::KillSupervisor { effects_lost: false }),
                1 => world.run(&Op::KillSupervisor { effects_lost: true }),
                _ => {
                    asked += 1;
                    world.run(&DUE);
                }
            }
            world.run(&Op::Advance(after));
        }
        world.run(&Op::Advance(300_000));
        let begun = world.spawn_times().len();
        prop_assert!(begun <= asked && (begun > 0) == (asked > 0));
        prop_assert_eq!(world.state(0).0, State::Idle);
        world.run(&DUE);
        world.run(&Op::Advance(300_000));
        prop_assert_eq!(world.spawn_times().len(), begun + 1);
        world.end();
    }
}
