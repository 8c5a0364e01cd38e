//! Everything a successor needs to go on as if nothing had happened, kept by the keeper in memory.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supd_api::Action;
use supd_core::{AppName, RequestId, RevisionId, RunId, SNAPSHOT_VERSION, Spec, Supervisor, WorkerResult};
use supd_keeper::memfd;
use supd_keeper::protocol::Order;

use crate::cluster::Ports;
use crate::supervisor::care::checks::Words;
use crate::supervisor::care::cron::Noted;
use crate::supervisor::care::watching::Handled;
use crate::supervisor::report::alerts::Alerts;
use crate::supervisor::report::counts::Counts;
use crate::supervisor::report::crashes::Awaited;
use crate::supervisor::runs::outputs::Output;
use crate::supervisor::state::carried::Figures;
use crate::supervisor::state::extents::Extents;
use crate::supervisor::state::runtime::Runtime;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::revision::Revision;
use crate::supervisor::versions::spec::spec;

/// Version of the shell's part; the core's has its own. See [`supd_core::SNAPSHOT_VERSION`].
const VERSION: u32 = 1;
/// A larger snapshot is none of ours.
const SIZE_MAX: u64 = 256 << 20;

/// The document.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    version: u32,
    pub(crate) core: supd_core::Snapshot,
    pub(crate) revisions: Vec<(AppName, RevisionId, Arc<Revision>)>,
    pub(crate) ports: Ports,
    #[serde(default)]
    pub(crate) words: Vec<(RunId, Words)>,
    #[serde(default)]
    pub(crate) extents: Extents,
    #[serde(default)]
    pub(crate) carried: Figures,
    #[serde(default)]
    pub(crate) counts: Counts,
    #[serde(default)]
    pub(crate) alerts: Alerts,
    #[serde(default)]
    pub(crate) crashes: Awaited,
    #[serde(default)]
    pub(crate) outputs: Vec<(RunId, Output)>,
    /// What runs have announced of themselves.
    #[serde(default)]
    pub(crate) agents: Vec<(RunId, Vec<Action>)>,
    #[serde(default)]
    pub(crate) handled_changes: Handled,
    #[serde(default)]
    pub(crate) timetable: Vec<Noted>,
    pub(crate) next_revision: u64,
    pub(crate) next_request: u64,
    /// What a predecessor has left to be answered, with what came of it since.
    #[serde(default)]
    pub(crate) handed_over: Vec<(RequestId, Option<Vec<WorkerResult>>)>,
    #[serde(default)]
    pub(crate) runtime: Option<Runtime>,
}

/// Revisions by app and number.
pub(crate) type Revisions = BTreeMap<(AppName, RevisionId), Arc<Revision>>;

impl Snapshot {
    /// Reads what a predecessor left.
    ///
    /// # Errors
    /// It is damaged or of another version.
    pub(crate) fn read(file: &OwnedFd) -> io::Result<Self> {
        Self::parse(&memfd::read(file.as_fd(), SIZE_MAX)?)
    }

    /// As [`Snapshot::read`].
    ///
    /// # Errors
    /// The same.
    pub(crate) fn parse(text: &[u8]) -> io::Result<Self> {
        let snapshot: Self = serde_json::from_slice(text)?;
        if snapshot.version != VERSION {
            return Err(io::Error::other(format!("it has version {}, ours is {VERSION}", snapshot.version)));
        }
        Ok(snapshot)
    }

    /// Whether the core can go on from it.
    ///
    /// # Errors
    /// It is of another version.
    pub(crate) fn try_out(self) -> io::Result<()> {
        Supervisor::restore(self.core).map(drop).map_err(|version| {
            io::Error::other(format!("its core has version {version}, ours is {SNAPSHOT_VERSION}"))
        })
    }
}

impl Shell {
    /// Keeps a version of an app's declaration under a new number.
    pub(crate) fn add_revision(&mut self, app: &AppName, revision: Arc<Revision>) -> (RevisionId, Box<Spec>) {
        self.next_revision += 1;
        let id = RevisionId(self.next_revision);
        let spec = Box::new(spec(&revision.declaration));
        self.revisions.insert((app.clone(), id), revision);
        (id, spec)
    }

    /// Hands the present state to the keeper. Sent before the orders that carry a decision out, so that a successor
    /// knows what was wanted.
    pub(crate) fn keep(&mut self) {
        let file = serde_json::to_vec(&self.snapshot())
            .map_err(io::Error::from)
            .and_then(|text| memfd::write(c"supd-snapshot", &text));
        match file {
            Ok(file) => self.keeper.order(Order::Snapshot, vec![Arc::new(file)]),
            Err(error) => tracing::error!("no snapshot could be made: {error}"),
        }
        self.unsaved = false;
        for receipt in self.receipts.drain(..) {
            receipt.sign();
        }
    }

    /// The present state.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let revisions = self.revisions.iter();
        Snapshot {
            version: VERSION,
            core: self.core.snapshot(),
            revisions: revisions
                .map(|((app, id), revision)| (app.clone(), *id, Arc::clone(revision)))
                .collect(),
            ports: self.ports.clone(),
            words: self.checks.iter().map(|(run, checks)| (*run, checks.words.clone())).collect(),
            extents: self.extents.clone(),
            carried: self.carried.figures(),
            counts: self.counts.clone(),
            alerts: self.alerts.clone(),
            crashes: self.crashes.awaited.clone(),
            outputs: self.outputs.iter().map(|(run, output)| (*run, output.clone())).collect(),
            agents: self.agents.announced(),
            handled_changes: self.watches.handled.clone(),
            timetable: self.timetable.noted(),
            next_revision: self.next_revision,
            next_request: self.next_request,
            handed_over: self.requests.handed_over(),
            runtime: self.runtime,
        }
    }
}
