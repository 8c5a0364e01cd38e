//! Does the promise hold when everything goes wrong at once?
//!
//! A daemon with twenty workers of all kinds. Clients command at random while workers and supervisor are killed and
//! frozen, the disk is full, and descriptors and processes run out; other clients ask the apps all the time. Afterwards what `list`
//! says must be what the machine has: no orphan, no double, no zombie, no descriptor and no memory more than before.
//!
//! Short in every test run; for minutes, and with a given seed, by `tests/chaos/run`. The same seed gives the same
//! deeds, though not at the same moments.

#[allow(dead_code, reason = "shared with tests/it, which uses all of it")]
#[path = "../it/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "as above")]
#[path = "../it/http.rs"]
mod http;
#[allow(dead_code, reason = "as above")]
#[path = "../it/process.rs"]
mod process;
#[allow(dead_code, reason = "as above")]
#[path = "../it/wait.rs"]
mod wait;

mod audit;
mod cast;
mod census;
mod dice;
mod faults;
mod journal;
mod leaks;
mod operators;
mod rain;
mod storm;
mod traffic;

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use faults::Ground;
use journal::Journal;
use rain::Rain;
use traffic::Traffic;

/// How long it rains, in seconds.
const SECONDS: &str = "SUPD_CHAOS_SECONDS";
/// Of the dice.
const SEED: &str = "SUPD_CHAOS_SEED";
/// In every test run.
const SHORT: u64 = 12;
/// The first rain, after which memory is measured.
const WARM_UP: u64 = 15;

#[test]
fn after_the_rain_everything_is_as_it_was() {
    let seconds = number(SECONDS).unwrap_or(SHORT);
    let seed = number(SEED).unwrap_or_else(|| RandomState::new().hash_one(Instant::now()) >> 32);
    eprintln!("seed {seed}, {seconds} s of rain");
    let journal = Arc::new(Journal::new(seed));
    let watch = journal.watch();
    let ground = Ground::new();
    let daemon = &ground.daemon;
    cast::prepare(daemon);
    let keeper = daemon.heads().0;

    let dry = in_order(&journal, audit::calm(&ground, None));
    eprintln!("before: {}", dry.summary());
    let asked = ["web", "page"].map(|app| (app, cast::address(daemon, app)));
    let traffic = Traffic::start(&asked, seed, &journal);
    let rain = Rain::new(&ground, &journal, &traffic, keeper, seed);

    let first = WARM_UP.min(seconds / 3);
    rain.fall(1, Duration::from_secs(first));
    journal.verdict();
    in_order(&journal, rain.nobody_else_died());
    let warm = in_order(&journal, audit::calm(&ground, Some(&dry)));
    eprintln!("after the first rain: {}", warm.summary());
    rain.fall(2, Duration::from_secs(seconds - first));
    journal.verdict();
    in_order(&journal, rain.nobody_else_died());
    let wet = in_order(&journal, audit::calm(&ground, Some(&dry)));
    eprintln!("after the last rain: {}", wet.summary());
    in_order(&journal, wet.as_large_as(&warm));
    assert_eq!(daemon.heads().0, keeper, "the keeper is the same");
    eprintln!("{} deeds, {} faults", rain.deeds.load(Ordering::Relaxed), rain.faults.load(Ordering::Relaxed));
    drop(rain);
    for (app, figures) in traffic.finish() {
        eprintln!("{app}: {figures:?}");
        assert!(figures.answered > 0 && figures.failed.is_empty());
    }
    journal.verdict();

    daemon.ok(&["kill"]);
    in_order(&journal, audit::nothing_left(&ground, keeper));
    daemon.ok(&["ping"]);
    let reborn = in_order(&journal, audit::calm(&ground, None));
    eprintln!("a new daemon: {}", reborn.summary());
    drop(watch);
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}=`{text}` is no number")))
}

/// Fails with the story so far.
#[track_caller]
fn in_order<T>(journal: &Journal, found: Result<T, String>) -> T {
    found.unwrap_or_else(|why| {
        journal.fail(&why);
        panic!("seed {}: {why}", journal.seed)
    })
}
