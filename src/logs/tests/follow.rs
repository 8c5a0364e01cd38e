//! Reading along.

use std::fs;
use std::io::Write;
use std::thread;

use super::*;

fn number(line: &LogLine) -> Option<u64> {
    match line {
        LogLine::Line { .. } => Some(text(line).parse().unwrap()),
        LogLine::File { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reader_that_joins_at_any_moment_sees_no_gap_and_no_doublet() {
    const LINES: u64 = 200_000;
    const WANTED: u64 = 3_000;
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    bench.settle();
    let pause = std::sync::Arc::new(std::sync::Barrier::new(2));
    let gate = std::sync::Arc::clone(&pause);
    let writing = thread::spawn(move || {
        for number in 0..LINES {
            let line = format!("{number:08}\n");
            // Cut within the line, at a place that wanders, so that readers join within lines too.
            let (head, tail) = line.as_bytes().split_at((number % 9) as usize);
            writer.write_all(head).unwrap();
            writer.write_all(tail).unwrap();
            if number % 4_000 == 3_999 {
                gate.wait();
            }
        }
    });
    let mut joined_live = 0;
    for _ in 0..LINES / 4_000 {
        let mut reader = bench.logs.subscribe(request(vec![path.clone()], 20, true));
        let last = wait(async {
            let mut previous = None;
            let mut live = 0;
            for count in 0..WANTED {
                let Some(line) = reader.next().await else { panic!("ended") };
                let Some(number) = number(&line) else { continue };
                if let Some(previous) = previous {
                    assert_eq!(number, previous + 1);
                }
                previous = Some(number);
                live = count;
                if number % 4_000 == 3_999 {
                    break;
                }
            }
            (previous, live)
        });
        joined_live += last.1;
        drop(reader);
        pause.wait();
    }
    writing.join().unwrap();
    assert!(joined_live > 1_000, "only {joined_live} lines were read");
}

#[test]
fn a_line_begun_before_the_reader_joined_comes_whole_and_once() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    bench.settle();
    writer.write_all(b"first\nbeg").unwrap();
    reaches(&path, 9);
    let mut reader = bench.logs.subscribe(request(vec![path.clone()], 10, true));
    bench.settle();
    writer.write_all(b"un\nunfinished").unwrap();
    drop(writer);
    let lines: Vec<_> = (0..4).map(|_| wait(reader.next()).unwrap()).collect();
    assert_eq!(lines[0], LogLine::File { path: path.display().to_string(), lines: Some(10) });
    assert_eq!(lines[1..].iter().map(text).collect::<Vec<_>>(), ["first", "begun", "unfinished"]);
}

#[test]
fn a_slow_reader_is_told_exactly_how_much_it_missed_and_slows_nobody() {
    const LINES: u64 = 50_000;
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut reader = bench.logs.subscribe(request(Vec::new(), 0, true));
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    for number in 0..LINES {
        writeln!(writer, "{number}").unwrap();
    }
    drop(writer);
    bench.drained(1);
    let mut lines = 0;
    let missed = wait(async {
        loop {
            match reader.next().await.unwrap() {
                LogLine::Line { .. } => lines += 1,
                LogLine::Missed { lines } => return lines,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(lines, crate::logs::live::QUEUE_LINES as u64);
    assert_eq!(lines + missed, LINES);
    let mut writer = bench.attach(2, Some(&path));
    writer.write_all(b"on time\n").unwrap();
    assert_eq!(text(&wait(reader.next()).unwrap()), "on time");
}

#[test]
fn new_workers_of_what_is_followed_keep_flowing_and_others_do_not() {
    let bench = Bench::new();
    let mut wanted = request(Vec::new(), 0, true);
    wanted.filter = Filter {
        workers: Workers(vec![
            Named::Worker(7),
            Named::App("shop".to_owned()),
            Named::Namespace("jobs".to_owned()),
            Named::Pattern(regex::Regex::new("^web-").unwrap()),
        ]),
        streams: Streams::Err,
    };
    let mut reader = bench.logs.subscribe(wanted);
    let speak = |run: u64, name: &str, stream: Stream, said: &str| {
        let (pipe, mut writer) = std::io::pipe().unwrap();
        let mut source = source(run, stream);
        let (namespace, app) = name.split_once(':').unwrap_or(("default", name));
        (source.app, source.namespace) = (AppName::new(app).unwrap(), namespace.to_owned());
        bench.logs.attach(source, pipe.into(), Output::default());
        writer.write_all(said.as_bytes()).unwrap();
        drop(writer);
        bench.logs.release(RunId(run));
        bench.drained(1);
    };
    speak(1, "shop", Stream::Err, "1\n");
    speak(2, "shop", Stream::Out, "wrong stream\n");
    speak(3, "other", Stream::Err, "wrong app\n");
    speak(7, "other", Stream::Err, "7\n");
    speak(9, "shop", Stream::Err, "9\n");
    speak(10, "jobs:mail", Stream::Err, "10\n");
    speak(11, "web-2", Stream::Err, "11\n");
    let heard: Vec<_> = (0..5).map(|_| text(&wait(reader.next()).unwrap())).collect();
    assert_eq!(heard, ["1", "7", "9", "10", "11"]);
}

#[test]
fn the_last_lines_of_stopped_workers_can_be_read() {
    let bench = Bench::new();
    let (one, two) = (bench.path("one.log"), bench.path("two.log"));
    fs::write(&one, "a\nb\nc\n").unwrap();
    fs::write(&two, b"\n\nlast \xffline").unwrap();
    let long = "y".repeat(3_000_000);
    let three = bench.path("three.log");
    fs::write(&three, format!("{long}\n{long}\nshort\n")).unwrap();
    let paths = vec![one.clone(), bench.path("absent.log"), two, one, three];
    let mut reader = bench.logs.subscribe(request(paths, 2, false));
    let mut lines = Vec::new();
    wait(async {
        while let Some(line) = reader.next().await {
            if matches!(line, LogLine::Line { .. }) {
                lines.push(text(&line));
            }
        }
    });
    assert_eq!(lines[..5], ["b", "c", "", "last \u{fffd}line", &long[..1024 * 1024]]);
    assert_eq!(lines[5..], ["short"]);
}

#[test]
fn lines_without_a_file_are_shown() {
    let bench = Bench::new();
    let mut reader = bench.logs.subscribe(request(Vec::new(), 5, true));
    let mut writer = bench.attach(1, None);
    writer.write_all(b"x\0\xff\n").unwrap();
    match wait(reader.next()).unwrap() {
        LogLine::Line { text, worker, .. } => {
            assert_eq!((text.as_bytes(), worker), (&b"x\0\xff"[..], Some(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reader_ends_when_the_log_thread_does() {
    let bench = Bench::new();
    let mut reader = bench.logs.subscribe(request(Vec::new(), 0, true));
    drop(bench.logs);
    assert_eq!(wait(reader.next()), None);
}
