//! Files that cannot be written, and supervisors that vanish.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_full_disk_does_not_stop_the_worker_and_the_loss_is_told() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    symlink("/dev/full", &path).unwrap();
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    writer.write_all(b"waiting\n").unwrap();
    let notice = bench.notice();
    assert!(
        matches!(&notice, Notice::Trouble { error, .. } if error.raw_os_error() == Some(28)),
        "{notice:?}"
    );
    // Far more than the pipe holds: the worker can go on only because the oldest is dropped.
    let line = [b"n".repeat(99), b"\n".to_vec()].concat();
    for _ in 0..10_000 {
        writer.write_all(&line).unwrap();
    }
    fs::remove_file(&path).unwrap();
    bench.logs.reopen();
    drop(writer);
    let notice = bench.notice();
    let Notice::Recovered { lost, .. } = notice else { panic!("{notice:?}") };
    bench.drained(1);
    let text = fs::read_to_string(&path).unwrap();
    let (marker, rest) = text.split_once('\n').unwrap();
    assert_eq!(marker, format!("[supd] lost {lost} of output: No space left on device (os error 28)"));
    assert_eq!(rest.len() as u64 + lost.bytes, 8 + 1_000_000);
    assert_eq!(rest.lines().count() as u64 + lost.lines, 10_001);
    assert!(rest.lines().all(|line| line.len() == 99), "whole lines were kept");
}

#[test]
fn what_fits_into_the_pipe_waits_for_the_file() {
    let bench = Bench::new();
    let directory = bench.path("logs");
    // A file where the directory should be.
    fs::write(&directory, "").unwrap();
    let path = directory.join("app.log");
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    writer.write_all(b"patient\n").unwrap();
    let notice = bench.notice();
    assert!(matches!(notice, Notice::Trouble { .. }), "{notice:?}");
    fs::remove_file(&directory).unwrap();
    drop(writer);
    let notice = bench.notice();
    assert!(matches!(notice, Notice::Recovered { lost: Loss { lines: 0, bytes: 0 }, .. }), "{notice:?}");
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"patient\n");
}

#[test]
fn a_released_run_does_not_wait_for_a_full_disk_for_ever() {
    let bench = Bench::new();
    let mut writer = bench.attach(1, Some(Path::new("/dev/full")));
    writer.write_all(b"never written\n").unwrap();
    assert!(matches!(bench.notice(), Notice::Trouble { .. }));
    bench.logs.release(RunId(1));
    bench.drained(1);
}

#[test]
fn what_is_no_pipe_is_given_up() {
    let bench = Bench::new();
    bench.logs.attach(source(1, Stream::Out), tempfile::tempfile().unwrap().into(), Output::default());
    bench.finish(1);
    bench.drained(1);
}

#[test]
fn the_next_supervisor_goes_on_where_the_last_one_vanished() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let (reader, mut writer) = std::io::pipe().unwrap();
    bench.logs.attach(source(1, Stream::Out), duplicate(&reader), into(Some(&path)));
    writer.write_all(b"one\n").unwrap();
    reaches(&path, 4);
    let mut end = bench.logs.subscribe(request(Vec::new(), 0, true));
    drop(bench.logs);
    assert_eq!(wait(end.next()), None);
    writer.write_all(b"two\n").unwrap();
    let next = Bench::new();
    next.logs.attach(source(1, Stream::Out), duplicate(&reader), into(Some(&path)));
    next.finish(1);
    writer.write_all(b"three\n").unwrap();
    drop(writer);
    next.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
}
