//! Clients that keep asking, and count what went wrong by kind.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How a client treats its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Keeps it as long as the server does.
    KeepAlive,
    /// Asks for `Connection: close`.
    PerRequest,
}

/// What came of the requests: `ok` or what went wrong, and how often.
pub(super) type Tally = BTreeMap<String, u32>;

/// A crowd of clients.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(super) fn begin(port: u16, clients: &[(Shape, usize)], paths: &[&'static str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shapes = clients.iter().flat_map(|(shape, count)| std::iter::repeat_n(*shape, *count));
        let start = |(number, shape)| {
            let mut paths: Vec<&'static str> = paths.to_vec();
            let rotation = number % paths.len();
            paths.rotate_left(rotation);
            let stop = stop.clone();
            std::thread::spawn(move || ask_until(&stop, port, shape, &paths))
        };
        let clients = shapes.enumerate().map(start).collect();
        Self { stop, clients }
    }

    pub(super) fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::new();
        for (outcome, count) in self.clients.into_iter().flat_map(|client| client.join().expect("client")) {
            *all.entry(outcome).or_default() += count;
        }
        all
    }
}

fn ask_until(stop: &AtomicBool, port: u16, shape: Shape, paths: &[&str]) -> Tally {
    let mut tally = Tally::new();
    let mut kept: Option<Client> = None;
    for path in paths.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let client = kept.take().map_or_else(|| Client::connect(port), Ok);
        let outcome = client.and_then(|mut client| {
            if client.ask(path, shape)? == Next::MayAsk {
                kept = Some(client);
            }
            Ok(())
        });
        *tally.entry(outcome.err().unwrap_or_else(|| "ok".to_owned())).or_default() += 1;
    }
    tally
}

/// May the connection be used again?
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    MayAsk,
    IsLast,
}

/// One connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) fn connect(port: u16) -> Result<Self, String> {
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(|error| format!("connect: {error}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        stream.set_nodelay(true).expect("no delay");
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads its answer, which must be `ok`.
    pub(super) fn ask(&mut self, path: &str, shape: Shape) -> Result<Next, String> {
        let connection = match shape {
            Shape::KeepAlive => "keep-alive",
            Shape::PerRequest => "close",
        };
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n"))?;
        self.answer()
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), String> {
        self.stream.get_mut().write_all(text.as_bytes()).map_err(|error| format!("write: {:?}", error.kind()))
    }

    pub(super) fn answer(&mut self) -> Result<Next, String> {
        let status = self.line("before the answer")?;
        if status.contains(" 200 ") { self.rest() } else { Err(format!("status: {status}")) }
    }

    /// What follows the first line of an answer.
    pub(super) fn rest(&mut self) -> Result<Next, String> {
        let (mut length, mut next) = (None, Next::MayAsk);
        loop {
            let header = self.line("in the header")?.to_ascii_lowercase();
            match header.split_once(": ") {
                None => break,
                Some(("content-length", number)) => length = number.parse::<usize>().ok(),
                Some(("connection", "close")) => next = Next::IsLast,
                Some(_) => {}
            }
        }
        let body = match length {
            Some(length) => self.exactly(length)?,
            None => self.chunks()?,
        };
        if body == b"ok" { Ok(next) } else { Err("body: wrong".to_owned()) }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let length =
                usize::from_str_radix(&self.line("in the body")?, 16).map_err(|_| "body: no chunk")?;
            body.extend(self.exactly(length)?);
            self.line("in the body")?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>, String> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).map_err(|error| kind(error.kind(), "in the body"))?;
        Ok(body)
    }

    pub(super) fn line(&mut self, place: &str) -> Result<String, String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(kind(ErrorKind::UnexpectedEof, place)),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(kind(error.kind(), place)),
        }
    }
}

fn kind(kind: ErrorKind, place: &str) -> String {
    match kind {
        ErrorKind::UnexpectedEof => format!("closed {place}"),
        ErrorKind::ConnectionReset => format!("reset {place}"),
        other => format!("{other:?} {place}"),
    }
}
