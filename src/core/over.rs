//! Is everything over, and how did it end? For a daemon that lives no longer than what it was told to run.

use crate::event::Exit;
use crate::seat::{Rest, Seat, Wish};
use crate::supervisor::Supervisor;

/// How everything ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over<'a> {
    /// Whatever ended by itself did so with code 0.
    Well,
    /// The end of the worker that was the first to end otherwise.
    Badly(&'a Exit),
}

impl Supervisor {
    /// `Some`: something has run, and nothing runs or will run any more unless somebody asks for it.
    pub fn over(&self) -> Option<Over<'_>> {
        if !self.has_run() || !self.seats().all(|(_, seat)| seat.is_over()) {
            return None;
        }
        let failures = self.seats().filter_map(|(_, seat)| seat.failure());
        Some(failures.min_by_key(|(at, _)| *at).map_or(Over::Well, |(_, exit)| Over::Badly(exit)))
    }
}

impl Seat {
    /// Nothing of it runs, and it has no reason to start.
    fn is_over(&self) -> bool {
        let rests = match self.rest {
            Rest::Ended { .. } | Rest::Errored { .. } => true,
            // Whoever waits for what has ended waits for somebody to ask for it.
            Rest::None => self.wish != Wish::Up || self.held.as_ref().is_some_and(|held| !held.hopeful),
            Rest::Waiting { .. } => false,
        };
        rests && self.runs.is_empty()
    }

    /// When and how it ended by itself, if that was no success. One that was stopped has not failed.
    fn failure(&self) -> Option<(crate::clock::Wall, &Exit)> {
        let ended = self.last_exit.as_ref()?;
        let by_itself = matches!(self.rest, Rest::Ended { .. } | Rest::Errored { .. });
        (by_itself && ended.exit != Exit::Code(0)).then_some((ended.at, &ended.exit))
    }
}
