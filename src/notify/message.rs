//! What does a datagram say?
//!
//! Assignments, one a line (sd_notify(3)). Unknown ones are ignored. `MAINPID` is too: the main process is the one that
//! the keeper has started, and nobody can hand that over. `FDSTORE` is not offered; descriptors that come are closed.

use std::fmt;
use std::time::Duration;

use nix::errno::Errno;
use supd_api::Millis;

use crate::printable::printable;

/// The longest datagram, in bytes, that is read; systemd reads as much (`NOTIFY_BUFFER_MAX`).
pub(super) const MESSAGE_MAX: usize = 4096;
/// So many characters of a status are kept.
const STATUS_MAX: usize = 200;
/// Longer spans are cut to this one: the largest number is systemd's infinity, and sums with a clock shall not overflow.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// One thing that a worker has said about itself, or, in one case, has not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `READY=1`: it has started, or has finished reloading its configuration.
    Ready,
    /// `RELOADING=1`: it reloads its configuration and will say [`Note::Ready`].
    Reloading {
        /// `MONOTONIC_USEC`: when it began, on the clock of [`supd_keeper::monotonic_ns`].
        since: Option<Duration>,
    },
    /// `STOPPING=1`: it ends by its own will.
    Stopping,
    /// `STATUS=`: one line for people, cleaned and cut. Empty: nothing any more.
    Status(String),
    /// `ERRNO=`: why it fails.
    Failing(Errno),
    /// `EXTEND_TIMEOUT_USEC=`: for so long from now on, starting or stopping is not too late.
    ExtendTimeout(Duration),
    /// `WATCHDOG_USEC=`: from now on [`Note::Silent`] is to mean this; `None` (0, or infinite): never.
    WatchdogLimit(Option<Duration>),
    /// `WATCHDOG=trigger`: it asks to be treated as if it had been silent.
    Trigger,
    /// There was no `WATCHDOG=1` for so long.
    Silent(Duration),
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => out.write_str("it is ready"),
            Self::Reloading { .. } => out.write_str("it reloads its configuration"),
            Self::Stopping => out.write_str("it stops by its own will"),
            Self::Status(text) => write!(out, "its status: {text}"),
            Self::Failing(errno) => write!(out, "it fails: {}", errno.desc()),
            Self::ExtendTimeout(more) => write!(out, "it needs {} more", Millis::from(*more)),
            Self::WatchdogLimit(Some(limit)) => write!(out, "WATCHDOG=1 every {}", Millis::from(*limit)),
            Self::WatchdogLimit(None) => out.write_str("no WATCHDOG=1 any more"),
            Self::Trigger => out.write_str("it sent WATCHDOG=trigger"),
            Self::Silent(limit) => write!(out, "no WATCHDOG=1 for {}", Millis::from(*limit)),
        }
    }
}

/// A datagram, understood.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// In the order of its lines.
    pub(super) notes: Vec<Note>,
    /// `WATCHDOG=1`.
    pub(super) is_alive: bool,
}

/// Total: what is not understood says nothing.
pub(super) fn parse(datagram: &[u8]) -> Message {
    let mut message = Message::default();
    let lines: Vec<&[u8]> = datagram.split(|byte| matches!(byte, b'\n' | b'\r')).collect();
    // Nothing else counts beside it (sd_notify(3)). Its descriptor is closed by taking the datagram.
    if lines.contains(&b"BARRIER=1".as_slice()) {
        return message;
    }
    let began = lines.iter().find_map(|line| micros(line.strip_prefix(b"MONOTONIC_USEC=")?));
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = (&line[..at], &line[at + 1..]);
        match (name, value) {
            (b"WATCHDOG", b"1") => message.is_alive = true,
            (b"RELOADING", b"1") => message.notes.push(Note::Reloading { since: began }),
            (name, value) => message.notes.extend(note(name, value)),
        }
    }
    message
}

fn note(name: &[u8], value: &[u8]) -> Option<Note> {
    match (name, value) {
        (b"READY", b"1") => Some(Note::Ready),
        (b"STOPPING", b"1") => Some(Note::Stopping),
        (b"WATCHDOG", b"trigger") => Some(Note::Trigger),
        (b"STATUS", text) => Some(Note::Status(printable(text, STATUS_MAX))),
        (b"ERRNO", number) => {
            let number = std::str::from_utf8(number).ok()?.parse().ok().filter(|number| *number > 0)?;
            Some(Note::Failing(Errno::from_raw(number)))
        }
        (b"EXTEND_TIMEOUT_USEC", time) => micros(time).map(Note::ExtendTimeout),
        (b"WATCHDOG_USEC", time) => {
            let limit = micros(time)?;
            Some(Note::WatchdogLimit((!limit.is_zero() && limit < FOREVER).then_some(limit)))
        }
        _ => None,
    }
}

