//! Thirty thousand restarts and a thousand reloads leave nothing behind: neither a descriptor, nor a zombie, nor memory.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::audit::Belongings;
use crate::cast::{self, Build};
use crate::census::Census;
use crate::daemon::{Daemon, shell, with};
use crate::wait::until_true;

/// As many until the first measurement as make the heap find its size; ten times as many until the second.
const RESTARTS: u64 = 10_000;
const RELOADS: u32 = 100;
/// KiB more that are no leak: with one of 64 bytes for each restart between the two looks it would be more. The heap finds its
/// size in the first ten thousand, and still grows by a few pages in the next hundred thousand.
const SLACK: u64 = 1024;
/// Between two looks at a counter.
const PAUSE: Duration = Duration::from_millis(200);

#[test]
#[ignore = "takes a quarter of an hour: tests/chaos/run --leaks"]
fn restarts_and_reloads_leak_nothing() {
    let daemon = Daemon::start();
    restarts(&daemon);
    reloads(&daemon);
}

fn restarts(daemon: &Daemon) {
    let at_once = json!({ "instances": 4, "restart_delay": 0, "max_restarts": 1_000_000, "min_uptime": 1 });
    let app = with(shell("flap", "echo a life"), at_once);
    daemon.ctl(&["start", &daemon.declare(&json!([app]))]);
    let count = || daemon.list().iter().filter_map(|row| row["restarts"].as_u64()).sum::<u64>();
    let until = |least: u64| {
        daemon.ctl(&["start", "flap"]);
        let begin = Instant::now();
        while count() < least {
            std::thread::sleep(PAUSE);
        }
        daemon.ok(&["stop", "flap"]);
        measure(daemon, &format!("{} restarts", count()), begin)
    };
    let before = until(RESTARTS);
    compare(&before, &until(3 * RESTARTS));
    daemon.ok(&["delete", "flap"]);
}

fn reloads(daemon: &Daemon) {
    cast::prepare(daemon);
    // Every other one brings another declaration.
    let release = |number: u32| {
        let web = cast::declaration(daemon, "web", Build::Good(number / 2));
        daemon.declare(&json!([with(web, json!({ "instances": 2 }))]))
    };
    daemon.ok(&["start", &release(0)]);
    let reload = |from: u32, to: u32| {
        let begin = Instant::now();
        for number in from..to {
            release(number);
            daemon.ok(&["reload", "web"]);
        }
        until_true("the last ones have gone", || {
            let online = |row: &Value| row["status"] == "online";
            let list = daemon.list();
            list.iter().all(online) && workers(daemon) == list.len()
        });
        measure(daemon, &format!("{to} reloads of {} workers", workers(daemon)), begin)
    };
    let before = reload(0, RELOADS);
    compare(&before, &reload(RELOADS, 10 * RELOADS));
}

fn workers(daemon: &Daemon) -> usize {
    Census::take(daemon, daemon.heads().0).of_apps().len()
}

/// When it is quiet again.
fn measure(daemon: &Daemon, after: &str, begin: Instant) -> Belongings {
    let (keeper, supervisor) = daemon.heads();
    let zombies = || {
        let all = Census::take(daemon, keeper).all;
        all.iter().filter(|one| one.state == 'Z' && [keeper, supervisor].contains(&one.parent)).count()
    };
    until_true("no zombie", || zombies() == 0);
    let seen = Belongings::at_rest(daemon, None).expect("rest");
    eprintln!("after {after}: {}, in {:?}", seen.summary(), begin.elapsed());
    seen
}

fn compare(before: &Belongings, after: &Belongings) {
    after.same_descriptors(before).expect("as many descriptors");
    assert!(after.memory <= before.memory + SLACK, "{} KiB, then {} KiB", before.memory, after.memory);
}
