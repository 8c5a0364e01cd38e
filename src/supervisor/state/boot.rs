//! From the keeper's welcome to a running loop. First start, crash, upgrade and reboot are this one path.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use supd_api::{AppDeclaration, CronPolicy};
use supd_core::{AppName, Event, Known, KnownState, Mono, Pid, RunId, RunView, Supervisor};
use supd_keeper::protocol::{DescriptorName, Order, Report, RunRecord, RunState, VERSION};
use tokio::sync::watch;

use crate::cluster::{PortKey, Ports, preload};
use crate::config;
use crate::home::Home;
use crate::logs::{Logs, new_journal};
use crate::supervisor::care::cgroups::Alarms;
use crate::supervisor::care::cron::Timetable;
use crate::supervisor::care::figures::{Figures, Outlet};
use crate::supervisor::care::watching::Watches;
use crate::supervisor::control;
use crate::supervisor::inbox::{Inbox, Outlets, inbox};
use crate::supervisor::keeper::Keeper;
use crate::supervisor::report::alerts::Alerts;
use crate::supervisor::report::counts::Counts;
use crate::supervisor::report::crashes::{Awaited, Crashes};
use crate::supervisor::report::events::Events;
use crate::supervisor::requests::Requests;
use crate::supervisor::runs::agents::Agents;
use crate::supervisor::runs::launch::Ends;
use crate::supervisor::settings::Store;
use crate::supervisor::state::carried::Carried;
use crate::supervisor::state::extents::Extents;
use crate::supervisor::state::ledger::{Ledger, Writer};
use crate::supervisor::state::runtime;
use crate::supervisor::state::runtime::Runtime;
use crate::supervisor::state::snapshot::{Revisions, Snapshot};
use crate::supervisor::state::upgrade::Stage;
use crate::supervisor::turn::{KeeperFacts, Shell};
use crate::supervisor::versions::accept::accept_again;
use crate::supervisor::versions::revision::Revision;
use crate::supervisor::versions::spec;

/// Where a daemon of root puts what everybody may read.
const SHARED: &str = "/run/supd";

/// What the keeper handed over.
struct Handover {
    runs: Vec<RunRecord>,
    snapshot: Option<Snapshot>,
    descriptors: BTreeMap<DescriptorName, Arc<OwnedFd>>,
    facts: KeeperFacts,
    trial: bool,
}

impl Handover {
    /// Whether this daemon was told at its start what to run, and what of that has perhaps not begun yet.
    fn runtime(&mut self) -> io::Result<(Option<Runtime>, Option<supd_api::Runtime>)> {
        let told = self.descriptors.remove(&DescriptorName::Runtime);
        let told = told.map(|document| runtime::read(&document)).transpose()?;
        let known = self.snapshot.as_ref().and_then(|snapshot| snapshot.runtime);
        Ok((known.or_else(|| told.as_ref().map(Runtime::new)), told))
    }
}

/// Takes over from whoever was there before, and opens the doors.
pub(crate) async fn boot(home: Home, mut keeper: Keeper) -> io::Result<(Shell, Inbox)> {
    let mut handover = receive(&mut keeper).await?;
    let (outlets, inbox) = inbox();
    let kept = handover.descriptors.remove(&DescriptorName::Control);
    let trial = handover.trial;
    let (runtime, told) = handover.runtime()?;
    let (doors, closing) = watch::channel(false);
    let logs = start_logs(&mut keeper, handover.descriptors.remove(&DescriptorName::LogJournal), &outlets)?;
    let mut shell = bare(home, keeper, handover.facts.clone(), logs, (doors, runtime), &outlets);
    match handover.snapshot.take() {
        Some(snapshot) => shell.restore(snapshot, handover)?,
        None if shell.runtime.is_some() => {}
        None => shell.recall()?,
    }
    if let Some(told) = told {
        shell.begin(told);
    }
    shell.logs.begin();
    let listener = control::listen(&shell.home, kept)?;
    shell.store(DescriptorName::Control, &listener);
    if trial {
        shell.prove().await?;
    }
    shell.agree_on_watches();
    shell.agree_on_times();
    shell.set_alarm();
    // Only now: whoever can connect is answered.
    control::serve(listener, closing, outlets)?;
    shell.open_door(None);
    if !trial {
        shell.keeper.order(Order::Ready, Vec::new());
    }
    Ok((shell, inbox))
}

