//! Where output goes beside files, or in their place: journald, syslog, our own standard output.
//!
//! Question answered here: *how much of this does a sink take now?* Nothing here waits for whoever reads at the other end, and no output
//! is kept. It may not decide what becomes of what was not taken.
//!
//! **Beside files** a sink gets a copy of what has left the pipe. What it does not take at once is missing there; that is counted
//! and told, and the files do not notice.
//!
//! **In their place** it decides what leaves the pipe: a line is consumed when it has been sent, and stays otherwise, so that the worker
//! feels a sink that is slow as it feels a slow disk. A supervisor that is killed between the two steps sends one line twice; a line
//! that was written in part, only standard output knows that, has its beginning there twice. None is lost that way.
//!
//! Lines travel whole. One that is longer than 64 KiB, or than what the sink takes at a time, travels in parts; one whose end stays
//! away for two seconds, too.

mod datagrams;
mod journald;
mod standard;
mod syslog;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Zoned;
use supd_api::{LogForm, StdoutForm, Stream};

use super::form::{After, Form, whole_characters};
use super::tap::Tap;
use super::{Notice, Output, Sink, Source};
use crate::dates::DateFormat;
use datagrams::Datagrams;
use standard::Standard;

/// After a failure it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Whoever takes nothing for so long does not merely take its time.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long nothing was dropped: it takes everything again.
const CALM: Duration = Duration::from_secs(5);

/// What PM2 writes where it is not told another one.
const PM2_DATE: &str = "YYYY-MM-DD-HH:mm:ssZZ";

/// All that are in use.
#[derive(Default)]
pub(super) struct Sinks {
    outlets: BTreeMap<Address, Outlet>,
}

/// Which one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Address {
    Journald(PathBuf),
    Syslog(PathBuf),
    Standard,
}

/// What has become of output that goes nowhere else.
pub(super) enum Taken {
    /// So many bytes have been sent and consumed.
    Sent(usize),
    /// Nothing yet: the sink is slow.
    Busy,
    /// Nothing: it does not work.
    Refused,
}

/// What one pipe has to do with a sink.
pub(super) struct Branch {
    address: Address,
    dress: Dress,
}

/// What a line looks like there.
enum Dress {
    Journald,
    Syslog,
    Standard { label: String, form: Form },
    Pairs { date: DateFormat, pairs: String },
}

struct Outlet {
    channel: Channel,
    users: usize,
    /// Since then it has taken nothing.
    busy_since: Option<Instant>,
    fault: Option<Fault>,
}

enum Channel {
    Datagrams(Datagrams),
    Standard(Standard),
}

struct Fault {
    /// It is not to be tried before; `None`: it takes some.
    retry_at: Option<Instant>,
    /// Lines.
    lost: u64,
    latest: Instant,
}

impl Branch {
    pub(super) fn new(output: &Output, source: &Source) -> Option<Self> {
        let (address, dress) = match output.sink.as_ref()? {
            Sink::Journald { socket } => (Address::Journald(socket.clone()), Dress::Journald),
            Sink::Syslog { socket } => (Address::Syslog(socket.clone()), Dress::Syslog),
            Sink::Stdout { form } => (Address::Standard, standard_dress(*form, &output.form, source)),
        };
        Some(Self { address, dress })
    }
}

fn standard_dress(form: StdoutForm, in_files: &LogForm, source: &Source) -> Dress {
    let (label, form) = match form {
        StdoutForm::Raw => (String::new(), in_files.clone()),
        StdoutForm::Prefixed => (format!("{}|{} | ", source.worker, source.app), in_files.clone()),
        StdoutForm::Json => (String::new(), as_objects(in_files)),
        StdoutForm::Format => {
            let date = match in_files {
                LogForm::Plain | LogForm::Json(None) => PM2_DATE,
                LogForm::Dated(format) | LogForm::Json(Some(format)) => format,
            };
            let kind = match source.stream {
                Stream::Out => "out",
                Stream::Err => "error",
            };
            let pairs = format!(" app={} id={} type={kind} message=", source.app, source.worker);
            return Dress::Pairs { date: DateFormat::new(date), pairs };
        }
    };
    Dress::Standard { label, form: Form::new(&form, source) }
}

