//! SIGKILL at random moments: no byte is lost, none comes twice.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use supd_api::Compression;

use super::*;

const DIRECTORY: &str = "SUPD_TEST_LOGS_DIRECTORY";
const FORM: &str = "SUPD_TEST_LOGS_FORM";
const ROUND: &str = "SUPD_TEST_LOGS_ROUND";
const ROUNDS: u64 = 50;
/// An odd one.
const LAST: u64 = 99;
/// Bytes of a file at its beginning that are more than a journal has, which no limit must concern.
const BEGIN: usize = 16 << 20;

fn output(directory: &Path, form: &str) -> Output {
    if form == "sink" {
        return super::sinks::journald(&directory.join("socket"), None);
    }
    let every = |size, compress| Rotation {
        size: Some(size),
        keep: None,
        max_total: None,
        min_free: None,
        compress,
        ..Rotation::default()
    };
    let rotation = match form {
        "rotated" => every(4_000, None),
        "packed" => every(100_000, Some(Compression::Gzip)),
        _ => Rotation::never(),
    };
    let on_full = match form {
        "drop_newest" => OnFull::DropNewest,
        _ => OnFull::DropOldest,
    };
    let all = matches!(form, "dated" | "json" | "rotated").then(|| directory.join("all.log"));
    let files = [directory.join("app.log")].into_iter().chain(all).collect();
    let form = match form {
        "plain" | "rotated" | "packed" | "drop_newest" | "drop_oldest" => LogForm::Plain,
        "dated" => LogForm::Dated("HH:mm:ss.SSS".to_owned()),
        "json" => LogForm::Json(None),
        other => panic!("{other}"),
    };
    Output { files, form, rotation, on_full, resumed: true, ..Output::default() }
}

/// Not a test of its own: the process that is killed. Its standard input is the worker's pipe, its standard error the journal.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = PathBuf::from(directory);
    let journal = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let (tell, notices) = mpsc::channel();
    let form = std::env::var(FORM).unwrap();
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    limit_file(&directory.join("app.log"), &form, round);
    let logs = Logs::start(journal, move |notice| drop(tell.send(notice))).unwrap();
    let pipe = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    logs.attach(source(1, Stream::Out), pipe, output(&directory, &form));
    let (nothing, _) = std::io::pipe().unwrap();
    logs.attach(source(1, Stream::Err), nothing.into(), Output::default());
    logs.begin();
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Drained { .. })));
}

fn victim_on(pipe: OwnedFd, journal: &OwnedFd, directory: &Path, form: &str, round: u64) -> Child {
    alone("kill::victim")
        .env(DIRECTORY, directory)
        .env(FORM, form)
        .env(ROUND, round.to_string())
        .stdin(Stdio::from(pipe))
        .stdout(Stdio::null())
        .stderr(Stdio::from(journal.try_clone().unwrap()))
        .spawn()
        .unwrap()
}

#[test]
fn a_supervisor_killed_fifty_times_loses_no_line() {
    killed("plain");
}

#[test]
fn nor_one_with_its_date() {
    killed("dated");
}

#[test]
fn nor_one_that_is_an_object() {
    killed("json");
}

#[test]
fn nor_one_whose_files_are_put_aside_all_the_time() {
    killed("rotated");
}

#[test]
fn nor_one_whose_files_are_packed_meanwhile() {
    killed("packed");
}

#[test]
fn nor_one_that_goes_to_a_sink_alone_and_at_most_one_comes_twice_for_each_kill() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = super::sinks::receiver(&directory.path().join("socket"));
    let reading = thread::spawn(move || {
        let lines = std::iter::repeat_with(|| super::sinks::message(&receiver));
        lines.take_while(|line| line != "end").map(|line| number(&line, "plain")).collect::<Vec<_>>()
    });
    let count = rain(directory.path(), "sink", ROUNDS);
    let end = std::os::unix::net::UnixDatagram::unbound().unwrap();
    end.send_to(b"MESSAGE=end\n", directory.path().join("socket")).unwrap();
    let (mut next, mut twice) = (0, 0);
    for number in reading.join().unwrap() {
        let number = number.expect("a whole line");
        assert!(number <= next && number + 1 >= next, "{number} comes where {next} should");
        twice += u64::from(number < next);
        next = number + 1;
    }
    assert_eq!(next, count);
    assert!(twice <= ROUNDS, "{twice}");
    println!("{count} lines, {twice} of them twice");
}