/// A shell that knows of no app yet.
fn bare(
    home: Home,
    keeper: Keeper,
    keeper_facts: KeeperFacts,
    logs: Logs,
    (doors, runtime): (watch::Sender<bool>, Option<Runtime>),
    outlets: &Outlets,
) -> Shell {
    let outlet = Outlet { excesses: outlets.excesses.clone(), loads: outlets.loads.clone() };
    let figures = Figures::new(keeper_facts.pid, outlet);
    Shell {
        events: Events::default(),
        counts: Counts::default(),
        alerts: Alerts::default(),
        extents: Extents::default(),
        carried: Carried::default(),
        crashes: Crashes::taken_over(Awaited::new()),
        watches: Watches::default(),
        timetable: Timetable::default(),
        checks: BTreeMap::new(),
        preload: preload(&home),
        core: Supervisor::default(),
        revisions: Revisions::new(),
        next_revision: 0,
        next_request: 0,
        keeper,
        keeper_facts,
        logs,
        outputs: BTreeMap::new(),
        ports: Ports::default(),
        sockets: BTreeMap::new(),
        channels: BTreeMap::new(),
        inputs: BTreeMap::new(),
        agents: Agents::default(),
        requests: Requests::default(),
        settings: Store::open(home.settings(), outlets.settings.clone()),
        ledger: Writer::new(runtime.is_none().then(|| home.ledger()), outlets.saved.clone()),
        figures,
        alarms: Alarms::new(outlets.bells.clone()),
        outlets: outlets.clone(),
        receipts: Vec::new(),
        unsaved: false,
        save_again: None,
        goodbye: None,
        runtime,
        upgrade: Stage::default(),
        doors,
        door: None,
        home,
    }
}

/// Workers of other users must be able to read it, and a home is for its owner only.
fn preload(home: &Home) -> Option<PathBuf> {
    let directory = if nix::unistd::geteuid().is_root() { Path::new(SHARED) } else { home.path() };
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
    let installed = made.and_then(|()| preload::install(directory));
    let failed = |error: &io::Error| {
        tracing::warn!("{}: Node workers will drain less gently: {error}", directory.display())
    };
    installed.inspect_err(failed).ok()
}

async fn receive(keeper: &mut Keeper) -> io::Result<Handover> {
    let Some((welcome, mut attached)) = keeper.next().await? else {
        return Err(io::Error::other("the keeper has gone"));
    };
    let Report::Welcome { version, runs, descriptors, snapshot, restarts, since, trial, upgrade } = welcome
    else {
        return Err(io::Error::other("the keeper did not begin with a welcome"));
    };
    if version > VERSION {
        return Err(io::Error::other(format!(
            "the keeper speaks version {version}, this supervisor {VERSION}"
        )));
    }
    let file = if snapshot { attached.pop() } else { None };
    let snapshot = match file.map(|file| Snapshot::read(&file)) {
        Some(Err(error)) if !runs.is_empty() => {
            return Err(io::Error::other(format!("the predecessor's snapshot cannot be read: {error}")));
        }
        Some(snapshot) => {
            snapshot.inspect_err(|error| tracing::error!("the snapshot is dropped: {error}")).ok()
        }
        None => None,
    };
    let mut kept = BTreeMap::new();
    while kept.len() < descriptors {
        match keeper.next().await? {
            Some((Report::Descriptors { names }, files)) if names.len() == files.len() => {
                kept.extend(names.into_iter().zip(files.into_iter().map(Arc::new)));
            }
            _ => return Err(io::Error::other("the keeper's descriptors did not all arrive")),
        }
    }
    // The keeper is our parent; should it have died this moment, the link tells.
    let pid = nix::unistd::getppid().as_raw();
    let facts = KeeperFacts { version, pid, restarts, since: Mono(since), upgrade };
    Ok(Handover { runs, snapshot, descriptors: kept, facts, trial })
}

/// The log thread's journal outlives us in the keeper.
fn start_logs(keeper: &mut Keeper, journal: Option<Arc<OwnedFd>>, outlets: &Outlets) -> io::Result<Logs> {
    let journal = match journal {
        Some(journal) => journal,
        None => {
            let journal = Arc::new(new_journal()?);
            keeper.order(Order::Store { name: DescriptorName::LogJournal }, vec![Arc::clone(&journal)]);
            journal
        }
    };
    let notices = outlets.notices.clone();
    // The loop may have ended; then nobody needs to know.
    Logs::start(journal.try_clone()?, move |notice| drop(notices.send(notice)))
}

