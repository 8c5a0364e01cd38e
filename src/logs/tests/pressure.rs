//! Files that take nothing, and what each policy makes of that.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

const LINES: u64 = 5000;

fn line(number: u64) -> String {
    format!("{number:099}\n")
}

/// A path that takes nothing until it is [made good](take_again).
fn full(bench: &Bench, name: &str) -> PathBuf {
    let path = bench.path(name);
    symlink("/dev/full", &path).unwrap();
    path
}

fn take_again(bench: &Bench, path: &Path) {
    fs::remove_file(path).unwrap();
    bench.logs.reopen();
}

fn on_full(path: &Path, on_full: OnFull) -> (Output, Arc<Tally>) {
    let output = Output { on_full, ..into(Some(path)) };
    let tally = Arc::clone(&output.tally);
    (output, tally)
}

fn in_trouble(bench: &Bench) {
    let notice = bench.notice();
    assert!(matches!(&notice, Notice::Trouble { .. }), "{notice:?}");
}

fn recovered(bench: &Bench) -> Loss {
    let notice = bench.notice();
    let Notice::Recovered { lost, .. } = notice else { panic!("{notice:?}") };
    lost
}

/// The numbers of the lines before and behind the one about the loss, and that.
fn told(path: &Path) -> (Vec<u64>, String, Vec<u64>) {
    let text = fs::read_to_string(path).unwrap();
    let (before, after) = text.split_once("[supd] ").unwrap();
    let (marker, after) = after.split_once('\n').unwrap();
    let numbers = |text: &str| text.lines().map(|line| line.parse().unwrap()).collect::<Vec<u64>>();
    (numbers(before), marker.to_owned(), numbers(after))
}

/// Fills the pipe until it takes nothing for good. How many whole lines it has taken.
fn stuff(writer: &mut PipeWriter, from: u64) -> u64 {
    let flags = |flags| fcntl(&*writer, FcntlArg::F_SETFL(flags)).map(drop).unwrap();
    flags(OFlag::O_NONBLOCK);
    let mut taken = from;
    let mut refused = 0;
    while refused < 1000 {
        // Less than PIPE_BUF, so all of it or nothing (pipe(7)).
        match (&*writer).write(line(taken).as_bytes()) {
            Ok(_) => (taken, refused) = (taken + 1, 0),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                refused += 1;
                // The thread that could make room gets its chance.
                std::thread::yield_now();
            }
        }
        assert!(taken < from + LINES, "it never gets full");
    }
    fcntl(&*writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    taken
}

#[test]
fn what_came_first_is_kept_and_the_rest_is_counted() {
    let bench = Bench::new();
    let path = full(&bench, "app.log");
    let (output, tally) = on_full(&path, OnFull::DropNewest);
    let mut writer = bench.attach_as(1, output);
    bench.finish(1);
    for number in 0..LINES {
        writer.write_all(line(number).as_bytes()).unwrap();
    }
    in_trouble(&bench);
    take_again(&bench, &path);
    let lost = recovered(&bench);
    drop(writer);
    bench.drained(1);
    let (before, marker, after) = told(&path);
    assert_eq!(marker, format!("lost {lost} of output: No space left on device (os error 28)"));
    assert!(before.len() > 200, "{}", before.len());
    assert!(before.iter().copied().eq(0..before.len() as u64), "the first ones, all of them");
    assert!(after.iter().copied().eq(LINES - after.len() as u64..LINES), "those that still waited");
    assert_eq!(lost.lines, LINES - (before.len() + after.len()) as u64);
    assert_eq!(lost.bytes, lost.lines * 100);
    let count = tally.count();
    assert_eq!((count.lost, count.written), (lost, (LINES - lost.lines) * 100));
    assert!(count.lost_since > 0);
}

#[test]
fn nothing_is_dropped_where_the_worker_waits() {
    let bench = Bench::new();
    let path = full(&bench, "app.log");
    let (output, tally) = on_full(&path, OnFull::Block);
    let mut writer = bench.attach_as(1, output);
    bench.finish(1);
    let taken = stuff(&mut writer, 0);
    in_trouble(&bench);
    assert!(taken * 100 <= 65_536, "no more than its pipe holds: {taken}");
    // It ends while its file takes nothing.
    let mut other = bench.attach_as(2, on_full(&path, OnFull::Block).0);
    bench.finish(2);
    other.write_all(b"last words\n").unwrap();
    bench.logs.release(RunId(2));
    bench.settle();
    take_again(&bench, &path);
    assert_eq!(recovered(&bench), Loss::default());
    for number in taken..LINES {
        writer.write_all(line(number).as_bytes()).unwrap();
    }
    drop(writer);
    bench.drained(2);
    let text = fs::read_to_string(&path).unwrap();
    let (words, numbers): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("last"));
    assert_eq!(words, ["last words"]);
    assert!(numbers.iter().map(|line| line.parse::<u64>().unwrap()).eq(0..LINES));
    assert_eq!(tally.count(), Count { written: LINES * 100, ..Count::default() });
}

