//! Sinks that take output, that are slow, and that come and go.

use std::io::Write;
use std::os::unix::net::UnixDatagram;

use super::*;

/// A stand-in for journald or a syslog daemon.
pub(super) fn receiver(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn next(socket: &UnixDatagram) -> String {
    let mut bytes = vec![0; 256 * 1024];
    let count = socket.recv(&mut bytes).expect("a message");
    bytes.truncate(count);
    String::from_utf8(bytes).unwrap()
}

/// The text of a message of journald.
pub(super) fn message(socket: &UnixDatagram) -> String {
    let entry = next(socket);
    entry.strip_prefix("MESSAGE=").unwrap().split_once('\n').unwrap().0.to_owned()
}

pub(super) fn journald(socket: &Path, file: Option<&Path>) -> Output {
    Output { sink: Some(Sink::Journald { socket: socket.to_owned() }), ..into(file) }
}

#[test]
fn journald_gets_each_line_with_its_fields_and_the_file_has_it_too() {
    let bench = Bench::new();
    let (path, socket) = (bench.path("app.log"), bench.path("socket"));
    let receiver = receiver(&socket);
    let mut out = bench.attach_as(1, journald(&socket, Some(&path)));
    let (reader, mut err) = std::io::pipe().unwrap();
    bench.logs.attach(source(1, Stream::Err), reader.into(), journald(&socket, None));
    // What is no line yet waits.
    out.write_all(b"one\ntw").unwrap();
    let fields = |text, priority, stream| {
        format!(
            "MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=app\nSUPD_APP=app\nSUPD_WORKER=1\nSUPD_RUN=1\n\
             SUPD_STREAM={stream}\n"
        )
    };
    assert_eq!(next(&receiver), fields("one", 6, "out"));
    out.write_all(b"o\n").unwrap();
    assert_eq!(next(&receiver), fields("two", 6, "out"));
    err.write_all(b"=\n").unwrap();
    assert_eq!(next(&receiver), fields("=", 3, "err"));
    out.write_all(b"without end").unwrap();
    drop((out, err));
    assert_eq!(next(&receiver), fields("without end", 6, "out"));
    bench.drained(1);
    assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nwithout end");
}

#[test]
fn in_place_of_files_a_slow_sink_loses_nothing_and_gets_nothing_twice() {
    let bench = Bench::new();
    let socket = bench.path("socket");
    let receiver = receiver(&socket);
    let mut out = bench.attach_as(1, journald(&socket, None));
    bench.finish(1);
    let writer = std::thread::spawn(move || {
        (0..20_000).for_each(|number| writeln!(out, "line {number}").unwrap());
    });
    // Far more than wait in a socket: now and then it takes nothing.
    for number in 0..20_000 {
        assert_eq!(message(&receiver), format!("line {number}"));
    }
    writer.join().unwrap();
    bench.drained(1);
}

#[test]
fn a_sink_that_comes_back_gets_what_waited() {
    let bench = Bench::new();
    let socket = bench.path("socket");
    let mut out = bench.attach_as(1, journald(&socket, None));
    bench.finish(1);
    out.write_all(b"first\n").unwrap();
    let notice = bench.notice();
    let Notice::SinkTrouble { sink, error } = notice else { panic!("{notice:?}") };
    assert_eq!((sink, error.kind()), (format!("journald at {}", socket.display()), io::ErrorKind::NotFound));
    let first = receiver(&socket);
    assert_eq!(message(&first), "first");
    let notice = bench.notice();
    assert!(matches!(notice, Notice::SinkRecovered { lost: 0, .. }), "{notice:?}");
    // It is started anew.
    drop(first);
    std::fs::remove_file(&socket).unwrap();
    let second = receiver(&socket);
    out.write_all(b"second\n").unwrap();
    assert_eq!(message(&second), "second");
    drop(out);
    bench.drained(1);
}

#[test]
fn beside_a_file_a_sink_that_does_not_read_costs_the_file_nothing_and_what_it_misses_is_told() {
    let bench = Bench::new();
    let (path, socket) = (bench.path("app.log"), bench.path("socket"));
    let receiver = receiver(&socket);
    let mut out = bench.attach_as(1, journald(&socket, Some(&path)));
    bench.finish(1);
    let lines: String = (0..100_000).map(|number| format!("{number}\n")).collect();
    out.write_all(lines.as_bytes()).unwrap();
    drop(out);
    let notice = bench.notice();
    assert!(matches!(notice, Notice::SinkTrouble { .. }), "{notice:?}");
    let notice = bench.notice();
    let Notice::SinkRecovered { lost, .. } = notice else { panic!("{notice:?}") };
    bench.drained(1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    receiver.set_nonblocking(true).unwrap();
    let mut got = 0;
    while receiver.recv(&mut [0; 4096]).is_ok() {
        got += 1;
    }
    assert!(got > 0 && got + lost == 100_000, "{got} + {lost}");
}

#[test]
fn a_worker_is_not_stopped_for_ever_by_a_sink_that_is_not_there() {
    let bench = Bench::new();
    let socket = bench.path("socket");
    let mut out = bench.attach_as(1, journald(&socket, None));
    bench.finish(1);
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    (0..10_000).for_each(|_| out.write_all(&line).unwrap());
    let notice = bench.notice();
    assert!(matches!(notice, Notice::SinkTrouble { .. }), "{notice:?}");
    let receiver = receiver(&socket);
    drop(out);
    let mut got = 0;
    let mut bytes = [0; 4096];
    // The next message comes, or the end is told.
    receiver.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let lost = loop {
        got += u64::from(receiver.recv(&mut bytes).is_ok());
        if let Ok(Notice::SinkRecovered { lost, .. }) = bench.notices.try_recv() {
            break lost;
        }
    };
    receiver.set_read_timeout(Some(LIMIT)).unwrap();
    while got + lost < 10_000 {
        receiver.recv(&mut bytes).expect("the rest");
        got += 1;
    }
    bench.drained(1);
    assert!(lost > 0);
    assert_eq!(got + lost, 10_000);
}

#[test]
fn what_came_first_is_kept_for_a_sink_too() {
    let bench = Bench::new();
    let socket = bench.path("socket");
    let output = Output { on_full: OnFull::DropNewest, ..journald(&socket, None) };
    let tally = Arc::clone(&output.tally);
    let mut out = bench.attach_as(1, output);
    bench.finish(1);
    (0..5000).for_each(|number| out.write_all(format!("{number:099}\n").as_bytes()).unwrap());
    assert!(matches!(bench.notice(), Notice::SinkTrouble { .. }));
    let receiver = receiver(&socket);
    drop(out);
    // The next message comes, or the end is told.
    receiver.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let (mut numbers, mut lost, mut bytes): (Vec<u64>, _, _) = (Vec::new(), 0, [0; 4096]);
    loop {
        match receiver.recv(&mut bytes) {
            Ok(_) => numbers.push(std::str::from_utf8(&bytes[8..107]).unwrap().parse().unwrap()),
            Err(_) => match bench.notices.try_recv() {
                Ok(Notice::SinkRecovered { lost: missing, .. }) => lost = missing,
                Ok(Notice::Drained { .. }) => break,
                Ok(_) | Err(_) => {}
            },
        }
    }
    let first = numbers.iter().zip(0..).take_while(|(number, index)| *number == index).count();
    assert!(first > 200, "the first ones: {first}");
    assert!(numbers[first..].iter().rev().zip((0..5000).rev()).all(|(number, index)| *number == index));
    let count = tally.count();
    assert_eq!((numbers.len() as u64 + lost, count.lost.lines), (5000, lost));
    assert_eq!(count.written, numbers.len() as u64 * 100);
}

#[test]
fn syslog_gets_lines_and_long_ones_in_parts() {
    let bench = Bench::new();
    let socket = bench.path("log");
    let receiver = receiver(&socket);
    let output = Output { sink: Some(Sink::Syslog { socket }), ..Output::default() };
    let mut out = bench.attach_as(1, output);
    bench.finish(1);
    writeln!(out, "hello\n{}", "é".repeat(5000)).unwrap();
    let first = next(&receiver);
    assert!(first.starts_with("<30>") && first.ends_with(" app[1]: hello"), "{first}");
    let parts: Vec<String> =
        (0..2).map(|_| next(&receiver).split_once(" app[1]: ").expect("a tag").1.to_owned()).collect();
    assert_eq!(parts.concat(), "é".repeat(5000));
    drop(out);
    bench.drained(1);
}
