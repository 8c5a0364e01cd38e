//! The state of the shell, and one step of the loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use supd_core::{Effect, Event, Exit, Happening, Mono, Pid, RunId, Supervisor};
use supd_keeper::protocol::{self, Report};
use tokio::sync::watch;

use crate::cluster::{self, Channel, PortKey, Ports};
use crate::home::Home;
use crate::logs::{Logs, Notice};
use crate::notify;
use crate::supervisor::care::cgroups::Alarms;
use crate::supervisor::care::checks::Checks;
use crate::supervisor::care::cron::Timetable;
use crate::supervisor::care::figures::Figures;
use crate::supervisor::care::watching::Watches;
use crate::supervisor::control::Door;
use crate::supervisor::inbox::Outlets;
use crate::supervisor::keeper::Keeper;
use crate::supervisor::now;
use crate::supervisor::report::alerts::Alerts;
use crate::supervisor::report::counts::Counts;
use crate::supervisor::report::crashes::Crashes;
use crate::supervisor::report::events::Events;
use crate::supervisor::requests::{Goodbye, Requests};
use crate::supervisor::runs::agents::Agents;
use crate::supervisor::runs::outputs::Output;
use crate::supervisor::settings::Store;
use crate::supervisor::state::carried::Carried;
use crate::supervisor::state::extents::Extents;
use crate::supervisor::state::ledger::{Saved, Writer};
use crate::supervisor::state::runtime::Runtime;
use crate::supervisor::state::snapshot::Revisions;
use crate::supervisor::state::upgrade::Stage;

/// A ledger that could not be written is tried again after so long.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// What the keeper is, for the daemon's view.
#[derive(Clone, Debug)]
pub(super) struct KeeperFacts {
    /// Version of its protocol.
    pub(super) version: u32,
    pub(super) pid: i32,
    pub(super) restarts: u32,
    pub(super) since: Mono,
    /// What came of the latest upgrade.
    pub(super) upgrade: Option<protocol::Upgrade>,
}

/// Everything the supervisor has. Owned by the loop alone.
pub(super) struct Shell {
    pub(super) home: Home,
    /// What Node cluster workers load first; `None`: it could not be written.
    pub(super) preload: Option<PathBuf>,
    pub(super) core: Supervisor,
    pub(super) revisions: Revisions,
    pub(super) next_revision: u64,
    pub(super) next_request: u64,
    pub(super) keeper: Keeper,
    pub(super) keeper_facts: KeeperFacts,
    pub(super) logs: Logs,
    /// Where the output of each run goes, until it is there.
    pub(super) outputs: BTreeMap<RunId, Output>,
    pub(super) ports: Ports,
    pub(super) sockets: BTreeMap<PortKey, Arc<OwnedFd>>,
    pub(super) channels: BTreeMap<RunId, Channel>,
    /// Our ends of standard inputs.
    pub(super) inputs: BTreeMap<RunId, Arc<OwnedFd>>,
    pub(super) agents: Agents,
    pub(super) checks: BTreeMap<RunId, Checks>,
    pub(super) requests: Requests,
    pub(super) events: Events,
    pub(super) counts: Counts,
    pub(super) alerts: Alerts,
    pub(super) extents: Extents,
    pub(super) settings: Store,
    pub(super) carried: Carried,
    pub(super) crashes: Crashes,
    pub(super) watches: Watches,
    pub(super) timetable: Timetable,
    pub(super) ledger: Writer,
    pub(super) figures: Figures,
    pub(super) alarms: Alarms,
    pub(super) outlets: Outlets,
    /// Words of workers that are handled once the next snapshot is out.
    pub(super) receipts: Vec<Receipt>,
    /// Something has changed since the last snapshot.
    pub(super) unsaved: bool,
    /// When a failed write of the ledger is tried again.
    pub(super) save_again: Option<Mono>,
    /// Everything has been stopped; when to say goodbye.
    pub(super) goodbye: Option<Goodbye>,
    /// It was told at its start what to run.
    pub(super) runtime: Option<Runtime>,
    /// How far an upgrade is.
    pub(super) upgrade: Stage,
    /// `true` closes them: no further clients.
    pub(super) doors: watch::Sender<bool>,
    /// Where others than `supctl` may look, if anywhere.
    pub(super) door: Option<Door>,
}

/// For a word of a worker that has been handled.
pub(super) enum Receipt {
    /// A line of its channel.
    Line(cluster::Receipt),
    /// What it said over `NOTIFY_SOCKET`.
    Notes(notify::Receipt),
}

impl Receipt {
    pub(super) fn sign(self) {
        match self {
            Self::Line(receipt) => receipt.sign(),
            Self::Notes(receipt) => receipt.sign(),
        }
    }
}

