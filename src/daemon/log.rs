//! The supervisor's part of our own log.
//!
//! Question answered here: *how does a line get there without anybody waiting for it?* Where "there" is, and how it stays bounded,
//! is the keeper's business ([`supd_keeper::log`]), which writes into the same place.
//!
//! `SUPD_LOG` says which lines (`info` by default; the syntax is that of `tracing`'s `EnvFilter`), `SUPD_LOG_FORMAT=json`
//! what they look like. A thread writes them; a full disk, or a reader that does not read, costs lines and nothing else, and
//! how many is told as soon as one can be written again. A supervisor that is killed may take its last moment's lines with it;
//! one that panics may not.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use supd_keeper::log::{self, Level};
use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Which lines.
const FILTER: &str = "SUPD_LOG";
/// So many lines wait for the thread; whatever comes then is lost.
const LINES_MAX: usize = 4096;
/// How long the end of the process waits for them, and how often it looks.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What is on its way.
#[derive(Clone)]
struct Queue {
    lines: NonBlocking,
    lost: ErrorCounter,
    taken: Arc<AtomicUsize>,
    settled: Arc<AtomicUsize>,
}

/// Writes what comes out of the queue.
struct Outlet<W> {
    write: W,
    settled: Arc<AtomicUsize>,
    /// Those that found the queue full. Known when there is a queue.
    overflowed: Arc<OnceLock<ErrorCounter>>,
    /// Those that could not be written.
    failed: usize,
    told: usize,
}

/// Where one line is made.
struct Line {
    queue: Queue,
    level: Level,
}

/// See [`start`].
pub(super) struct Log(Queue);

/// From here on what this process tells by `tracing`, and a panic, is in our log.
pub(super) fn start() -> Log {
    let queue = Queue::new(log::write);
    let (filter, misunderstood) = filter();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(queue.clone())
        // By default it tells of a line that it cannot write with `eprintln`, which panics where nothing can be written.
        .log_internal_errors(false);
    let dress = log::dress();
    match (dress.json, dress.journal) {
        (true, _) => lines.json().init(),
        (false, true) => lines.with_target(false).without_time().with_level(false).init(),
        (false, false) => lines.with_target(false).init(),
    }
    let before = queue.clone();
    log::tell_panics("supervisor", move || before.flush());
    if let Some(why) = misunderstood {
        tracing::warn!("{FILTER} is not understood, `info` is used: {why}");
    }
    Log(queue)
}

fn filter() -> (EnvFilter, Option<String>) {
    let wanted = std::env::var(FILTER).ok().filter(|filter| !filter.is_empty());
    match wanted.map(EnvFilter::try_new) {
        None => ("info".into(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => ("info".into(), Some(error.to_string())),
    }
}

impl Log {
    /// Waits until everything told so far is written; not for long.
    pub(super) fn flush(&self) {
        self.0.flush();
    }
}

impl Queue {
    fn new(write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> Self {
        let (taken, settled) = (Arc::default(), Arc::<AtomicUsize>::default());
        let overflowed = Arc::<OnceLock<ErrorCounter>>::default();
        let outlet = Outlet {
            write,
            settled: Arc::clone(&settled),
            overflowed: Arc::clone(&overflowed),
            failed: 0,
            told: 0,
        };
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_MAX);
        let (lines, guard) = builder.thread_name("own-log").finish(outlet);
        // Dropped, it would print to standard output should the thread be stuck, and wait there too. `flush` does not.
        std::mem::forget(guard);
        let lost = lines.error_counter();
        let _ = overflowed.set(lost.clone());
        Self { lines, lost, taken, settled }
    }

    fn flush(&self) {
        let until = Instant::now() + FLUSH_TIMEOUT;
        let done = || {
            let settled = self.settled.load(Ordering::Acquire) + self.lost.dropped_lines();
            settled >= self.taken.load(Ordering::Acquire)
        };
        while !done() && Instant::now() < until {
            sleep(LOOK_AGAIN);
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { queue: self.clone(), level: Level::Info }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        let level = match *about.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
        };
        Line { queue: self.clone(), level }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.taken.fetch_add(1, Ordering::AcqRel);
        self.queue.lines.write_all(&log::dress().marked(self.level, line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Outlet<W> {
    fn tell_loss(&mut self) -> io::Result<()> {
        let lost = self.failed + self.overflowed.get().map_or(0, ErrorCounter::dropped_lines);
        if lost > self.told {
            let text = format!("{} lines of this log could not be written and are lost", lost - self.told);
            (self.write)(&log::line("supervisor", Level::Warning, &text))?;
            self.told = lost;
        }
        Ok(())
    }
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Write for Outlet<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.tell_loss().and_then(|()| (self.write)(line)).is_err() {
            self.failed += 1;
        }
        self.settled.fetch_add(1, Ordering::AcqRel);
        // Whoever gets an error here would take it for its own.
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn tell(queue: &Queue, text: &str) {
        queue.make_writer().write_all(text.as_bytes()).expect("a queue");
    }

    #[test]
    fn nobody_waits_and_what_is_lost_is_told() {
        let (begin, begun) = channel::<()>();
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let mut waited = false;
        let queue = Queue::new(move |line| {
            // Nobody reads until the test says so; then the disk is full for one line.
            if !std::mem::replace(&mut waited, true) {
                begun.recv().expect("the test");
                return Err(io::ErrorKind::StorageFull.into());
            }
            sink.lock().expect("no panic").push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        });
        let all = LINES_MAX * 2;
        (0..all).for_each(|number| tell(&queue, &format!("{number}\n")));
        let overflowed = queue.lost.dropped_lines();
        assert!(overflowed >= LINES_MAX - 1, "{overflowed}");
        begin.send(()).expect("the thread");
        queue.flush();
        tell(&queue, "last\n");
        queue.flush();
        let written = written.lock().expect("no panic");
        let told: usize = written
            .iter()
            .filter_map(|line| line.split_once("supervisor: ")?.1.split_once(" lines of this log could not"))
            .map(|(count, _)| count.parse::<usize>().expect("a number"))
            .sum();
        assert_eq!(told, overflowed + 1);
        let lines = written.iter().filter(|line| !line.contains("could not")).count();
        assert_eq!((lines, told), (all + 1 - told, told));
        assert_eq!(written.last().map(String::as_str), Some("last\n"));
    }
}
