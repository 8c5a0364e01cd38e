//! Our own log: what keeper and supervisor tell of themselves.
//!
//! Question answered here: *where does a line about ourselves go, and what does it look like there?* It may not decide
//! what is worth a line.
//!
//! **Standard error is the log, whatever it leads to**: so a panic, and the last words of a library, are in it too.
//! What it leads to is looked up, not configured:
//!
//! * **The journal** of systemd (`JOURNAL_STREAM`, systemd.exec(5)). Every line begins with its priority (`<N>`,
//!   sd-daemon(3)) and carries no time of its own. There is no file beside it: the journal is bounded and dated already, and
//!   it is where `systemctl status` and everybody who runs services look.
//! * **A file of our home**, which `supd --daemon` has opened. It is put aside when it is too long, a few older ones are kept
//!   (`log_files.rs`).
//! * **Anything else**: a terminal, a container's pipe, a file of somebody else's. It is written to and left alone.
//!
//! The keeper never waits for any of them: a line that is not taken at once is lost. The supervisor writes by a thread that may
//! wait.

use std::backtrace::Backtrace;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::fstat;
use nix::unistd::dup2_stderr;

use crate::log_files::Files;
use crate::no_wait::NoWait;

/// Set to `json`: every line is an object.
const FORMAT: &str = "SUPD_LOG_FORMAT";

static LOG: OnceLock<Log> = OnceLock::new();

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may not work, or has not for a moment.
    Warning,
    /// Worth knowing.
    Info,
    /// For those who look for an error.
    Debug,
}

impl Level {
    /// As in `<N>` (sd-daemon(3), syslog(3)).
    fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// What our lines look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dress {
    /// Each is an object.
    pub json: bool,
    /// Whoever reads them adds the time, and wants to be told the priority of each.
    pub journal: bool,
}

#[derive(Debug, Default)]
struct Log {
    dress: Dress,
    files: Option<Files>,
    /// The end of a line is missing.
    torn: AtomicBool,
}

/// Finds out what standard error leads to. `files`: those of our home, the newest first. To be called once; lines before that
/// go out as for a terminal.
pub fn open(files: Vec<PathBuf>) {
    let files = Files::new(files);
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let id = fstat(io::stderr()).map(|file| format!("{}:{}", file.st_dev, file.st_ino)).ok();
    let dress = Dress {
        json: std::env::var(FORMAT).is_ok_and(|format| format.eq_ignore_ascii_case("json")),
        journal: stream.is_some() && stream == id,
    };
    let log = Log { dress, files: Some(files).filter(|files| files.have(&io::stderr())), ..Log::default() };
    // Whoever comes second finds the same.
    let _ = LOG.set(log);
}

fn log() -> &'static Log {
    static UNKNOWN: Log =
        Log { dress: Dress { json: false, journal: false }, files: None, torn: AtomicBool::new(false) };
    LOG.get().unwrap_or(&UNKNOWN)
}

/// What lines look like here.
pub fn dress() -> Dress {
    log().dress
}

/// A line by one of us (`keeper`, `supervisor`), as it is to be written.
pub fn line(who: &str, level: Level, text: &str) -> Vec<u8> {
    dress().line(who, level, text, SystemTime::now())
}

/// One line by one of us, at once or not at all. Losing it is better than ending over it.
pub fn say(who: &str, level: Level, text: fmt::Arguments<'_>) {
    let _ = log().put(&line(who, level, &text.to_string()), write_now);
}

/// From here on a panic of this process is told in its log, with where it happened, after `before` was done.
pub fn tell_panics(who: &'static str, before: impl Fn() + Send + Sync + 'static) {
    panic::set_hook(Box::new(move |what| {
        before();
        let thread = thread::current().name().unwrap_or("without a name").to_owned();
        let trace = Backtrace::force_capture();
        say(who, Level::Error, format_args!("thread {thread}: {what}\n{trace}"));
    }));
}

/// Writes whole lines that are [dressed](Dress), and may wait for whoever reads them.
///
/// # Errors
/// Those of write(2). A line may have been written in part; the next one begins on a line of its own.
pub fn write(lines: &[u8]) -> io::Result<()> {
    log().put(lines, |stderr, bytes| Ok(nix::unistd::write(stderr, bytes)?))
}

