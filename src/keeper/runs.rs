//! Which runs are there, and what became of each?

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::protocol::{Exit, RunId, RunRecord, RunState};
use crate::spawn::{Failure, Pending};
use crate::tree::Mark;

/// One run, from its fork until it is forgotten.
pub(crate) struct Run {
    /// The main process.
    pub(crate) pid: i32,
    /// How far it is.
    pub(crate) phase: Phase,
    /// The whole tree got SIGKILL: what of it turns up later gets it too.
    pub(crate) doomed: bool,
    /// The most memory that the main process had, in bytes; 0 until it is reaped.
    pub(crate) peak_memory: u64,
    /// The directory of its control group, if it has one of its own.
    pub(crate) leaf: Option<PathBuf>,
}

/// How far a run is.
pub(crate) enum Phase {
    /// Forked; the program not yet executed.
    Spawning(Pending),
    /// The start has failed; its process is still to be reaped.
    Failing(Failure),
    /// Running.
    Alive,
    /// Its main process has been reaped.
    Exited {
        /// How it ended.
        exit: Exit,
        /// Whether other processes of it are alive.
        survivors: bool,
    },
}

impl Run {
    /// Whether its main process has been reaped.
    pub(crate) fn is_reaped(&self) -> bool {
        match self.phase {
            Phase::Spawning(_) | Phase::Failing(_) | Phase::Alive => false,
            Phase::Exited { .. } => true,
        }
    }

    /// Whether no process of it is left.
    pub(crate) fn is_gone(&self) -> bool {
        match self.phase {
            Phase::Spawning(_) | Phase::Failing(_) | Phase::Alive => false,
            Phase::Exited { survivors, .. } => !survivors,
        }
    }

    /// What a new supervisor is told. A start that is about to be reported as failed still counts as one.
    fn state(&self) -> RunState {
        match self.phase {
            Phase::Spawning(_) | Phase::Failing(_) => RunState::Spawning,
            Phase::Alive => RunState::Alive,
            Phase::Exited { exit, survivors } => RunState::Exited { exit, survivors },
        }
    }
}

/// Every run that has not been forgotten.
#[derive(Default)]
pub(crate) struct Runs(pub(crate) BTreeMap<RunId, Run>);

impl Runs {
    /// The run whose unreaped main process has this number.
    pub(crate) fn of_main(&self, pid: i32) -> Option<RunId> {
        self.0.iter().find(|(_, run)| run.pid == pid && !run.is_reaped()).map(|(id, _)| *id)
    }

    /// How to recognise processes of the runs that have any.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let present = self.0.iter().filter(|(_, run)| !run.is_gone());
        present.map(|(id, run)| Mark { run: *id, main: run.pid, reaped: run.is_reaped() }).collect()
    }

    /// What a new supervisor is told.
    pub(crate) fn records(&self) -> Vec<RunRecord> {
        let record = |(id, run): (&RunId, &Run)| RunRecord {
            run: *id,
            pid: run.pid,
            state: run.state(),
            peak_memory: run.peak_memory,
        };
        self.0.iter().map(record).collect()
    }
}
