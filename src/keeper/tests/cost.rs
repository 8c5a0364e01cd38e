//! What does the keeper cost? Figures, to be run alone and optimised:
//! `cargo test --release -p supd-keeper --test cost -- --ignored --nocapture`.

mod theatre;

use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use supd_keeper::protocol::{ExecPlan, Order, Report, RunId, Scope};
use theatre::{Theatre, sh};

const ROUNDS: usize = 200;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Private memory of a process, in KiB.
fn private(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("Private_"));
    lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

fn give_order(theatre: &Theatre, run: usize, plan: ExecPlan) {
    let null = std::fs::File::open("/dev/null").unwrap();
    let attached = vec![null.as_fd(); plan.descriptors.len()];
    theatre.order(&Order::Spawn { run: RunId(run as u64), plan: Box::new(plan), keep: vec![] }, &attached);
}

fn order(theatre: &Theatre, run: usize, plan: ExecPlan) {
    give_order(theatre, run, plan);
    theatre.spawned(run as u64);
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    let theatre = Theatre::open();
    println!("private memory, idle: {} KiB", private(theatre.keeper_pid()));
    // As many variables as a worker usually has.
    let env: Vec<_> =
        (0..40).map(|number| (format!("VARIABLE_{number}"), "some value of usual size".into())).collect();
    let argv = ["sleep", "1000"].map(str::to_owned).to_vec();
    let plan = ExecPlan { program: "/bin/sleep".into(), argv, env, ..sh("") };
    let spawns = (1..=ROUNDS).map(|run| {
        let started = Instant::now();
        order(&theatre, run, plan.clone());
        let took = started.elapsed();
        theatre.signal(run as u64, libc::SIGKILL, Scope::Tree);
        theatre.exited(run as u64);
        took
    });
    println!("spawn order to its report: {:?}", median(spawns.collect()));
    let bare =
        Command::new(env!("CARGO_BIN_EXE_keeper-fixture")).args(["bare", &ROUNDS.to_string()]).output();
    println!("bare fork and exec of the same: {}", String::from_utf8(bare.unwrap().stdout).unwrap().trim());

    let hundred = timed(|| {
        for run in 1001..=1100 {
            give_order(&theatre, run, plan.clone());
        }
        // Their reports come in the order of the executions.
        (0..100).for_each(|_| assert!(matches!(theatre.report(), Report::Spawned { .. })));
    });
    println!("100 spawn orders at once: {:?} each", hundred / 100);
    // 100 workers, each with a child that left its session: 300 processes with the shells.
    for run in 2001..=2100 {
        order(&theatre, run, sh("setsid sleep 1000 & exec sleep 1000"));
    }
    println!("private memory, 200 runs: {} KiB", private(theatre.keeper_pid()));
    println!(
        "a message there and back: {:?}",
        median((0..ROUNDS).map(|_| timed(|| theatre.settle())).collect())
    );
    let tree = (0..ROUNDS).map(|round| {
        timed(|| {
            theatre.signal(2001 + round as u64 % 100, libc::SIGURG, Scope::Tree);
            theatre.settle();
        })
    });
    println!("the same and a signal to one tree: {:?}", median(tree.collect()));
    let restarts = (0..ROUNDS).map(|round| {
        timed(|| {
            let run = 1001 + round as u64 % 100 + 100_000 * (round as u64 / 100);
            theatre.signal(run, libc::SIGKILL, Scope::Main);
            theatre.exited(run);
            theatre.order(&Order::Forget { run: RunId(run) }, &[]);
            order(&theatre, run as usize + 100_000, plan.clone());
        })
    });
    println!("kill to exec of the replacement: {:?}", median(restarts.collect()));
    println!("private memory at the end: {} KiB", private(theatre.keeper_pid()));
}

fn timed(action: impl FnOnce()) -> Duration {
    let started = Instant::now();
    action();
    started.elapsed()
}
