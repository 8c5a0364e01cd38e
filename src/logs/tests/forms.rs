//! What lines look like, and files that get a copy.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use super::*;

fn dated(path: &Path) -> Output {
    Output { form: LogForm::Dated("[t]".to_owned()), ..into(Some(path)) }
}

fn json(path: &Path) -> Output {
    Output { form: LogForm::Json(Some("[t]".to_owned())), ..into(Some(path)) }
}

fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let message = |line| {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        object["message"].as_str().unwrap().to_owned()
    };
    text.lines().map(message).collect()
}

#[test]
fn a_line_that_comes_in_pieces_gets_its_date_once() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach_as(1, dated(&path));
    bench.finish(1);
    writer.write_all(b"be").unwrap();
    reaches(&path, 5);
    writer.write_all(b"gun\xff\0\nnext").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"t: begun\xff\0\nt: next");
    // The next run begins a line of its own.
    let mut writer = bench.attach_as(2, dated(&path));
    bench.finish(2);
    writer.write_all(b"other\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"t: begun\xff\0\nt: next\nt: other\n");
}

#[test]
fn the_next_supervisor_goes_on_in_the_line() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let (reader, mut writer) = std::io::pipe().unwrap();
    bench.logs.attach(source(1, Stream::Out), duplicate(&reader), dated(&path));
    writer.write_all(b"be").unwrap();
    reaches(&path, 5);
    let mut end = bench.logs.subscribe(request(Vec::new(), 0, true));
    drop(bench.logs);
    assert_eq!(wait(end.next()), None);
    let next = Bench::new();
    next.logs.attach(source(1, Stream::Out), duplicate(&reader), Output { resumed: true, ..dated(&path) });
    next.finish(1);
    writer.write_all(b"gun\n").unwrap();
    drop(writer);
    next.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"t: begun\n");
}

#[test]
fn an_object_has_a_line_or_a_part_of_a_long_one() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach_as(1, json(&path));
    bench.finish(1);
    let long = "é".repeat(100_000);
    writer.write_all(format!("a\n{long}\nb").as_bytes()).unwrap();
    drop(writer);
    bench.drained(1);
    let messages = messages(&path);
    assert_eq!((messages[0].as_str(), messages.last().unwrap().as_str()), ("a\n", "b"));
    assert!(messages.concat() == format!("a\n{long}\nb"), "characters are kept whole");
}

#[test]
fn both_streams_go_into_the_combined_file_too_and_live_lines_are_as_in_the_first() {
    let bench = Bench::new();
    let (out, err, all) = (bench.path("out.log"), bench.path("err.log"), bench.path("all.log"));
    let both = |own: &Path| {
        let files = vec![own.to_owned(), all.clone()];
        Output { files, ..dated(own) }
    };
    let mut live = bench.logs.subscribe(request(Vec::new(), 0, true));
    let mut first = bench.attach_as(1, both(&out));
    let (reader, mut second) = std::io::pipe().unwrap();
    bench.logs.attach(source(1, Stream::Err), reader.into(), both(&err));
    bench.settle();
    first.write_all(b"1\n").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "t: 1");
    second.write_all(b"2\n").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "t: 2");
    first.write_all(b"3\n").unwrap();
    drop((first, second));
    bench.drained(1);
    assert_eq!(fs::read_to_string(&out).unwrap(), "t: 1\nt: 3\n");
    assert_eq!(fs::read_to_string(&err).unwrap(), "t: 2\n");
    assert_eq!(fs::read_to_string(&all).unwrap(), "t: 1\nt: 2\nt: 3\n");
}

#[test]
fn a_copy_that_cannot_be_written_holds_nobody_and_tells_what_it_misses() {
    let bench = Bench::new();
    let (path, copy) = (bench.path("app.log"), bench.path("all.log"));
    symlink("/dev/full", &copy).unwrap();
    let output = Output { files: vec![path.clone(), copy.clone()], ..dated(&path) };
    let tally = Arc::clone(&output.tally);
    let mut writer = bench.attach_as(1, output);
    bench.finish(1);
    writer.write_all(b"one\n").unwrap();
    assert!(matches!(bench.notice(), Notice::Trouble { .. }));
    reaches(&path, 7);
    fs::remove_file(&copy).unwrap();
    bench.logs.reopen();
    let start = std::time::Instant::now();
    while length(&copy) == 0 {
        assert!(start.elapsed() < LIMIT);
        writer.write_all(b"more\n").unwrap();
        std::thread::yield_now();
    }
    drop(writer);
    let notice = bench.notice();
    let Notice::Recovered { lost, .. } = notice else { panic!("{notice:?}") };
    bench.drained(1);
    let (whole, copied) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(&copy).unwrap());
    let (marker, rest) = copied.split_once('\n').unwrap();
    assert!(marker.starts_with(&format!("t: [supd] lost {lost} of output: ")), "{marker}");
    assert!(whole.ends_with(rest));
    let missing = &whole[..whole.len() - rest.len()];
    assert_eq!(missing.replace("t: ", "").len() as u64, lost.bytes);
    assert_eq!(tally.count().lost, lost);
}

#[test]
fn a_fifo_that_takes_half_of_a_line_gets_the_other_half() {
    let bench = Bench::new();
    let path = bench.path("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let options = |read| File::options().read(read).write(true).open(&path).unwrap();
    let mut reader = options(true);
    let mut writer = bench.attach_as(1, dated(&path));
    bench.finish(1);
    // More than the FIFO holds, so that it is full within a line, and little enough for the rest to wait in the pipe.
    let line = format!("{}\n", "x".repeat(1000));
    let lines = line.repeat(80);
    let writing = std::thread::spawn(move || writer.write_all(lines.as_bytes()).unwrap());
    let expected = format!("t: {line}").repeat(80);
    let mut found = vec![0; expected.len()];
    std::io::Read::read_exact(&mut reader, &mut found).unwrap();
    assert!(String::from_utf8(found).unwrap() == expected);
    writing.join().unwrap();
}
