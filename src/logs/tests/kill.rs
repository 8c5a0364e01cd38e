//! SIGKILL at random moments: no byte is lost, none comes twice.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread;

use super::*;

const DIRECTORY: &str = "SUPD_TEST_LOGS_DIRECTORY";
const ROUNDS: u64 = 50;

/// Not a test of its own: the process that is killed. Its standard input is the worker's pipe, its standard error the journal.
#[test]
fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = PathBuf::from(directory);
    let journal = std::io::stderr().as_fd().try_clone_to_owned().unwrap();
    let (tell, notices) = mpsc::channel();
    let logs = Logs::start(journal, move |notice| drop(tell.send(notice))).unwrap();
    let pipe = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    logs.attach(source(1, Stream::Out), pipe, Some(directory.join("app.log")));
    let (nothing, _) = std::io::pipe().unwrap();
    logs.attach(source(1, Stream::Err), nothing.into(), None);
    assert!(notices.iter().any(|notice| matches!(notice, Notice::Drained { .. })));
}

fn victim_on(pipe: OwnedFd, journal: &OwnedFd, directory: &Path) -> Child {
    alone("kill::victim")
        .env(DIRECTORY, directory)
        .stdin(Stdio::from(pipe))
        .stdout(Stdio::null())
        .stderr(Stdio::from(journal.try_clone().unwrap()))
        .spawn()
        .unwrap()
}

#[test]
fn a_supervisor_killed_fifty_times_loses_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let journal = new_journal().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = thread::spawn(move || {
        let mut number = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writeln!(writer, "{number:012} {}", "x".repeat((number % 150) as usize)).unwrap();
            number += 1;
        }
        number
    });
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..ROUNDS {
        let mut child = victim_on(duplicate(&reader), &journal, directory.path());
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The moment is chosen by what the file has reached, which is an event; the kill falls anywhere after it.
        let target = length(&path) + 1 + random % 2_000_000;
        reaches(&path, target);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    let mut child = victim_on(duplicate(&reader), &journal, directory.path());
    drop(reader);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let count = writing.join().unwrap();
    assert!(child.wait().unwrap().success());
    let (lost, repeated) = compare(&path, count);
    println!("{count} lines, lost {lost}, repeated {repeated}");
    assert_eq!(lost, 0);
    assert_eq!(repeated, 0);
}

/// How many of the numbered lines are missing, and how many come more than once. A line is what was written, whole.
fn compare(path: &Path, count: u64) -> (u64, u64) {
    let mut text = String::new();
    File::open(path).unwrap().read_to_string(&mut text).unwrap();
    let mut seen = vec![0_u64; usize::try_from(count).unwrap()];
    for line in text.lines() {
        let whole = line.split_once(' ').and_then(|(number, fill)| {
            let number = number.parse::<u64>().ok()?;
            (fill.len() as u64 == number % 150).then_some(number)
        });
        let number = whole.unwrap_or_else(|| panic!("torn: {line}"));
        seen[usize::try_from(number).unwrap()] += 1;
    }
    let lost = seen.iter().filter(|times| **times == 0).count() as u64;
    (lost, seen.iter().map(|times| times.saturating_sub(1)).sum())
}