fn as_objects(form: &LogForm) -> LogForm {
    match form {
        LogForm::Plain => LogForm::Json(None),
        LogForm::Dated(format) => LogForm::Json(Some(format.clone())),
        LogForm::Json(format) => LogForm::Json(format.clone()),
    }
}

impl Dress {
    /// One line of this source, or a part of one, perhaps with its newline.
    fn on(&self, source: &Source, piece: &[u8]) -> Vec<u8> {
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        match self {
            Self::Journald => journald::entry(source, text),
            Self::Syslog => syslog::message(source, text, &Zoned::now()),
            Self::Pairs { date, pairs } => {
                let stamp = format!("timestamp={}{pairs}", date.at(&Zoned::now()));
                [stamp.as_bytes(), text, b"\n"].concat()
            }
            Self::Standard { label, form } => {
                let framed = form.frame(piece, After::Line, usize::MAX);
                let mut line = [label.as_bytes(), &framed.bytes].concat();
                // Bytes that are to stay as they are get no newline either.
                let as_it_is = label.is_empty() && framed.is_plain();
                if !as_it_is && line.last() != Some(&b'\n') {
                    line.push(b'\n');
                }
                line
            }
        }
    }
}

impl Sinks {
    /// One pipe more.
    pub(super) fn join(&mut self, branch: &Branch) {
        let new =
            || Outlet { channel: Channel::new(&branch.address), users: 0, busy_since: None, fault: None };
        self.outlets.entry(branch.address.clone()).or_insert_with(new).users += 1;
    }

    /// One pipe less.
    pub(super) fn leave(&mut self, branch: &Branch, key: u64, tell: &dyn Fn(Notice)) {
        let Some(outlet) = self.outlets.get_mut(&branch.address) else { return };
        outlet.users -= 1;
        if let Channel::Standard(standard) = &mut outlet.channel {
            standard.leave(key);
        }
        if outlet.users == 0 {
            outlet.recover(&branch.address, tell);
            self.outlets.remove(&branch.address);
        }
    }

    /// Sends these bytes of a pipe that has no file, line by line, and has each consumed when it has been sent.
    ///
    /// # Errors
    /// Those of `consume`.
    pub(super) fn deliver(
        &mut self,
        tap: &Tap,
        bytes: &[u8],
        tell: &dyn Fn(Notice),
        mut consume: impl FnMut(usize) -> io::Result<()>,
    ) -> io::Result<Taken> {
        let mut sent = 0;
        let Some((branch, outlet)) = self.of(tap) else { return Ok(Taken::Refused) };
        let now = Instant::now();
        while sent < bytes.len() && !outlet.refuses(now) {
            match outlet.send(branch, tap, Some(tap.key), &bytes[sent..]) {
                Ok(count) => {
                    consume(count)?;
                    sent += count;
                    outlet.succeed(now, &branch.address, tell);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let since = *outlet.busy_since.get_or_insert(now);
                    if now < since + PATIENCE {
                        return Ok(if sent > 0 { Taken::Sent(sent) } else { Taken::Busy });
                    }
                    let error = io::Error::new(io::ErrorKind::TimedOut, "nobody takes what is there");
                    outlet.fail(error, now, &branch.address, tell);
                }
                Err(error) => outlet.fail(error, now, &branch.address, tell),
            }
        }
        Ok(if sent > 0 { Taken::Sent(sent) } else { Taken::Refused })
    }

    /// These bytes are in their files.
    pub(super) fn copy(&mut self, tap: &Tap, bytes: &[u8], tell: &dyn Fn(Notice)) {
        let Some((branch, outlet)) = self.of(tap) else { return };
        let now = Instant::now();
        let mut sent = 0;
        while sent < bytes.len() {
            let rest = &bytes[sent..];
            if outlet.refuses(now) {
                return outlet.lose(lines(rest), now, &branch.address, tell);
            }
            match outlet.send(branch, tap, None, rest) {
                Ok(count) => {
                    sent += count;
                    outlet.succeed(now, &branch.address, tell);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let line = piece(rest, usize::MAX);
                    outlet.lose(lines(line), now, &branch.address, tell);
                    sent += line.len();
                }
                Err(error) => outlet.fail(error, now, &branch.address, tell),
            }
        }
    }

    /// So many lines of a pipe that has no file had to make room.
    pub(super) fn lose(&mut self, tap: &Tap, lines: u64, tell: &dyn Fn(Notice)) {
        if let Some((branch, outlet)) = self.of(tap) {
            outlet.lose(lines, Instant::now(), &branch.address, tell);
        }
    }

