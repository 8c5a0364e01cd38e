//! Files that are put aside.

use std::fs;
use std::io::{Read, Write};

use supd_api::Compression;

use super::super::rotated::rotated;
use super::*;

/// Nothing is removed, whatever this machine's disk looks like.
fn all(size: u64) -> Rotation {
    Rotation { size: Some(size), keep: None, max_total: None, min_free: None, ..Rotation::default() }
}

fn rotating(path: &Path, rotation: Rotation) -> Output {
    Output { rotation, ..into(Some(path)) }
}

/// What all files of a log hold, in order.
pub(super) fn whole(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in rotated(path).unwrap() {
        let mut plain: Box<dyn Read> = match file.compression {
            None => Box::new(File::open(&file.path).unwrap()),
            Some(Compression::Gzip) => {
                Box::new(flate2::read::GzDecoder::new(File::open(&file.path).unwrap()))
            }
            Some(Compression::Zstd) => Box::new(zstd::Decoder::new(File::open(&file.path).unwrap()).unwrap()),
        };
        plain.read_to_end(&mut bytes).unwrap();
    }
    // Between a rename and the next file there is none.
    bytes.extend(fs::read(path).unwrap_or_default());
    bytes
}

/// Returns when they are.
pub(super) fn all_packed(path: &Path) {
    until("packed", || rotated(path).unwrap().iter().all(|file| file.compression.is_some()));
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn another_rule_counts_at_once() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach_as(1, rotating(&path, Rotation::never()));
    writer.write_all(&b"before\n".repeat(1000)).unwrap();
    until("written", || fs::metadata(&path).is_ok_and(|file| file.len() == 7000));
    assert_eq!(rotated(&path).unwrap(), []);
    let zone = Some("Pacific/Kiritimati".to_owned());
    let rotation = Rotation { date_format: "ZZ_YYYYMMDD".to_owned(), time_zone: zone, ..all(2000) };
    bench.logs.rotate_by(RunId(1), rotation);
    writer.write_all(b"after\n").unwrap();
    until("put aside", || fs::read(&path).is_ok_and(|text| text == b"after\n"));
    let name = rotated(&path).unwrap()[0].path.display().to_string();
    assert!(name.contains("__+1400_"), "{name}");
    bench.logs.rotate_by(RunId(1), Rotation::never());
    writer.write_all(&b"more\n".repeat(1000)).unwrap();
    drop(writer);
    bench.finish(1);
    bench.drained(1);
    assert_eq!(rotated(&path).unwrap().len(), 1);
}

#[test]
fn no_file_is_larger_than_it_may_be_and_no_line_is_cut() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach_as(1, rotating(&path, all(2000)));
    bench.finish(1);
    let lines: String = (0..3000).map(|n| format!("{n} {}\n", "x".repeat(n % 97))).collect();
    writer.write_all(lines.as_bytes()).unwrap();
    drop(writer);
    bench.drained(1);
    let files = rotated(&path).unwrap();
    assert!(files.len() as u64 >= lines.len() as u64 / 2000, "{}", files.len());
    assert!(files.iter().all(|file| file.size <= 2000 && fs::read(&file.path).unwrap().ends_with(b"\n")));
    assert!(whole(&path) == lines.as_bytes());
}

#[test]
fn a_line_without_an_end_is_cut_when_the_file_is_twice_too_large() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach_as(1, rotating(&path, all(50_000)));
    bench.finish(1);
    let line = vec![b'.'; 1_000_000];
    writer.write_all(&line).unwrap();
    drop(writer);
    bench.drained(1);
    let files = rotated(&path).unwrap();
    assert!(files.len() > 4 && files.iter().all(|file| file.size < 200_000), "{files:?}");
    assert!(whole(&path) == line);
}

#[test]
fn as_many_are_kept_as_wanted_and_they_are_packed() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bench = Bench::new();
        let path = bench.path("app.log");
        let other = bench.path("app__api.log");
        fs::write(&other, "of another app").unwrap();
        let left = bench.path("app__2020-01-01.log.gz.tmp");
        fs::write(&left, "half").unwrap();
        let rotation = Rotation { keep: Some(3), compress: Some(compression), ..all(1000) };
        let mut writer = bench.attach_as(1, rotating(&path, rotation));
        bench.finish(1);
        let lines: String = (0..1000).map(|n| format!("{n:099}\n")).collect();
        writer.write_all(lines.as_bytes()).unwrap();
        drop(writer);
        bench.drained(1);
        until("three packed files", || {
            let files = rotated(&path).unwrap();
            files.len() == 3 && files.iter().all(|file| file.compression == Some(compression))
        });
        assert!(whole(&path) == lines.as_bytes()[lines.len() - 4000..], "the latest");
        assert!(!left.exists() && other.exists());
    }
}

#[test]
fn an_app_has_a_budget_for_all_its_files() {
    let bench = Bench::new();
    let paths = [bench.path("out.log"), bench.path("error.log")];
    let rotation = Rotation { max_total: Some(10_000), ..all(1000) };
    let mut writers = [1, 2].map(|run| {
        let writer = bench.attach_as(run, rotating(&paths[run as usize - 1], rotation.clone()));
        bench.finish(run);
        writer
    });
    let line = [b"y".repeat(99), b"\n".to_vec()].concat();
    for _ in 0..300 {
        writers.iter_mut().for_each(|writer| writer.write_all(&line).unwrap());
    }
    drop(writers);
    bench.drained(2);
    let total = || {
        let files = paths.iter().flat_map(|path| rotated(path).unwrap());
        files.map(|file| file.size).sum::<u64>() + paths.iter().map(|path| length(path)).sum::<u64>()
    };
    until("within the budget", || total() <= 10_000);
    assert!(total() > 7_000, "no more than needed is removed: {}", total());
}