#[test]
fn where_nothing_is_dropped_both_files_must_take_it() {
    let bench = Bench::new();
    let (main, copy) = (bench.path("out.log"), full(&bench, "all.log"));
    let output = Output { files: vec![main.clone(), copy.clone()], ..on_full(&main, OnFull::Block).0 };
    let mut writer = bench.attach_as(1, output);
    bench.finish(1);
    let taken = stuff(&mut writer, 0);
    in_trouble(&bench);
    assert_eq!(length(&main), 0);
    take_again(&bench, &copy);
    for number in taken..LINES {
        writer.write_all(line(number).as_bytes()).unwrap();
    }
    drop(writer);
    assert_eq!(recovered(&bench), Loss::default());
    bench.drained(1);
    let text: String = (0..LINES).map(line).collect();
    assert!([&main, &copy].into_iter().all(|path| fs::read_to_string(path).unwrap() == text));
}

#[test]
fn runs_that_are_over_do_not_wait_without_end() {
    const RUNS: u64 = 40;
    let bench = Bench::new();
    let path = full(&bench, "app.log");
    for run in 0..RUNS {
        let mut writer = bench.attach_as(run, on_full(&path, OnFull::Block).0);
        bench.finish(run);
        writer.write_all(line(run).as_bytes()).unwrap();
        bench.logs.release(RunId(run));
    }
    in_trouble(&bench);
    bench.drained(RUNS as usize - 32);
    take_again(&bench, &path);
    assert_eq!(recovered(&bench), Loss { lines: 8, bytes: 800 });
    bench.drained(32);
    let (before, marker, mut after) = told(&path);
    after.sort_unstable();
    assert_eq!((before, after), (vec![], (8..RUNS).collect()), "{marker}");
}

#[test]
fn a_fifo_that_nobody_reads_is_like_a_full_disk() {
    let bench = Bench::new();
    let path = bench.path("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut writer = bench.attach_as(1, on_full(&path, OnFull::DropOldest).0);
    let quiet = bench.path("quiet.log");
    let mut other = bench.attach(2, Some(&quiet));
    for number in 0..LINES {
        writer.write_all(line(number).as_bytes()).unwrap();
    }
    in_trouble(&bench);
    other.write_all(b"of another app\n").unwrap();
    reaches(&quiet, 15);
}

/// A file system's last block is used up within a line: that line is not torn.
#[test]
fn a_file_that_gets_full_within_a_line_ends_with_a_whole_one() {
    const ALONE: &str = "SUPD_TEST_LOGS_LIMITED";
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::signal::{SigSet, Signal};
    if std::env::var_os(ALONE).is_none() {
        let test = "pressure::a_file_that_gets_full_within_a_line_ends_with_a_whole_one";
        assert!(alone(test).env(ALONE, "1").status().unwrap().success());
        return;
    }
    // Threads inherit this mask: a file that is as long as it may be (getrlimit(2)) gives an error, and no signal.
    SigSet::from(Signal::SIGXFSZ).thread_block().unwrap();
    let bench = Bench::new();
    let (journal_needs, hard) = (16 << 20, getrlimit(Resource::RLIMIT_FSIZE).unwrap().1);
    setrlimit(Resource::RLIMIT_FSIZE, journal_needs + 50, hard).unwrap();
    let path = bench.path("app.log");
    File::create(&path).unwrap().set_len(journal_needs - 101).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"\n").unwrap();
    let mut writer = bench.attach_as(1, on_full(&path, OnFull::DropNewest).0);
    bench.finish(1);
    for number in 0..LINES {
        writer.write_all(line(number).as_bytes()).unwrap();
    }
    in_trouble(&bench);
    assert_eq!(length(&path), journal_needs, "one line, and not a half of the next one");
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    let lost = recovered(&bench);
    drop(writer);
    bench.drained(1);
    let bytes = fs::read(&path).unwrap();
    let lines = path.with_extension("lines");
    fs::write(&lines, &bytes[journal_needs as usize - 100..]).unwrap();
    let (before, _, after) = told(&lines);
    assert!(before.iter().copied().eq(0..before.len() as u64));
    assert_eq!((before.len() + after.len()) as u64 + lost.lines, LINES);
}