impl Shell {
    /// On trial: shows the keeper which program this is, and does nothing until the keeper has become it too.
    async fn prove(&mut self) -> io::Result<()> {
        let image = open("/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        self.keeper.order(Order::Ready, vec![Arc::new(image)]);
        let mut meanwhile = Vec::new();
        loop {
            match self.keeper.next().await? {
                Some((Report::Upgraded { upgrade }, _)) => break self.on_upgraded(upgrade),
                Some((Report::Ping, _)) => self.keeper.order(Order::Pong, Vec::new()),
                Some(report) => meanwhile.push(report),
                None => return Err(io::Error::other("the keeper has not followed")),
            }
        }
        meanwhile.into_iter().for_each(|(report, attached)| self.on_report(report, attached));
        Ok(())
    }

    /// Goes on where a predecessor stopped.
    fn restore(&mut self, snapshot: Snapshot, handover: Handover) -> io::Result<()> {
        self.core = Supervisor::restore(snapshot.core)
            .map_err(|version| io::Error::other(format!("the core's snapshot has version {version}")))?;
        self.revisions =
            snapshot.revisions.into_iter().map(|(app, id, revision)| ((app, id), revision)).collect();
        for ((app, id), revision) in &self.revisions {
            self.core.respecify(app, *id, spec::spec(&revision.declaration));
        }
        self.ports = snapshot.ports;
        for (run, words) in snapshot.words {
            self.checks.entry(run).or_default().words = words;
        }
        (self.next_revision, self.next_request) = (snapshot.next_revision, snapshot.next_request);
        self.extents = snapshot.extents;
        self.carried = Carried::from(snapshot.carried);
        self.counts = snapshot.counts;
        self.alerts = snapshot.alerts;
        self.crashes = Crashes::taken_over(snapshot.crashes);
        self.agents = Agents::taken_over(snapshot.agents);
        for record in &handover.runs {
            self.crashes.note_peak(RunId(record.run.0), record.peak_memory);
        }
        self.watches.handled = snapshot.handled_changes;
        self.timetable = Timetable::taken_over(snapshot.timetable);
        self.requests = Requests::taken_over(snapshot.handed_over);
        self.take_sockets(&handover.descriptors);
        self.take_runs(&handover.descriptors);
        self.take_ebbing(snapshot.outputs, &handover.descriptors);
        self.complete_crashes();
        // What the predecessor had not written down yet is written down now.
        self.ledger.change();
        let runs = handover.runs.len();
        let known = handover.runs.into_iter().map(|record| self.known(record)).collect();
        self.turn(Event::Resync { known });
        let runs_left: Vec<RunView> = self.core.runs().map(|(_, _, _, run)| run).collect();
        runs_left.into_iter().for_each(|run| self.take_up_checks(run));
        self.begin_to_quit();
        tracing::info!("supervisor {} took over {runs} runs", self.keeper_facts.restarts + 1);
        Ok(())
    }

    fn known(&self, record: RunRecord) -> Known {
        let run = RunId(record.run.0);
        let state = match record.state {
            RunState::Spawning => KnownState::Spawning,
            RunState::Alive => KnownState::Alive,
            RunState::Exited { exit, survivors } => {
                KnownState::Exited { exit: self.exit_of(run, exit), survivors }
            }
        };
        Known { run, pid: Pid(record.pid), state }
    }

    fn take_sockets(&mut self, descriptors: &BTreeMap<DescriptorName, Arc<OwnedFd>>) {
        let mut sockets = BTreeMap::new();
        for (name, socket) in descriptors {
            if let DescriptorName::Port(text) = name {
                sockets.insert(PortKey::from(text.clone()), Arc::clone(socket));
            }
        }
        let unknown: Vec<PortKey> =
            sockets.keys().filter(|key| !self.ports.keys().any(|known| known == *key)).cloned().collect();
        self.sockets = sockets;
        unknown.iter().for_each(|key| self.close_socket(key));
    }

    fn take_runs(&mut self, descriptors: &BTreeMap<DescriptorName, Arc<OwnedFd>>) {
        let runs: Vec<_> = self.core.runs().map(|(_, worker, _, view)| (worker, view.run)).collect();
        for (worker, run) in runs {
            let kept = supd_keeper::protocol::RunId(run.0);
            let end = |name| descriptors.get(&name).cloned();
            let (Some(out), Some(err)) = (end(DescriptorName::Out(kept)), end(DescriptorName::Err(kept)))
            else {
                continue;
            };
            let Some(revision) = self.revision_of(run) else { continue };
            let (channel, notify) = (end(DescriptorName::Ipc(kept)), end(DescriptorName::Notify(kept)));
            let stdin = end(DescriptorName::In(kept));
            self.attach(run, worker, &revision, &Ends { out, err, channel, stdin, notify }, true);
        }
    }

    /// Brings back what was entrusted to us before the machine or the daemon was stopped.
    fn recall(&mut self) -> io::Result<()> {
        let ledger = Ledger::read(&self.home.ledger())?;
        let count = ledger.apps.len();
        for entry in config::in_order(ledger.apps, |entry| &entry.revision.declaration) {
            let (seats, counts_from) = (entry.seats(), entry.counts_from);
            let app = AppName(entry.revision.declaration.name.to_string());
            let previous = entry.previous.map(as_it_is_now).map(|revision| self.add_revision(&app, revision));
            let revision = as_it_is_now(entry.revision);
            if let Some((since, cron)) = counts_from.zip(times_to_catch_up(&revision.declaration)) {
                self.timetable.catch_up(app.clone(), cron, since);
            }
            let (revision, spec) = self.add_revision(&app, revision);
            self.turn(Event::Recall { app, revision, spec, seats, previous });
        }
        self.tidy_crashes();
        tracing::info!("supervisor started; {count} apps brought back from the ledger");
        Ok(())
    }
}

/// The times of a job that makes up for those it misses.
fn times_to_catch_up(app: &AppDeclaration) -> Option<CronPolicy> {
    app.job.as_ref().filter(|job| job.catch_up)?.cron.clone()
}

/// A release that was cleared away meanwhile is looked for where the declaration leads now.
fn as_it_is_now(revision: Arc<Revision>) -> Arc<Revision> {
    match &revision.pin {
        Some(pin) if pin.exists() => revision,
        _ => accept_again(&revision).map_or(revision, Arc::new),
    }
}
