//! How fast and how cheap: `cargo test --release --lib -- --ignored --nocapture logs::tests::speed`.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::*;

const LINES: usize = 1_000_000;
const LINE: usize = 100;

fn write_lines(writer: &mut impl Write) {
    let line = [b"l".repeat(LINE - 1), b"\n".to_vec()].concat();
    (0..LINES).for_each(|_| writer.write_all(&line).unwrap());
}

fn cpu(usage: &Usage) -> i64 {
    (usage.user_time() + usage.system_time()).num_microseconds()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Throughput in MB/s, and processor seconds of all but the writer per second of the run.
fn through_logs(bench: &Bench) -> (f64, f64) {
    let path = bench.path("logs.out");
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    bench.settle();
    let before = cpu(&getrusage(UsageWho::RUSAGE_SELF).unwrap());
    let own = cpu(&getrusage(UsageWho::RUSAGE_THREAD).unwrap());
    let start = Instant::now();
    write_lines(&mut writer);
    drop(writer);
    bench.drained(1);
    let seconds = start.elapsed().as_secs_f64();
    let all = cpu(&getrusage(UsageWho::RUSAGE_SELF).unwrap()) - before;
    let writer_used = cpu(&getrusage(UsageWho::RUSAGE_THREAD).unwrap()) - own;
    bench.logs.release(RunId(1));
    assert_eq!(fs::metadata(&path).unwrap().len() as usize, LINES * LINE);
    fs::remove_file(&path).unwrap();
    ((LINES * LINE) as f64 / 1e6 / seconds, (all - writer_used) as f64 / 1e6 / seconds)
}

fn through_cat(bench: &Bench) -> (f64, f64) {
    let path = bench.path("cat.out");
    let output = File::create(&path).unwrap();
    let before = cpu(&getrusage(UsageWho::RUSAGE_CHILDREN).unwrap());
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let start = Instant::now();
    let mut writer = cat.stdin.take().unwrap();
    write_lines(&mut writer);
    drop(writer);
    assert!(cat.wait().unwrap().success());
    let seconds = start.elapsed().as_secs_f64();
    let used = cpu(&getrusage(UsageWho::RUSAGE_CHILDREN).unwrap()) - before;
    fs::remove_file(&path).unwrap();
    ((LINES * LINE) as f64 / 1e6 / seconds, used as f64 / 1e6 / seconds)
}

#[test]
#[ignore = "a measurement, of a release build"]
fn one_writer_of_short_lines_against_cat() {
    let bench = Bench::new();
    let (mut ours, mut cats) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        ours.push(through_logs(&bench));
        cats.push(through_cat(&bench));
    }
    let middle = |runs: &[(f64, f64)]| {
        (
            median(runs.iter().map(|run| run.0).collect()),
            100.0 * median(runs.iter().map(|run| run.1).collect()),
        )
    };
    let ((speed, share), (cat_speed, cat_share)) = (middle(&ours), middle(&cats));
    println!("logs {speed:.0} MB/s at {share:.0} % of a core");
    println!("cat  {cat_speed:.0} MB/s at {cat_share:.0} % of a core");
    println!("ratio {:.2}", speed / cat_speed);
}
