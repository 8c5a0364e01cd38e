//! A crowd of clients that ask all the time, and what came of each request, by kind.
//!
//! It is stricter than most clients: a request on a kept connection that is not answered is lost, even if the server had closed the
//! connection before it came.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::http::{Connection, Habit, answered_by};
use crate::wait::until_true;

/// What came of all requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many each process answered.
    pub answers: BTreeMap<i32, u64>,
    /// How many were lost, by kind.
    pub lost: BTreeMap<String, u64>,
}

impl Tally {
    /// Asserts that every request was answered, and returns by whom.
    #[track_caller]
    pub fn complete(self) -> BTreeMap<i32, u64> {
        assert!(self.lost.is_empty(), "{self:#?}");
        self.answers
    }
}

/// The clients.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Crowd {
    /// So many clients of each habit, each with all of these paths in turn; they are there when all have been answered
    /// once.
    pub fn gather(address: &str, habits: &[(Habit, usize)], paths: &'static [&'static str]) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let habits = habits.iter().flat_map(|&(habit, count)| std::iter::repeat_n(habit, count));
        let client = |(number, habit)| {
            let paths = paths.iter().cycle().skip(number % paths.len()).copied();
            let (stop, answered, address) = (Arc::clone(&stop), Arc::clone(&answered), address.to_owned());
            thread::spawn(move || ask(habit, &address, paths, &stop, &answered))
        };
        let clients: Vec<_> = habits.enumerate().map(client).collect();
        let crowd = Self { stop, clients };
        until_true("an answer for each client", || {
            answered.load(Ordering::Relaxed) == crowd.clients.len()
                || crowd.clients.iter().any(JoinHandle::is_finished)
        });
        crowd
    }

    /// A few of each habit with short requests.
    pub fn small(address: &str) -> Self {
        Self::gather(address, &[(Habit::Keep, 3), (Habit::Once, 3)], &["/"])
    }

    /// Ends it.
    pub fn disperse(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in std::mem::take(&mut self.clients) {
            let tally = client.join().expect("a client");
            assert!(!tally.answers.is_empty(), "a client that was never answered: {tally:?}");
            tally.answers.into_iter().for_each(|(pid, count)| *all.answers.entry(pid).or_default() += count);
            tally.lost.into_iter().for_each(|(kind, count)| *all.lost.entry(kind).or_default() += count);
        }
        all
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(
    habit: Habit,
    address: &str,
    paths: impl Iterator<Item = &'static str>,
    stop: &AtomicBool,
    answered: &AtomicUsize,
) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    for path in paths {
        match attempt(habit, address, path, &mut kept) {
            Ok(pid) => *tally.answers.entry(pid).or_default() += 1,
            Err(kind) => *tally.lost.entry(format!("{habit:?} {path}: {kind}")).or_default() += 1,
        }
        if tally.answers.len() == 1 && tally.answers.values().sum::<u64>() == 1 {
            answered.fetch_add(1, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    tally
}

/// One request: who answered, or what went wrong.
fn attempt(
    habit: Habit,
    address: &str,
    path: &str,
    kept: &mut Option<Connection<TcpStream>>,
) -> Result<i32, String> {
    let known = kept.take().map_or_else(|| Connection::open(address), Ok);
    let mut connection = known.map_err(|error| format!("not connected: {:?}", error.kind()))?;
    let fields = match habit {
        Habit::Once => "connection: close\r\n",
        Habit::Keep => "",
    };
    let reply = connection.send("GET", path, fields, b"");
    let reply = reply.map_err(|error| format!("not answered: {:?}", error.kind()))?;
    let pid = answered_by(&reply).map_err(|error| error.to_string())?;
    if !reply.last && matches!(habit, Habit::Keep) {
        *kept = Some(connection);
    }
    Ok(pid)
}