fn killed(form: &str) {
    let directory = tempfile::tempdir().unwrap();
    let count = rain(directory.path(), form, ROUNDS);
    let directory = directory.path();
    if form == "packed" {
        let bench = Bench::new();
        let _writer = bench.attach_as(1, output(directory, form));
        super::rotate::all_packed(&directory.join("app.log"));
    }
    for file in output(directory, form).files {
        let lines = String::from_utf8(super::rotate::whole(&file)).unwrap();
        let mut next = 0;
        for line in lines.lines() {
            assert_eq!(number(line, form), Some(next), "{}: {line}", file.display());
            next += 1;
        }
        assert_eq!(next, count, "{}", file.display());
        let files = super::super::rotated::rotated(&file).unwrap();
        println!("{count} lines, {} rotated files", files.len());
    }
}

#[test]
fn what_is_kept_of_a_full_disk_is_written_once_and_what_is_lost_is_told() {
    for policy in ["drop_newest", "drop_oldest"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        std::fs::write(&path, "\n".repeat(BEGIN)).unwrap();
        let count = rain(directory.path(), policy, 12);
        let text = std::fs::read_to_string(&path).unwrap();
        let (mut next, mut told, mut gaps) = (0, 0_u64, 0);
        for line in text[BEGIN..].lines() {
            if let Some(marker) = line.strip_prefix("[supd] lost ") {
                let lines = marker.split(' ').next().unwrap().parse::<u64>();
                told += lines.unwrap_or_else(|_| panic!("{marker}"));
                continue;
            }
            let number = number(line, "plain").unwrap_or_else(|| panic!("{policy}: {line}"));
            assert!(number >= next, "{policy}: {number} comes twice, or too late");
            assert!(
                number - next <= told,
                "{policy}: {} before {number} missing, {told} told",
                number - next
            );
            gaps += u64::from(number > next);
            (next, told) = (number + 1, 0);
        }
        assert_eq!(next, count, "{policy}: the last line");
        assert!(gaps > 0, "{policy}: nothing was lost");
        println!("{policy}: {gaps} gaps in {count} lines");
    }
}

/// In the rounds of even numbers no file may grow, as on a full disk.
fn limit_file(path: &Path, policy: &str, round: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    if !policy.starts_with("drop") || round % 2 == 1 {
        return;
    }
    // Threads inherit this mask: a file that is as long as it may be (getrlimit(2)) gives an error, and no signal.
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    let hard = getrlimit(Resource::RLIMIT_FSIZE).unwrap().1;
    // Not quite full: something less than a chunk goes into it.
    setrlimit(Resource::RLIMIT_FSIZE, length(path) + 10_000, hard).unwrap();
}

/// Lines with their numbers, taken up by one supervisor after the other, all but the last of which are killed. How many lines.
fn rain(directory: &Path, form: &str, rounds: u64) -> u64 {
    let journal = new_journal().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let writing = thread::spawn(move || {
        let mut number = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            let line = format!("{number:012} {}\n", "x".repeat((number % 150) as usize));
            // Now and then in two pieces.
            let (head, tail) =
                line.split_at(if number.is_multiple_of(7) { line.len() / 2 } else { line.len() });
            writer.write_all(head.as_bytes()).unwrap();
            writer.write_all(tail.as_bytes()).unwrap();
            number += 1;
            count.store(number, Ordering::Relaxed);
        }
        number
    });
    let mut random = 88_172_645_463_325_252_u64;
    for round in 0..rounds {
        let mut child = victim_on(duplicate(&reader), &journal, directory, form, round);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The moment is chosen by what the pipe has taken, which is an event; the kill falls anywhere after it.
        let target = written.load(Ordering::Relaxed) + 1 + random % 10_000;
        let start = std::time::Instant::now();
        while written.load(Ordering::Relaxed) < target {
            assert!(start.elapsed() < LIMIT, "the output is not taken");
            thread::yield_now();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    let mut child = victim_on(duplicate(&reader), &journal, directory, form, LAST);
    drop(reader);
    stop.store(true, Ordering::Relaxed);
    let count = writing.join().unwrap();
    assert!(child.wait().unwrap().success());
    count
}

/// The number of a line that is as it was written, behind what belongs before it in this form.
fn number(line: &str, form: &str) -> Option<u64> {
    let object: serde_json::Value;
    let line = match form {
        "dated" => line.split_at_checked(14).filter(|(date, _)| date.ends_with(": "))?.1,
        "json" => {
            object = serde_json::from_str(line).ok()?;
            object["message"].as_str()?.strip_suffix('\n')?
        }
        _ => line,
    };
    let (number, fill) = line.split_once(' ')?;
    let number = number.parse::<u64>().ok()?;
    (fill.len() as u64 == number % 150 && fill.bytes().all(|byte| byte == b'x')).then_some(number)
}
