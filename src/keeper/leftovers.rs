//! What did a keeper leave behind that was killed?
//!
//! Its workers go on without it: they hold their ports, and nobody can become their parent. The next keeper of the same home
//! would start every one of them a second time, so they have to go first. A worker is recognised by its tag (see
//! `tree.rs`) together with a variable in its environment that names the home. May only be asked by whoever holds the
//! lock of that home: then no keeper of theirs is alive.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::tree::{is_tagged, parent_of, signal_if};

/// How long they have between SIGTERM and SIGKILL, and from there to their end.
const GRACE: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Ends all processes that carry a tag and have `variable` (`NAME=value`) in their environment, and waits for their end, for
/// six seconds at most. Returns how many there were. Those that this process descends from are left alone.
pub fn end_leftovers(variable: &str) -> usize {
    let spared = ancestors();
    let find =
        || -> Vec<i32> { pids().filter(|pid| !spared.contains(pid) && belongs(*pid, variable)).collect() };
    let found = find().len();
    for (signal, time) in [(libc::SIGTERM, GRACE), (libc::SIGKILL, END)] {
        let until = Instant::now() + time;
        let mut left = find();
        left.iter().for_each(|pid| signal_if(*pid, signal, |pid| belongs(pid, variable)));
        while !left.is_empty() && Instant::now() < until {
            sleep(LOOK_AGAIN);
            left = find();
        }
    }
    found
}

fn belongs(pid: i32, variable: &str) -> bool {
    let has =
        |environment: Vec<u8>| environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
    is_tagged(pid) && fs::read(format!("/proc/{pid}/environ")).is_ok_and(has)
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// This process and all it descends from.
fn ancestors() -> BTreeSet<i32> {
    let mut line = BTreeSet::new();
    let mut next = Some(std::process::id() as i32);
    while let Some(pid) = next.filter(|pid| *pid > 0 && line.insert(*pid)) {
        next = parent_of(pid);
    }
    line
}
