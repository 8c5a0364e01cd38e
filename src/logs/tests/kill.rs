//! SIGKILL at random moments: no byte is lost, none comes twice.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread;

use super::*;

const DIRECTORY: &str = "SUPD_TEST_LOGS_DIRECTORY";
const FORM: &str = "SUPD_TEST_LOGS_FORM";
const ROUNDS: u64 = 50;

fn output(directory: &Path, form: &str) -> Output {
    let all = (form != "plain").then(|| directory.join("all.log"));
    let files = [directory.join("app.log")].into_iter().chain(all).collect();
    let form = match form {
        "plain" => LogForm::Plain,
        "dated" => LogForm::Dated("HH:mm:ss.SSS".to_owned()),
        "json" => LogForm::Json(None),
        other => panic!("{other}"),
    };
    Output { files, form, resumed: true }
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

fn killed(form: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let journal = new_journal().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = thread::spawn(move || {
        let mut number = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let line = format!("{number:012} {}\n", "x".repeat((number % 150) as usize));
            // Now and then in two pieces.
            let (head, tail) =
                line.split_at(if number.is_multiple_of(7) { line.len() / 2 } else { line.len() });
            writer.write_all(head.as_bytes()).unwrap();
            writer.write_all(tail.as_bytes()).unwrap();
            number += 1;
        }
        number
    });
    let mut random = 88_172_645_463_325_252_u64;
    for _ in 0..ROUNDS {
        let mut child = victim_on(duplicate(&reader), &journal, directory.path(), form);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The moment is chosen by what the file has reached, which is an event; the kill falls anywhere after it.
        let target = length(&path) + 1 + random % 2_000_000;
        reaches(&path, target);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    let mut child = victim_on(duplicate(&reader), &journal, directory.path(), form);
    drop(reader);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let count = writing.join().unwrap();
    assert!(child.wait().unwrap().success());
    for file in output(directory.path(), form).files {
        let lines = std::fs::read_to_string(&file).unwrap();
        let mut next = 0;
        for line in lines.lines() {
            assert_eq!(number(line, form), Some(next), "{}: {line}", file.display());
            next += 1;
        }
        assert_eq!(next, count, "{}", file.display());
    }
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