impl Log {
    fn put(
        &self,
        lines: &[u8],
        write: impl Fn(BorrowedFd<'_>, &[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let stderr = io::stderr();
        // Without another one the present one is still there.
        if let Some(file) = self.files.as_ref().and_then(|files| files.renewed(&stderr).ok().flatten()) {
            dup2_stderr(&file)?;
            self.torn.store(false, Ordering::Relaxed);
        }
        let torn = self.torn.load(Ordering::Relaxed);
        let lines = if torn { [b"\n", lines].concat() } else { lines.to_vec() };
        let mut left = &lines[..];
        while !left.is_empty() {
            match write(stderr.as_fd(), left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    left = &left[count..];
                    self.torn.store(!left.is_empty(), Ordering::Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Dress {
    fn line(self, who: &str, level: Level, text: &str, now: SystemTime) -> Vec<u8> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = timestamp(now.as_secs(), now.subsec_micros());
        let line = match (self.json, self.journal) {
            (true, _) => {
                let object = serde_json::json!({
                    "timestamp": time, "level": level.word(), "fields": { "message": text }, "target": who,
                });
                format!("{object}\n")
            }
            (false, true) => format!("{who}: {text}\n"),
            (false, false) => format!("{time} {:>5} {who}: {text}\n", level.word()),
        };
        self.marked(level, line.as_bytes())
    }

    /// With the priority before every line, where that is wanted.
    pub fn marked(self, level: Level, lines: &[u8]) -> Vec<u8> {
        if !self.journal {
            return lines.to_vec();
        }
        let mark = format!("<{}>", level.priority());
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        lines.flat_map(|line| [mark.as_bytes(), line].concat()).collect()
    }
}

fn write_now(stream: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    NoWait::to(stream)?.write(bytes)
}

/// RFC 3339, in UTC, as the supervisor's lines have it.
fn timestamp(seconds: u64, micros: u32) -> String {
    // Howard Hinnant's `civil_from_days`: the year begins in March, so that a leap day is its last one.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(json: bool, journal: bool) -> String {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_228_698_000_042);
        let line = Dress { json, journal }.line("keeper", Level::Warning, "one\ntwo \"2\"", at);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_line_is_dressed_for_where_it_goes() {
        assert_eq!(line(false, false), "2026-11-21T02:38:18.000042Z  WARN keeper: one\ntwo \"2\"\n");
        assert_eq!(line(false, true), "<4>keeper: one\n<4>two \"2\"\n");
        let object = "{\"fields\":{\"message\":\"one\\ntwo \\\"2\\\"\"},\"level\":\"WARN\"";
        let value: serde_json::Value = serde_json::from_str(&line(true, false)).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&line(true, true)[3..]).unwrap());
        assert_eq!(value["fields"]["message"], "one\ntwo \"2\"", "{object}");
        assert_eq!(value["timestamp"], "2026-11-21T02:38:18.000042Z");
        assert!(line(true, true).starts_with("<4>{") && line(true, true).lines().count() == 1);
    }

    /// Standard error belongs to the whole process, so it is another one: this very program, told to run this very test.
    #[test]
    fn a_panic_is_in_the_file_that_standard_error_leads_to() {
        const DIRECTORY: &str = "SUPD_TEST_OF_PANICS";
        let logs =
            |directory: &std::path::Path| vec![directory.join("supd.log"), directory.join("supd.log.1")];
        if let Ok(directory) = std::env::var(DIRECTORY) {
            open(logs(directory.as_ref()));
            tell_panics("supervisor", || say("keeper", Level::Info, format_args!("before")));
            let died =
                thread::Builder::new().name("loop".to_owned()).spawn(|| panic!("out of order")).unwrap();
            died.join().unwrap_err();
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("supd.log");
        std::fs::write(&path, vec![b'x'; 5 << 20]).unwrap();
        let ended = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", thread::current().name().unwrap()])
            .env(DIRECTORY, directory.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::OpenOptions::new().append(true).open(&path).unwrap())
            .status();
        assert!(ended.unwrap().success());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("  INFO keeper: before"), "{text}");
        assert!(
            lines[1].contains("Z ERROR supervisor: thread loop: panicked at src/keeper/log.rs:"),
            "{text}"
        );
        assert!(lines[2].ends_with("out of order") && text.contains("supd_keeper::log::tests"), "{text}");
        assert_eq!(std::fs::metadata(directory.path().join("supd.log.1")).unwrap().len(), 5 << 20);
    }

    #[test]
    fn days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(timestamp(seconds, 0), text);
        }
    }
}