    fn of<'a>(&mut self, tap: &'a Tap) -> Option<(&'a Branch, &mut Outlet)> {
        let branch = tap.branch.as_ref()?;
        Some((branch, self.outlets.get_mut(&branch.address)?))
    }
}

impl Outlet {
    /// The next line, or part of it. How many bytes of output it is. `owner`: whoever comes again with the same if it is refused.
    fn send(&mut self, branch: &Branch, tap: &Tap, owner: Option<u64>, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.channel {
            Channel::Datagrams(socket) => loop {
                let piece = piece(bytes, socket.most());
                match socket.send(&branch.dress.on(&tap.source, piece)) {
                    Err(error) if socket.is_too_long(&error, piece.len()) => {}
                    sent => return sent.map(|()| piece.len()),
                }
            },
            Channel::Standard(standard) => {
                let piece = piece(bytes, usize::MAX);
                let line = || branch.dress.on(&tap.source, piece);
                standard.send(tap.source.stream, owner, piece.len(), line)
            }
        }
    }

    fn refuses(&self, now: Instant) -> bool {
        self.fault.as_ref().and_then(|fault| fault.retry_at).is_some_and(|at| now < at)
    }

    fn fail(&mut self, error: io::Error, now: Instant, address: &Address, tell: &dyn Fn(Notice)) {
        let lost = self.fault.as_ref().map_or(0, |fault| fault.lost);
        if self.fault.as_ref().is_none_or(|fault| fault.retry_at.is_none()) {
            tell(Notice::SinkTrouble { sink: address.to_string(), error });
        }
        self.fault = Some(Fault { retry_at: Some(now + RETRY), lost, latest: now });
    }

    fn lose(&mut self, lines: u64, now: Instant, address: &Address, tell: &dyn Fn(Notice)) {
        let fault = self.fault.get_or_insert_with(|| {
            let error = io::Error::other("it is slower than what is written; lines are dropped");
            tell(Notice::SinkTrouble { sink: address.to_string(), error });
            Fault { retry_at: None, lost: 0, latest: now }
        });
        fault.lost += lines;
        fault.latest = now;
    }

    fn succeed(&mut self, now: Instant, address: &Address, tell: &dyn Fn(Notice)) {
        self.busy_since = None;
        let over = |fault: &Fault| fault.retry_at.is_some() || now >= fault.latest + CALM;
        if self.fault.as_ref().is_some_and(over) {
            self.recover(address, tell);
        }
    }

    fn recover(&mut self, address: &Address, tell: &dyn Fn(Notice)) {
        if let Some(fault) = self.fault.take() {
            tell(Notice::SinkRecovered { sink: address.to_string(), lost: fault.lost });
        }
    }
}

impl Channel {
    fn new(address: &Address) -> Self {
        match address {
            Address::Journald(socket) => Self::Datagrams(Datagrams::to(socket, journald::MOST)),
            Address::Syslog(socket) => Self::Datagrams(Datagrams::to(socket, syslog::MOST)),
            Address::Standard => Self::Standard(Standard::default()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |path: &Path| path.display().to_string();
        match self {
            Self::Journald(socket) => write!(out, "journald at {}", at(socket)),
            Self::Syslog(socket) => write!(out, "syslog at {}", at(socket)),
            Self::Standard => out.write_str("standard output"),
        }
    }
}

/// How many there are, the last one perhaps in part.
fn lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// The first line with its newline, or the part of it that fits.
fn piece(bytes: &[u8], most: usize) -> &[u8] {
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    match newline.unwrap_or(bytes.len()) {
        text if text > most => &bytes[..whole_characters(&bytes[..most])],
        text => &bytes[..(text + 1).min(bytes.len())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_line_or_what_fits() {
        for (bytes, most, first) in [
            ("ab\ncd\n", 9, "ab\n"),
            ("ab\ncd\n", 2, "ab\n"),
            ("abc\n", 2, "ab"),
            ("\nabc", 2, "\n"),
            ("abc", 3, "abc"),
            ("aé\n", 2, "a"),
        ] {
            assert_eq!(piece(bytes.as_bytes(), most), first.as_bytes(), "{bytes:?}");
        }
    }
}