impl Shell {
    /// Records, reconciles, and carries out what follows, until nothing follows any more.
    pub(super) fn turn(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut entrusted = false;
        while let Some(event) = events.pop_front() {
            tracing::debug!(?event);
            let effects = self.core.handle(now(), event);
            self.unsaved = true;
            for happening in effects.iter().filter_map(told) {
                self.counts.count(happening, &self.core);
                self.note_trouble(happening);
            }
            if !effects.is_empty() {
                self.keep();
            }
            for effect in effects {
                tracing::debug!(?effect);
                let again = matches!(effect, Effect::Spawn { .. }) && self.watches.is_troubled();
                entrusted |= effect == Effect::Save || again;
                events.extend(self.perform(effect));
            }
        }
        self.tell_trouble();
        if entrusted {
            self.agree_on_watches();
            self.agree_on_times();
        }
        self.save_if_needed();
    }

    pub(super) fn on_report(&mut self, report: Report, attached: Vec<OwnedFd>) {
        match report {
            Report::Spawned { run, pid } => {
                self.write_pid_file(RunId(run.0), Pid(pid));
                self.turn(Event::Spawned { run: RunId(run.0), pid: Pid(pid) });
                self.ask_when_spawned(RunId(run.0));
                self.sample(RunId(run.0));
                self.mark_memory(RunId(run.0));
            }
            Report::SpawnFailed { run, step, errno } => {
                let run = RunId(run.0);
                let why = self.why_not_started(run, step, errno);
                self.turn(Event::NotStarted { run, why });
            }
            Report::Exited { run, exit, survivors, peak_memory } => {
                self.remove_pid_file(RunId(run.0));
                self.on_exit(RunId(run.0), peak_memory);
                let run = RunId(run.0);
                self.turn(Event::Exited { run, exit: self.exit_of(run, exit), survivors });
            }
            Report::Gone { run } => self.turn(Event::Gone { run: RunId(run.0) }),
            Report::Terminate => self.stop_everything(None),
            Report::Reopen => self.logs.reopen(),
            Report::Rehearsal => self.on_rehearsal(attached),
            Report::Upgraded { upgrade } => self.on_upgraded(upgrade),
            Report::Ping => self.keeper.order(protocol::Order::Pong, Vec::new()),
            Report::Welcome { .. } | Report::Descriptors { .. } => {
                tracing::error!("the keeper welcomed us a second time");
            }
        }
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Begun { source, mark } => {
                let workers: BTreeSet<u32> = self.core.view(now().mono).map(|seat| seat.worker.0).collect();
                self.extents.retain(|worker| workers.contains(&worker));
                self.carried.retain(|worker| workers.contains(&worker));
                self.unsaved |= self.extents.begun(&source, mark);
            }
            Notice::Ended { source, mark } => {
                self.extents.ended(&source, mark);
                self.unsaved = true;
            }
            Notice::Drained { run } => self.on_drained(RunId(run.0)),
            Notice::Trouble { path, error } => {
                tracing::error!("{} cannot be written: {error}", path.display());
                self.carried.trouble(path, error.to_string(), now().wall.0);
                self.unsaved = true;
            }
            Notice::Losing { .. } => self.unsaved = true,
            Notice::Recovered { path, lost } => {
                tracing::warn!("{} can be written again; {lost} of output were lost", path.display());
                self.carried.relief(&path);
                self.unsaved = true;
            }
            Notice::Left { path } => {
                self.carried.relief(&path);
                self.unsaved = true;
            }
            Notice::SinkTrouble { sink, error } => tracing::error!("output for {sink} is not taken: {error}"),
            Notice::SinkRecovered { sink, lost } => {
                tracing::warn!("output for {sink} is taken again; {lost} lines are missing there");
            }
        }
    }

    pub(super) fn on_saved(&mut self, saved: Saved) {
        self.ledger.on_saved(saved);
        self.save_again = self.ledger.has_failed().then(|| now().mono + SAVE_AGAIN);
        self.requests.release(&self.ledger);
        if self.save_again.is_none() {
            self.save_if_needed();
        }
    }

    pub(super) fn retry_save(&mut self) {
        if self.save_again.is_some_and(|at| at <= now().mono) {
            self.save_again = None;
            self.save_if_needed();
        }
    }

    pub(super) fn save_if_needed(&mut self) {
        if self.ledger.wants() && self.save_again.is_none() {
            let ledger = self.entrusted();
            self.ledger.write(ledger);
        }
    }

    pub(super) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.core
            .next_deadline()
            .into_iter()
            .chain(self.save_again)
            .chain(self.goodbye.map(|goodbye| goodbye.at))
            .chain(self.alert_deadline())
            .min()
    }
}

/// What it tells, if it does.
fn told(effect: &Effect) -> Option<&Happening> {
    match effect {
        Effect::Tell(happening) => Some(happening),
        _ => None,
    }
}

/// The keeper's word for an exit in the core's.
pub(super) fn exit_of(exit: protocol::Exit) -> Exit {
    match exit {
        protocol::Exit::Code(code) => Exit::Code(code),
        protocol::Exit::Signal(signal) => Exit::Signal(signal),
    }
}
