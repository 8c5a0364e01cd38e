//! Reading what was written: through rotated and packed files, by text, by time, by run, and on from a place.

use std::fs;
use std::io::Write;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use regex::bytes::Regex;

use super::*;
use crate::logs::chapter::chapters;
use crate::logs::subscription::Opened;

fn packed(path: &Path, text: &str) {
    let mut packer = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap();
}

/// Sets when a file was written last, in seconds since the epoch.
fn written(path: &Path, at: u64) {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(at);
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A log of four files, ten lines each, numbered from 1.
fn library(bench: &Bench) -> PathBuf {
    let ten = |first: u32| (first..first + 10).map(|number| format!("line {number}\n")).collect::<String>();
    packed(&bench.path("app__2026-11-18_00-00-00.log.gz"), &ten(1));
    packed(&bench.path("app__2026-11-19_00-00-00.log.gz"), &ten(11));
    fs::write(bench.path("app__2026-11-19_00-00-00-2.log"), ten(21)).unwrap();
    fs::write(bench.path("app-other__2026-11-19_00-00-00.log"), "another log's\n").unwrap();
    // The clock of files ticks so slowly that all of them might have one time, by which a packed one is recognised.
    for (date, at) in [("18_00-00-00.log.gz", 100), ("19_00-00-00.log.gz", 200), ("19_00-00-00-2.log", 300)] {
        written(&bench.path(&format!("app__2026-11-{date}")), at);
    }
    let path = bench.path("app.log");
    fs::write(&path, ten(31)).unwrap();
    path
}

fn read(bench: &Bench, wanted: Wanted, path: &Path, extent: Option<Extent>) -> Vec<LogLine> {
    let mut request = request(vec![path.to_owned()], 0, false);
    request.wanted = wanted;
    request.files[0].extent = extent;
    let mut reader = bench.logs.subscribe(request);
    let mut lines = Vec::new();
    wait(async {
        while let Some(line) = reader.next().await {
            lines.push(line);
        }
    });
    lines
}

fn numbers(lines: &[LogLine]) -> Vec<u32> {
    let lines = lines.iter().filter(|line| matches!(line, LogLine::Line { .. }));
    lines.map(|line| text(line).rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

fn matching(grep: &str, tail: Option<usize>) -> Wanted {
    let selection = Selection { grep: Some(Regex::new(grep).unwrap()), ..Selection::default() };
    Wanted { selection, tail, ..Wanted::default() }
}

#[test]
fn the_last_lines_are_found_across_rotated_and_packed_files() {
    let bench = Bench::new();
    let path = library(&bench);
    for count in [1, 9, 10, 11, 20, 25, 30, 39, 40, 41] {
        let wanted = Wanted { tail: Some(count), ..Wanted::default() };
        let first = 41_u32.saturating_sub(u32::try_from(count).unwrap()).max(1);
        assert_eq!(numbers(&read(&bench, wanted, &path, None)), (first..=40).collect::<Vec<_>>(), "{count}");
    }
    assert_eq!(numbers(&read(&bench, Wanted::default(), &path, None)).len(), 40);
}

#[test]
fn a_file_that_is_rotated_while_a_reader_joins_comes_once_and_its_successor_not() {
    let bench = Bench::new();
    let path = library(&bench);
    let about = request(vec![path.clone()], 0, false).files.remove(0);
    let opened = Opened::new(about).unwrap();
    let rotated = bench.path("app__2026-11-20_00-00-00.log");
    fs::rename(&path, &rotated).unwrap();
    written(&rotated, u64::from(u32::MAX));
    fs::write(&path, "not for this reader\n").unwrap();
    let names =
        || -> Vec<PathBuf> { chapters(&opened).unwrap().into_iter().map(|chapter| chapter.path).collect() };
    assert_eq!((names().len(), names().last()), (4, Some(&path)));
    // It may have been packed by now.
    packed(&bench.path("app__2026-11-20_00-00-00.log.gz"), "the same\n");
    written(&bench.path("app__2026-11-20_00-00-00.log.gz"), u64::from(u32::MAX));
    fs::remove_file(rotated).unwrap();
    assert_eq!((names().len(), names().last()), (4, Some(&path)));
}

#[test]
fn the_last_matching_lines_are_found_too() {
    let bench = Bench::new();
    let path = library(&bench);
    assert_eq!(numbers(&read(&bench, matching("5$", None), &path, None)), [5, 15, 25, 35]);
    assert_eq!(numbers(&read(&bench, matching("[57]$", Some(3)), &path, None)), [27, 35, 37]);
    assert_eq!(numbers(&read(&bench, matching("[57]$", Some(6)), &path, None)), [15, 17, 25, 27, 35, 37]);
    assert!(numbers(&read(&bench, matching("nothing", Some(6)), &path, None)).is_empty());
}

#[test]
fn followed_lines_are_chosen_by_their_text() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    let mut request = request(vec![path], 0, true);
    request.wanted = matching("yes", Some(0));
    let mut reader = bench.logs.subscribe(request);
    bench.settle();
    writer.write_all(b"no\nyes 1\nno\nno\nyes 2\n").unwrap();
    assert_eq!(text(&wait(reader.next()).unwrap()), "yes 1");
    assert_eq!(text(&wait(reader.next()).unwrap()), "yes 2");
}

#[test]
fn files_outside_the_span_are_left_out_and_lines_without_a_time_are_called_that() {
    let bench = Bench::new();
    let path = library(&bench);
    for (name, at) in [
        ("app__2026-11-18_00-00-00.log.gz", 100),
        ("app__2026-11-19_00-00-00.log.gz", 200),
        ("app__2026-11-19_00-00-00-2.log", 300),
    ] {
        written(&bench.path(name), at);
    }
    fs::write(&path, "1970-01-01T00:05:10Z line 31\nline 32\n1970-01-01T00:05:20Z line 33\n").unwrap();
    written(&path, 400);
    let span =
        |since, until| Wanted { selection: Selection { grep: None, since, until }, ..Wanted::default() };
    let found = read(&bench, span(Some(250_000), Some(315_000)), &path, None);
    assert_eq!(numbers(&found), (21..=32).collect::<Vec<_>>());
    let undated: Vec<_> = found.iter().filter(|line| matches!(line, LogLine::Undated { .. })).collect();
    let path_of_it = bench.path("app__2026-11-19_00-00-00-2.log").display().to_string();
    assert_eq!(undated, [&LogLine::Undated { path: path_of_it, after: Some(200_000), before: 300_000 }]);
    assert_eq!(numbers(&read(&bench, span(Some(320_000), None), &path, None)), [33]);
    assert_eq!(numbers(&read(&bench, span(None, Some(99_000)), &path, None)), (1..=10).collect::<Vec<_>>());
}

/// What a subscription with positions tells until this line; its latest place.
fn read_up_to(reader: &mut Subscription, last: &str) -> (Vec<String>, Bookmark) {
    let (mut lines, mut place) = (Vec::new(), None);
    wait(async {
        while lines.last().is_none_or(|line| line != last) || place.is_none() {
            match reader.next().await.expect("it goes on") {
                LogLine::Position { place: told, .. } => place = Some(told.parse().unwrap()),
                line @ LogLine::Line { .. } => {
                    place = None;
                    lines.push(text(&line));
                }
                LogLine::File { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    });
    (lines, place.unwrap())
}

fn following(path: &Path, tail: usize, from: Vec<Bookmark>) -> Request {
    let mut request = request(vec![path.to_owned()], tail, true);
    request.wanted.positions = true;
    request.wanted.from = from;
    request
}

#[test]
fn a_reader_goes_on_where_it_was_over_rotations() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    writer.write_all(b"1\n2\n").unwrap();
    reaches(&path, 4);
    let mut reader = bench.logs.subscribe(following(&path, 1, Vec::new()));
    let (lines, _) = read_up_to(&mut reader, "2");
    assert_eq!(lines, ["2"]);
    writer.write_all(b"3\n").unwrap();
    let (_, place) = read_up_to(&mut reader, "3");
    drop(reader);

    writer.write_all(b"4\n").unwrap();
    reaches(&path, 8);
    for round in 0..3_u64 {
        fs::rename(&path, bench.path(&format!("app__2026-11-20_00-00-0{round}.log"))).unwrap();
        bench.logs.reopen();
        bench.settle();
        writeln!(writer, "{}", 5 + round).unwrap();
        reaches(&path, 2);
    }
    let mut reader = bench.logs.subscribe(following(&path, 0, vec![place]));
    bench.settle();
    writer.write_all(b"8\n").unwrap();
    let (lines, place) = read_up_to(&mut reader, "8");
    assert_eq!(lines, ["4", "5", "6", "7", "8"]);
    drop(reader);
    // Nothing has come since: nothing comes again.
    let mut reader = bench.logs.subscribe(following(&path, 0, vec![place]));
    bench.settle();
    writer.write_all(b"9\n").unwrap();
    assert_eq!(read_up_to(&mut reader, "9").0, ["9"]);
}

#[test]
fn a_line_begun_under_a_predecessor_comes_whole_and_once() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    writer.write_all(b"first\n").unwrap();
    reaches(&path, 6);
    let mut reader = bench.logs.subscribe(following(&path, 1, Vec::new()));
    let (_, place) = read_up_to(&mut reader, "first");
    drop(writer);
    bench.finish(1);
    bench.drained(1);
    // What a predecessor had written of the next line when it was killed.
    File::options().append(true).open(&path).unwrap().write_all(b"sec").unwrap();
    let mut writer = bench.attach_as(2, Output { resumed: true, ..into(Some(&path)) });
    let mut reader = bench.logs.subscribe(following(&path, 0, vec![place]));
    bench.settle();
    writer.write_all(b"ond\n").unwrap();
    assert_eq!(read_up_to(&mut reader, "second").0, ["second"]);
}

#[test]
fn a_reader_goes_on_within_a_file_that_was_packed_meanwhile() {
    let bench = Bench::new();
    let path = library(&bench);
    let mut reader = bench.logs.subscribe(following(&path, 1, Vec::new()));
    let (_, place) = read_up_to(&mut reader, "line 40");
    File::options().append(true).open(&path).unwrap().write_all(b"line 41\n").unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let packed_path = bench.path("app__2026-11-20_00-00-00.log.gz");
    packed(&packed_path, &fs::read_to_string(&path).unwrap());
    File::options().append(true).open(&packed_path).unwrap().set_modified(modified).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "line 42\n").unwrap();
    let mut reader = bench.logs.subscribe(following(&path, 0, vec![place]));
    assert_eq!(read_up_to(&mut reader, "line 42").0, ["line 41", "line 42"]);
}

#[test]
fn a_place_that_is_gone_is_told() {
    let bench = Bench::new();
    let path = library(&bench);
    let mut reader = bench.logs.subscribe(following(&path, 1, Vec::new()));
    let (_, place) = read_up_to(&mut reader, "line 40");
    // Somebody takes the file away.
    let aside = bench.path("aside");
    fs::rename(&path, &aside).unwrap();
    fs::write(&path, "line 41\n").unwrap();
    let mut reader = bench.logs.subscribe(following(&path, 0, vec![place]));
    assert_eq!(wait(reader.next()), Some(LogLine::Gap { path: path.display().to_string() }));
    assert_eq!(read_up_to(&mut reader, "line 41").0, ["line 41"]);
    // Another one has come into being since: it is read whole. One that was emptied is read anew.
    let new = bench.path("new.log");
    fs::write(&new, "a\nb\n").unwrap();
    let mut reader = bench.logs.subscribe(following(&new, 0, vec![place]));
    let (lines, end) = read_up_to(&mut reader, "b");
    assert_eq!(lines, ["a", "b"]);
    File::options().write(true).truncate(true).open(&new).unwrap().write_all(b"c\n").unwrap();
    let mut reader = bench.logs.subscribe(following(&new, 0, vec![end]));
    assert_eq!(read_up_to(&mut reader, "c").0, ["c"]);
}

#[test]
fn a_reader_that_leaves_ends_the_search_for_it() {
    let bench = Bench::new();
    let path = bench.path("vast.log");
    // 1 TiB that takes no space. Nobody waits until it is searched.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let opened = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path)).count()
    };
    let mut request = request(vec![path.clone()], 1, false);
    request.wanted = matching("x", Some(1));
    let mut reader = bench.logs.subscribe(request);
    let begin = std::time::Instant::now();
    let none = wait(async { tokio::time::timeout(Duration::from_millis(50), reader.next()).await });
    assert!(none.is_err() && opened() == 1, "it searches");
    drop(reader);
    while opened() > 0 {
        assert!(begin.elapsed() < LIMIT, "it searches on and on");
        thread::yield_now();
    }
}

#[test]
fn a_run_is_read_from_its_begin_to_its_end() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut extents = Vec::new();
    for run in 1..=3_u64 {
        let mut writer = bench.attach(run, Some(&path));
        let Ok(Notice::Begun { mark: begin, source }) = bench.notices.recv_timeout(LIMIT) else { panic!() };
        assert_eq!(source.run, RunId(run));
        writeln!(writer, "line {run}1\nline {run}2").unwrap();
        drop(writer);
        let Ok(Notice::Ended { mark: end, .. }) = bench.notices.recv_timeout(LIMIT) else { panic!() };
        extents.push(Extent { begin, end: Some(end) });
        if run == 2 {
            fs::rename(&path, bench.path("app__2026-11-20_00-00-00.log")).unwrap();
        }
    }
    let all = |extent| numbers(&read(&bench, Wanted::default(), &path, Some(extent)));
    assert_eq!(all(extents[0]), [11, 12]);
    assert_eq!(all(extents[1]), [21, 22]);
    assert_eq!(all(extents[2]), [31, 32]);
    let last = Wanted { tail: Some(1), ..Wanted::default() };
    assert_eq!(numbers(&read(&bench, last, &path, Some(extents[1]))), [22]);
    let open = Extent { end: None, ..extents[1] };
    assert_eq!(all(open), [21, 22, 31, 32]);
    let shared = extents[0].hull(extents[1]);
    assert_eq!(all(shared), [11, 12, 21, 22]);
}
