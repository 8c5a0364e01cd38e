//! One rain: operators who want everything at once, and a storm that takes away what they need.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::Ground;
use crate::journal::Journal;
use crate::traffic::Traffic;
use crate::{operators, storm};

/// So many clients command.
const OPERATORS: u64 = 3;

/// What all who take part in it share.
pub struct Rain<'a> {
    pub ground: &'a Ground,
    pub journal: &'a Arc<Journal>,
    pub traffic: &'a Traffic,
    pub keeper: i32,
    pub seed: u64,
    /// Who stops an app, forgets it or changes its declaration has it for himself meanwhile.
    pub owners: BTreeMap<&'static str, Mutex<()>>,
    pub deeds: AtomicU32,
    pub faults: AtomicU32,
    /// Supervisors that were killed.
    pub killed: AtomicU32,
    until: Mutex<Instant>,
}

impl<'a> Rain<'a> {
    pub fn new(
        ground: &'a Ground,
        journal: &'a Arc<Journal>,
        traffic: &'a Traffic,
        keeper: i32,
        seed: u64,
    ) -> Self {
        Self {
            ground,
            journal,
            traffic,
            keeper,
            seed,
            owners: crate::cast::CAST.iter().map(|part| (part.name, Mutex::default())).collect(),
            deeds: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            killed: AtomicU32::new(0),
            until: Mutex::new(Instant::now()),
        }
    }

    /// Lets it rain. Afterwards everything is healed.
    pub fn fall(&self, number: u64, span: Duration) {
        *self.until.lock().expect("no thread dies with it") = Instant::now() + span;
        thread::scope(|scope| {
            for operator in 0..OPERATORS {
                scope.spawn(move || {
                    let _watch = self.journal.watch();
                    operators::operate(self, 10 * number + operator);
                });
            }
            scope.spawn(|| {
                let _watch = self.journal.watch();
                storm::strike(self, 100 * number);
            });
            scope.spawn(|| {
                let _watch = self.journal.watch();
                storm::lame(self, 100 * number + 1);
            });
        });
    }

    pub fn falls(&self) -> bool {
        Instant::now() < *self.until.lock().expect("no thread dies with it") && !self.journal.has_ended()
    }

    /// No supervisor has ended by itself.
    ///
    /// # Errors
    /// How many have.
    pub fn nobody_else_died(&self) -> Result<(), String> {
        let restarts = self.ground.daemon.json(&["ping"])["supervisor_restarts"].as_u64();
        let killed = u64::from(self.killed.load(Ordering::Relaxed));
        if restarts == Some(killed) {
            return Ok(());
        }
        Err(format!("{killed} supervisors were killed, {restarts:?} were started again"))
    }

    pub fn deed(&self, who: &str, what: &str) {
        self.deeds.fetch_add(1, Ordering::Relaxed);
        self.journal.note(who, what);
    }

    pub fn fault(&self, what: &str) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        self.journal.note("storm", what);
    }
}
