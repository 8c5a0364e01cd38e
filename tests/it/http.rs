//! As much of an HTTP client as the stories need: strict, so that a lost request is seen.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How long an answer may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is kept.
pub struct Connection<S: Read + Write>(BufReader<S>);

/// A reply: the number of its status and its body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    /// The server closes the connection after it.
    pub last: bool,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }
}

impl Connection<TcpStream> {
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }
}

impl<S: Read + Write> Connection<S> {
    pub fn over(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    pub fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.send("GET", path, "", b"")
    }

    /// Sends a request and reads its reply.
    pub fn send(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) -> io::Result<Reply> {
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{length}{fields}\r\n");
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.reply()
    }

    /// Sends a request without a body, with these fields and no others.
    pub fn send_bare(&mut self, method: &str, path: &str, fields: &str) -> io::Result<Reply> {
        self.0.get_mut().write_all(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n").as_bytes())?;
        self.reply()
    }

    /// Reads a reply with `content-length` or none, or chunked.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("`{first}` is no status")))?;
        let mut fields = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            fields.insert(name.to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        }
        let field = |name: &str| fields.get(name).map(String::as_str);
        let mut body = Vec::new();
        if field("transfer-encoding") == Some("chunked") {
            while self.chunk(&mut body)? {}
        } else {
            body.resize(field("content-length").unwrap_or("0").parse().map_err(io::Error::other)?, 0);
            self.0.read_exact(&mut body)?;
        }
        Ok(Reply { status, body, last: field("connection") == Some("close") })
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        self.0.read_exact(&mut body[start..])?;
        self.line()?;
        Ok(size > 0)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// One request on a connection of its own: the process that answered.
pub fn pid(address: &str) -> io::Result<i32> {
    let mut connection = Connection::open(address)?;
    let reply = connection.send("GET", "/", "connection: close\r\n", b"")?;
    answered_by(&reply)
}

/// The process that gave this answer.
pub fn answered_by(reply: &Reply) -> io::Result<i32> {
    let pid = serde_json::from_slice::<Value>(&reply.body).ok().and_then(|body| body["pid"].as_i64());
    pid.filter(|_| reply.status == 200)
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or_else(|| io::Error::other(format!("{reply:?} names no process")))
}

/// How a client uses its connections.
#[derive(Clone, Copy, Debug)]
pub enum Habit {
    /// A new one for each request.
    Once,
    /// One for all; one that the server has closed between two requests is replaced, as every client does.
    Keep,
}

/// Clients that ask all the time.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<BTreeMap<i32, u64>>>,
}

impl Traffic {
    /// Two clients of each habit.
    pub fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let habits = [Habit::Once, Habit::Keep, Habit::Once, Habit::Keep];
        let clients = habits.map(|habit| {
            let (stop, address) = (Arc::clone(&stop), address.to_owned());
            thread::spawn(move || ask(habit, &address, &stop))
        });
        Self { stop, clients: clients.into() }
    }

    /// How many requests each process answered; panics if one request was lost.
    pub fn finish(mut self) -> BTreeMap<i32, u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for client in std::mem::take(&mut self.clients) {
            let answers = client.join().expect("no request is lost");
            assert!(!answers.is_empty(), "a client that was never answered");
            answers.into_iter().for_each(|(pid, count)| *all.entry(pid).or_default() += count);
        }
        all
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(habit: Habit, address: &str, stop: &AtomicBool) -> BTreeMap<i32, u64> {
    let mut answers = BTreeMap::new();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let answered = match habit {
            Habit::Once => pid(address),
            Habit::Keep => ask_kept(&mut kept, address),
        };
        let pid = answered.unwrap_or_else(|error| panic!("{habit:?}: a request was lost: {error}"));
        *answers.entry(pid).or_default() += 1;
    }
    answers
}

fn ask_kept(kept: &mut Option<Connection<TcpStream>>, address: &str) -> io::Result<i32> {
    if let Some(connection) = kept {
        match connection.get("/") {
            Ok(reply) => {
                if reply.last {
                    *kept = None;
                }
                return answered_by(&reply);
            }
            // Closed while nothing was asked.
            Err(error) if closed(error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
    let connection = kept.insert(Connection::open(address)?);
    let reply = connection.get("/")?;
    if reply.last {
        *kept = None;
    }
    answered_by(&reply)
}

fn closed(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
