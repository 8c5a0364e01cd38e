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
const ROUNDS: u64 = 50;

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
    let all = (form != "plain" && form != "packed").then(|| directory.join("all.log"));
    let files = [directory.join("app.log")].into_iter().chain(all).collect();
    let form = match form {
        "plain" | "rotated" | "packed" => LogForm::Plain,
        "dated" => LogForm::Dated("HH:mm:ss.SSS".to_owned()),
        "json" => LogForm::Json(None),
        other => panic!("{other}"),
    };
    Output { files, form, rotation, resumed: true, ..Output::default() }
}

/// Not a test of its own: the process that is killed. Its standard input is the worker's pipe, its standard error the journal.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = PathBuf::from(directory);
    let journal = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let (tell, notices) = mpsc::channel();
    let logs = Logs::start(journal, move |notice| drop(tell.send(notice))).unwrap();
    let pipe = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    logs.attach(source(1, Stream::Out), pipe, output(&directory, &std::env::var(FORM).unwrap()));
    let (nothing, _) = std::io::pipe().unwrap();
    logs.attach(source(1, Stream::Err), nothing.into(), Output::default());
    logs.begin();
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Drained { .. })));
}

fn victim_on(pipe: OwnedFd, journal: &OwnedFd, directory: &Path, form: &str) -> Child {
    alone("kill::victim")
        .env(DIRECTORY, directory)
        .env(FORM, form)
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
    let count = killed_in(directory.path(), "sink");
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
    let count = killed_in(directory.path(), form);
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

/// How many lines were written while whoever carried them was killed again and again.
fn killed_in(directory: &Path, form: &str) -> u64 {
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
    for _ in 0..ROUNDS {
        let mut child = victim_on(duplicate(&reader), &journal, directory, form);
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
    let mut child = victim_on(duplicate(&reader), &journal, directory, form);
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
