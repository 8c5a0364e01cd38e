//! What was done and when, so that a failure can be told as a story.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// So many of the last deeds are told.
const TOLD: usize = 80;

/// Who did what. It ends with the first failure, so that the story ends there too.
pub struct Journal {
    pub seed: u64,
    began: Instant,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    last: VecDeque<String>,
    failure: Option<String>,
}

impl Journal {
    pub fn new(seed: u64) -> Self {
        Self { seed, began: Instant::now(), pages: Mutex::default() }
    }

    /// Writes a deed down.
    pub fn note(&self, who: &str, what: &str) {
        let mut pages = self.pages();
        if pages.failure.is_none() {
            let line = format!("{} {who:<9} {what}", self.clock());
            pages.last.push_back(line);
            if pages.last.len() > TOLD {
                pages.last.pop_front();
            }
        }
    }

    /// What must not be has been seen.
    pub fn fail(&self, what: &str) {
        let mut pages = self.pages();
        if pages.failure.is_none() {
            pages.failure = Some(format!("{} {what}", self.clock()));
        }
    }

    /// Whether something has failed: then nobody need go on.
    pub fn has_ended(&self) -> bool {
        self.pages().failure.is_some()
    }

    /// # Panics
    /// When something has failed.
    #[track_caller]
    pub fn verdict(&self) {
        let failure = self.pages().failure.clone();
        if let Some(failure) = failure {
            panic!("seed {}: {failure}", self.seed);
        }
    }

    /// Ends the journal when its holder panics.
    pub fn watch(&self) -> Watch<'_> {
        Watch(self)
    }

    fn clock(&self) -> String {
        format!("[{:8.3}]", self.began.elapsed().as_secs_f64())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if thread::panicking() {
            let pages = self.pages();
            let last: Vec<&str> = pages.last.iter().map(String::as_str).collect();
            let failure = pages.failure.as_deref().unwrap_or("nothing was noticed in time");
            eprintln!("---- seed {}: the last deeds\n{}\n{failure}", self.seed, last.join("\n"));
        }
    }
}

/// See [`Journal::watch`].
pub struct Watch<'a>(&'a Journal);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("a thread of the test panicked");
        }
    }
}
