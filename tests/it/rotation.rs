//! Files are put aside under load while supervisors are killed and replaced: every line once, in order.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::daemon::{Daemon, shell, with};
use crate::upgrade::copy;
use crate::wait::until_true;

const FILES: usize = 10_000;
const ROUNDS: usize = 10;

#[test]
fn ten_thousand_rotations_with_kills_and_upgrades_lose_no_line() {
    let daemon = Daemon::start();
    let writer =
        "n=0; until [ -e enough ]; do seq $n $((n + 4999)); n=$((n + 5000)); done; echo end; exec sleep 1000";
    let every = json!({
        "cwd": daemon.home(), "rotate_size": 1024, "keep": "all", "max_total": false, "min_free": false
    });
    daemon.run(&json!([with(shell("writer", writer), every)]));
    let programs = [copy(&daemon, "one"), copy(&daemon, "two")];
    let files = || fs::read_dir(daemon.file("logs")).expect("the logs").count();
    for round in 0..ROUNDS {
        until_true("more rotated files", || files() >= FILES * (round + 1) / (ROUNDS + 1));
        match round % 2 {
            0 => daemon.kill_supervisor(),
            _ => drop(daemon.ok(&["upgrade", &programs[round / 2 % 2]])),
        }
    }
    until_true("the last rotated file", || files() >= FILES);
    fs::write(daemon.file("enough"), "").expect("a file");
    until_true("the last line", || daemon.read("logs/writer-out.log").ends_with("\nend\n"));
    let text: String = in_order(&daemon.file("logs")).iter().map(|file| daemon.read(file)).collect();
    let lines: Vec<&str> = text.lines().collect();
    let (last, numbers) = lines.split_last().expect("lines");
    assert_eq!(*last, "end");
    for (expected, line) in numbers.iter().enumerate() {
        assert_eq!(line.parse(), Ok(expected), "each line once and in order");
    }
    assert_eq!(numbers.len() % 5000, 0, "all of the last block");
    assert_eq!(daemon.worker(0)["logs"]["out"]["lost_bytes"], 0);
}

/// The rotated files, oldest first, and the present one, below the home.
fn in_order(logs: &Path) -> Vec<String> {
    let names = fs::read_dir(logs).expect("the logs").map(|file| file.expect("a file").file_name());
    let mut rotated: Vec<(String, u32)> = names
        .filter_map(|name| {
            let date = name.to_str()?.strip_prefix("writer-out__")?.strip_suffix(".log")?;
            // `YYYY-MM-DD_HH-mm-ss`, and `-2`, `-3` … where one second saw several.
            let (second, number) = date.split_at(19);
            Some((
                second.to_owned(),
                number.strip_prefix('-').map_or(1, |number| number.parse().expect("a number")),
            ))
        })
        .collect();
    rotated.sort();
    let name = |(second, number): (String, u32)| match number {
        1 => format!("logs/writer-out__{second}.log"),
        number => format!("logs/writer-out__{second}-{number}.log"),
    };
    rotated.into_iter().map(name).chain(["logs/writer-out.log".to_owned()]).collect()
}