fn micros(text: &[u8]) -> Option<Duration> {
    let micros = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Duration::from_micros(micros).min(FOREVER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn notes(datagram: &str) -> Vec<Note> {
        parse(datagram.as_bytes()).notes
    }

    #[test]
    fn words() {
        let second = Duration::from_secs(1);
        for (line, note) in [
            ("READY=1", Note::Ready),
            ("STOPPING=1\n", Note::Stopping),
            ("RELOADING=1", Note::Reloading { since: None }),
            ("RELOADING=1\nMONOTONIC_USEC=1000000", Note::Reloading { since: Some(second) }),
            ("MONOTONIC_USEC=1000000\nRELOADING=1\n", Note::Reloading { since: Some(second) }),
            (
                "STATUS=Completed 66% of file system check…",
                Note::Status("Completed 66% of file system check…".to_owned()),
            ),
            ("STATUS=a=b", Note::Status("a=b".to_owned())),
            ("STATUS=", Note::Status(String::new())),
            ("ERRNO=2", Note::Failing(Errno::ENOENT)),
            ("EXTEND_TIMEOUT_USEC=1000000", Note::ExtendTimeout(second)),
            ("WATCHDOG_USEC=1000000", Note::WatchdogLimit(Some(second))),
            ("WATCHDOG_USEC=0", Note::WatchdogLimit(None)),
            ("WATCHDOG_USEC=18446744073709551615", Note::WatchdogLimit(None)),
            ("EXTEND_TIMEOUT_USEC=18446744073709551615", Note::ExtendTimeout(FOREVER)),
            ("WATCHDOG=trigger", Note::Trigger),
        ] {
            assert_eq!(parse(line.as_bytes()), Message { notes: vec![note], is_alive: false }, "{line}");
        }
        assert_eq!(parse(b"WATCHDOG=1"), Message { notes: Vec::new(), is_alive: true });
    }

    #[test]
    fn several_lines_keep_their_order() {
        let message = parse(b"READY=1\nSTATUS=serving\r\nX_OTHER=1\nMAINPID=1\nWATCHDOG=1\nSTOPPING=1\n");
        let expected = [Note::Ready, Note::Status("serving".to_owned()), Note::Stopping];
        assert_eq!((message.notes.as_slice(), message.is_alive), (expected.as_slice(), true));
    }

    #[test]
    fn a_barrier_stands_alone() {
        assert_eq!(parse(b"BARRIER=1"), Message::default());
        assert_eq!(parse(b"READY=1\nBARRIER=1\n"), Message::default());
    }

    #[test]
    fn what_says_nothing() {
        for line in [
            "",
            "\n\n",
            "READY=0",
            "READY",
            "ready=1",
            "READY=1 ",
            " READY=1",
            "READY=1\0",
            "=",
            "=1",
            "ERRNO=-1",
            "ERRNO=0",
            "ERRNO=99999999999",
            "WATCHDOG=2",
            "WATCHDOG_USEC=-1",
            "WATCHDOG_USEC=soon",
            "EXTEND_TIMEOUT_USEC=",
            "FDSTORE=1",
            "MAINPID=4711",
            "MONOTONIC_USEC=1",
        ] {
            assert_eq!(notes(line), [], "{line:?}");
        }
    }

    #[test]
    fn a_status_is_cleaned_and_cut() {
        let status = |bytes: &[u8]| match parse(&[b"STATUS=", bytes].concat()).notes.pop() {
            Some(Note::Status(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(status(b"\x1b]0;title\x07 50%\t\xff"), "]0;title 50% �");
        assert_eq!(status(&[b'x'; 4000]).chars().count(), STATUS_MAX);
    }

    #[test]
    fn how_notes_read() {
        assert_eq!(Note::Silent(Duration::from_secs(10)).to_string(), "no WATCHDOG=1 for 10 s");
        assert_eq!(Note::Failing(Errno::ENOENT).to_string(), "it fails: No such file or directory");
    }

    proptest! {
        #[test]
        fn anything_is_read(datagram in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&datagram);
        }
    }
}