#[test]
fn a_file_from_before_its_hour_is_put_aside_at_once() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    fs::write(&path, "yesterday\n").unwrap();
    let yesterday = std::time::SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    File::options().append(true).open(&path).unwrap().set_modified(yesterday).unwrap();
    let daily = Rotation { interval: Some("0 0 * * *".to_owned()), ..all(1 << 20) };
    let mut writer = bench.attach_as(1, rotating(&path, daily));
    bench.finish(1);
    writer.write_all(b"today\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"today\n");
    assert_eq!(fs::read(&rotated(&path).unwrap()[0].path).unwrap(), b"yesterday\n");
}

#[test]
fn the_clock_puts_aside_what_is_not_empty() {
    let bench = Bench::new();
    let (path, quiet) = (bench.path("app.log"), bench.path("quiet.log"));
    // With seconds, which a declaration may have too.
    let always = Rotation { interval: Some("* * * * * *".to_owned()), ..all(1 << 20) };
    let mut writer = bench.attach_as(1, rotating(&path, always.clone()));
    let _silent = bench.attach_as(2, rotating(&quiet, always));
    writer.write_all(b"line\n").unwrap();
    until("a rotated file", || !rotated(&path).unwrap().is_empty());
    assert_eq!(whole(&path), b"line\n");
    assert_eq!(rotated(&quiet).unwrap(), []);
}

#[test]
fn what_is_not_there_any_more_is_not_put_aside_and_writing_goes_on() {
    let bench = Bench::new();
    let (path, moved) = (bench.path("app.log"), bench.path("moved.log"));
    let mut writer = bench.attach_as(1, rotating(&path, all(1000)));
    bench.finish(1);
    let mut live = bench.logs.subscribe(request(Vec::new(), 0, true));
    writer.write_all(b"first\n").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "first");
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "of somebody else\n").unwrap();
    let line = [b"z".repeat(99), b"\n".to_vec()].concat();
    for _ in 0..100 {
        writer.write_all(&line).unwrap();
    }
    drop(writer);
    bench.drained(1);
    assert_eq!(length(&moved), 10_006);
    assert_eq!(fs::read(&path).unwrap(), b"of somebody else\n");
    assert_eq!(rotated(&path).unwrap(), []);
}

/// A rotated file of this log, written so many days ago.
fn put_aside(path: &Path, date: &str, days: u64, content: &str) -> PathBuf {
    let name = path.with_file_name(format!("app__{date}.log"));
    fs::write(&name, content).unwrap();
    let then = std::time::SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60 + 60);
    File::options().append(true).open(&name).unwrap().set_modified(then).unwrap();
    name
}

#[test]
fn files_are_kept_for_so_many_days() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let old = put_aside(&path, "2001-01-01", 3, "old\n");
    let young = put_aside(&path, "2001-01-02", 1, "young\n");
    let _writer = bench.attach_as(1, rotating(&path, Rotation { keep_days: Some(2), ..all(1000) }));
    until("the old one is gone", || !old.exists());
    bench.settle();
    assert_eq!(whole(&path), b"young\n");
    assert!(young.exists());
}

#[test]
fn what_was_put_aside_goes_when_the_disk_gets_full() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let files = ["2001-01-01", "2001-01-02"].map(|date| put_aside(&path, date, 1, "older\n"));
    // More than any disk has.
    let rotation = Rotation { min_free: Some(u64::MAX), ..all(1000) };
    let mut writer = bench.attach_as(1, rotating(&path, rotation));
    bench.finish(1);
    until("both are gone", || files.iter().all(|file| !file.exists()));
    writer.write_all(b"present\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(whole(&path), b"present\n", "what is being written stays");
}

#[test]
fn packing_goes_on_where_a_kill_has_ended_it() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    // Packed, but the plain one was not removed any more; half packed; not begun.
    let files = ["2001-01-01", "2001-01-02", "2001-01-03"]
        .map(|date| put_aside(&path, date, 1, &format!("{date}\n")));
    let packed = |file: &Path, end: &str| PathBuf::from(format!("{}{end}", file.display()));
    let mut encoder = flate2::write::GzEncoder::new(
        File::create(packed(&files[0], ".gz")).unwrap(),
        flate2::Compression::default(),
    );
    encoder.write_all(b"2001-01-01\n").unwrap();
    encoder.finish().unwrap();
    fs::write(packed(&files[1], ".gz.tmp"), "half").unwrap();
    let rotation = Rotation { compress: Some(Compression::Gzip), ..all(1000) };
    let _writer = bench.attach_as(1, rotating(&path, rotation));
    until("all packed", || files.iter().all(|file| !file.exists() && packed(file, ".gz").exists()));
    let mut lines: Vec<String> =
        String::from_utf8(whole(&path)).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["2001-01-01", "2001-01-02", "2001-01-03"]);
    assert!(!packed(&files[1], ".gz.tmp").exists());
}
