//! Clients that ask all the time, and what excuses an answer that did not come.
//!
//! Nothing but this is one: the app was stopped or deleted meanwhile, or one of its workers was killed under the request.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::http::{self, Connection};
use crate::journal::Journal;

/// Between two requests of one client, so that others get at the processors too.
const PAUSE: Duration = Duration::from_millis(3);

/// Clients of all apps that serve.
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    journal: Arc<Journal>,
    stop: AtomicBool,
    excuses: Mutex<Vec<Excuse>>,
    figures: Mutex<BTreeMap<&'static str, Figures>>,
}

struct Excuse {
    app: &'static str,
    /// `None`: it lasts.
    to: Option<Instant>,
}

/// What came of the requests to one app.
#[derive(Debug, Default)]
pub struct Figures {
    pub answered: u64,
    pub longest: Duration,
    /// By kind.
    pub excused: BTreeMap<String, u64>,
    pub failed: BTreeMap<String, u64>,
}

/// The app may fail while this lives.
pub struct Excused<'a> {
    shared: &'a Shared,
    number: usize,
}

impl Drop for Excused<'_> {
    fn drop(&mut self) {
        lock(&self.shared.excuses)[self.number].to = Some(Instant::now());
    }
}

impl Traffic {
    /// Two clients of each app: one keeps its connection, one opens another for each request.
    pub fn start(apps: &[(&'static str, String)], seed: u64, journal: &Arc<Journal>) -> Self {
        let shared = Arc::new(Shared {
            journal: Arc::clone(journal),
            stop: AtomicBool::new(false),
            excuses: Mutex::default(),
            figures: Mutex::default(),
        });
        let mut clients = Vec::new();
        for (app, address) in apps {
            for keeps in [false, true] {
                let mut client = Client {
                    app,
                    address: address.clone(),
                    keeps,
                    kept: None,
                    dice: Dice::new(seed, 1000 + clients.len() as u64),
                    shared: Arc::clone(&shared),
                };
                clients.push(thread::spawn(move || client.run()));
            }
        }
        Self { shared, clients }
    }

    /// The app may fail from now on.
    pub fn excuse(&self, app: &'static str) -> Excused<'_> {
        let mut excuses = lock(&self.shared.excuses);
        excuses.push(Excuse { app, to: None });
        Excused { shared: &self.shared, number: excuses.len() - 1 }
    }

    /// Ends all clients.
    pub fn finish(mut self) -> BTreeMap<&'static str, Figures> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in std::mem::take(&mut self.clients) {
            client.join().expect("a client");
        }
        std::mem::take(&mut lock(&self.shared.figures))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    app: &'static str,
    address: String,
    keeps: bool,
    kept: Option<Kept>,
    dice: Dice,
    shared: Arc<Shared>,
}

struct Kept {
    connection: Connection<TcpStream>,
    stream: TcpStream,
}

impl Client {
    fn run(&mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let path = if self.dice.once_in(5) { "/slow" } else { "/" };
            let begin = Instant::now();
            let asked = if self.keeps { self.ask_kept(path) } else { self.ask_once(path) };
            match asked {
                Ok(()) => self.answered(begin.elapsed()),
                Err(error) => {
                    self.kept = None;
                    self.judge(begin, &error);
                }
            }
            thread::sleep(PAUSE);
        }
    }

    fn ask_once(&self, path: &str) -> io::Result<()> {
        let reply = Connection::open(&self.address)?.send("GET", path, "connection: close\r\n", b"")?;
        is_good(&reply)
    }

    /// One that the server has closed between two requests is replaced. Closing it under a request is a failure.
    fn ask_kept(&mut self, path: &str) -> io::Result<()> {
        if self.kept.as_ref().is_some_and(|kept| is_closed(&kept.stream)) {
            self.kept = None;
        }
        let kept = match &mut self.kept {
            Some(kept) => kept,
            None => self.kept.insert(Kept::open(&self.address)?),
        };
        let reply = kept.connection.get(path)?;
        if reply.last {
            self.kept = None;
        }
        is_good(&reply)
    }

    fn answered(&self, after: Duration) {
        let mut figures = lock(&self.shared.figures);
        let figures = figures.entry(self.app).or_default();
        figures.answered += 1;
        figures.longest = figures.longest.max(after);
    }

    fn judge(&self, begin: Instant, error: &io::Error) {
        let kind = kind(error);
        let excused = lock(&self.shared.excuses)
            .iter()
            .any(|excuse| excuse.app == self.app && excuse.to.is_none_or(|to| to >= begin));
        let mut figures = lock(&self.shared.figures);
        let figures = figures.entry(self.app).or_default();
        let counts = if excused { &mut figures.excused } else { &mut figures.failed };
        *counts.entry(kind.clone()).or_default() += 1;
        if !excused {
            let how = if self.keeps { "a kept connection" } else { "a new connection" };
            let text = format!("{}: a request on {how} failed after {:?}: {kind}", self.app, begin.elapsed());
            self.shared.journal.fail(&text);
        }
    }
}

impl Kept {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(http::PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { connection: Connection::over(stream.try_clone()?), stream })
    }
}

/// Whether the other side has closed it, as far as is known here.
fn is_closed(stream: &TcpStream) -> bool {
    let look = || {
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        seen
    };
    !matches!(look(), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn is_good(reply: &http::Reply) -> io::Result<()> {
    match reply.status {
        200 if reply.json()["pid"].is_number() => Ok(()),
        status => Err(io::Error::other(format!("status {status}"))),
    }
}

fn kind(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
        ErrorKind::UnexpectedEof => "closed without an answer".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
