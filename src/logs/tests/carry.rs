//! From pipe to file.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use proptest::prelude::*;

use super::*;

#[test]
fn bytes_arrive_as_they_are_written() {
    let bench = Bench::new();
    let path = bench.path("new/directory/app.log");
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    writer.write_all(&bytes).unwrap();
    drop(writer);
    bench.drained(1);
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn a_run_is_drained_when_both_streams_have_ended_and_not_before() {
    let bench = Bench::new();
    let out = bench.attach(1, None);
    bench.finish(1);
    bench.settle();
    assert!(bench.notices.try_recv().is_err());
    drop(out);
    bench.drained(1);
    bench.logs.release(RunId(1));
    bench.settle();
    assert!(bench.notices.try_recv().is_err(), "told once");
}

#[test]
fn eight_writers_into_one_file_never_tear_a_line() {
    const LINES: usize = 3000;
    let bench = Bench::new();
    let path = bench.path("merged.log");
    let writers: Vec<_> = (0..8)
        .map(|run| {
            let mut writer = bench.attach(run, Some(&path));
            bench.finish(run);
            (run, move || {
                for number in 0..LINES {
                    let fill = "x".repeat(number * 37 % 300);
                    let line = format!("<{run} {number} {fill}>\n");
                    // In two pieces, so that an incomplete line is in the pipe again and again.
                    let (head, tail) = line.split_at(line.len() / 2);
                    writer.write_all(head.as_bytes()).unwrap();
                    writer.write_all(tail.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    bench.settle();
    for (_, writer) in writers {
        thread::spawn(writer);
    }
    bench.drained(8);
    let text = fs::read_to_string(&path).unwrap();
    let mut next = [0; 8];
    for line in text.lines() {
        let inner =
            line.strip_prefix('<').and_then(|l| l.strip_suffix('>')).unwrap_or_else(|| panic!("{line}"));
        let mut words = inner.split(' ');
        let run: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(words.next().unwrap().parse::<usize>().unwrap(), next[run]);
        assert_eq!(words.next().unwrap().len(), next[run] * 37 % 300);
        next[run] += 1;
    }
    assert_eq!(next, [LINES; 8]);
}

#[test]
fn large_writes_of_lines_into_a_merged_file_do_not_stall() {
    let bench = Bench::new();
    let path = bench.path("merged.log");
    let _other = bench.attach(2, Some(&path));
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    // One write far larger than the pipe: the writer blocks on a pipe that holds an incomplete line.
    let lines = "a line that does not divide the size of a page\n".repeat(100_000);
    writer.write_all(lines.as_bytes()).unwrap();
    drop(writer);
    bench.drained(1);
    assert!(fs::read_to_string(&path).unwrap() == lines);
}

#[test]
fn an_incomplete_line_in_a_merged_file_is_written_at_the_end_and_when_patience_is_over() {
    let bench = Bench::new();
    let path = bench.path("merged.log");
    let mut first = bench.attach(1, Some(&path));
    let mut second = bench.attach(2, Some(&path));
    bench.finish(2);
    bench.settle();
    second.write_all(b"no newline").unwrap();
    drop(second);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"no newline");
    let _third = bench.attach(3, Some(&path));
    let mut live = bench.logs.subscribe(request(Vec::new(), 0, true));
    bench.settle();
    first.write_all(b"\nprompt: ").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "");
    reaches(&path, 19);
    assert_eq!(fs::read(&path).unwrap(), b"no newline\nprompt: ");
}

#[test]
fn a_hundred_megabytes_without_a_newline_need_no_memory() {
    const SIZE: usize = 100_000_000;
    const ALONE: &str = "SUPD_TEST_LOGS_FLOOD";
    if std::env::var_os(ALONE).is_none() {
        let test = "carry::a_hundred_megabytes_without_a_newline_need_no_memory";
        assert!(alone(test).env(ALONE, "1").status().unwrap().success());
        return;
    }
    let bench = Bench::new();
    let path = bench.path("flood.log");
    let live = bench.logs.subscribe(request(Vec::new(), 0, true));
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    let quiet_path = bench.path("quiet.log");
    let mut quiet = bench.attach(2, Some(&quiet_path));
    bench.finish(2);
    bench.settle();
    let before = resident();
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..SIZE / piece.len() {
        writer.write_all(&piece).unwrap();
    }
    quiet.write_all(b"not starved\n").unwrap();
    drop(quiet);
    drop(writer);
    bench.drained(2);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8_000_000, "grown by {grown} bytes");
    assert_eq!(length(&path), SIZE as u64);
    assert_eq!(fs::read(&quiet_path).unwrap(), b"not starved\n");
    drop(live);
}

/// Resident memory of this process in bytes (proc(5), `statm`).
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn release_reads_what_is_there_and_does_not_wait_for_escaped_writers() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    let (reader, silent) = std::io::pipe().unwrap();
    bench.logs.attach(source(1, Stream::Err), reader.into(), Output::default());
    writer.write_all(&vec![b'z'; 60_000]).unwrap();
    bench.logs.release(RunId(1));
    bench.drained(1);
    assert_eq!(length(&path), 60_000);
    assert!(writer.write_all(b"late").is_err(), "nobody reads it any more");
    drop(silent);
}

#[test]
fn release_ends_though_an_escaped_writer_floods() {
    let bench = Bench::new();
    let mut writer = bench.attach(1, None);
    let flood = thread::spawn(move || while writer.write_all(&[b'f'; 4096]).is_ok() {});
    bench.logs.release(RunId(1));
    bench.drained(1);
    flood.join().unwrap();
}

#[test]
fn release_does_not_wait_for_an_incomplete_line() {
    let bench = Bench::new();
    let path = bench.path("merged.log");
    let _other = bench.attach(2, Some(&path));
    let mut writer = bench.attach(1, Some(&path));
    writer.write_all(b"half").unwrap();
    bench.logs.release(RunId(1));
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"half");
}

#[test]
fn flush_empties_files_of_running_and_stopped_workers() {
    let bench = Bench::new();
    let (path, stopped) = (bench.path("app.log"), bench.path("stopped.log"));
    fs::write(&path, "old\n").unwrap();
    fs::write(&stopped, "old\n").unwrap();
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    bench.logs.flush(vec![path.clone(), stopped.clone(), bench.path("absent.log")]);
    bench.settle();
    assert_eq!((length(&path), length(&stopped)), (0, 0));
    writer.write_all(b"new\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"new\n");
}

#[test]
fn reopen_after_a_rename_writes_into_a_new_file() {
    let bench = Bench::new();
    let (path, old) = (bench.path("app.log"), bench.path("app.log.1"));
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    let mut live = bench.logs.subscribe(request(Vec::new(), 0, true));
    bench.settle();
    writer.write_all(b"before\n").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "before");
    fs::rename(&path, &old).unwrap();
    writer.write_all(b"between\n").unwrap();
    assert_eq!(text(&wait(live.next()).unwrap()), "between");
    bench.logs.reopen();
    bench.settle();
    writer.write_all(b"after\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&old).unwrap(), b"before\nbetween\n");
    assert_eq!(fs::read(&path).unwrap(), b"after\n");
}

#[test]
fn a_file_truncated_by_others_gets_no_hole() {
    let bench = Bench::new();
    let path = bench.path("app.log");
    let mut writer = bench.attach(1, Some(&path));
    bench.finish(1);
    let mut live = bench.logs.subscribe(request(Vec::new(), 0, true));
    bench.settle();
    writer.write_all(b"long line before\n").unwrap();
    wait(live.next()).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    writer.write_all(b"after\n").unwrap();
    drop(writer);
    bench.drained(1);
    assert_eq!(fs::read(&path).unwrap(), b"after\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_pieces_from_two_writers_keep_their_bytes(
        pieces in proptest::collection::vec((0..2_usize, proptest::collection::vec(any::<u8>(), 0..5000)), 0..40),
        merged in any::<bool>(),
    ) {
        let bench = Bench::new();
        let paths = [bench.path("0.log"), bench.path(if merged { "0.log" } else { "1.log" })];
        let mut writers = [bench.attach(0, Some(&paths[0])), bench.attach(1, Some(&paths[1]))];
        (0..2).for_each(|run| bench.finish(run));
        bench.settle();
        let mut sent = [Vec::new(), Vec::new()];
        for (index, piece) in &pieces {
            writers[*index].write_all(piece).unwrap();
            sent[*index].extend_from_slice(piece);
        }
        drop(writers);
        bench.drained(2);
        if merged {
            let mut found = fs::read(&paths[0]).unwrap();
            let mut expected = sent.concat();
            found.sort_unstable();
            expected.sort_unstable();
            prop_assert!(found == expected);
        } else {
            prop_assert!(fs::read(&paths[0]).unwrap() == sent[0]);
            prop_assert!(fs::read(&paths[1]).unwrap() == sent[1]);
        }
    }
}
