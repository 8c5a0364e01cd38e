//! Whether each run does its work: its probes, what it says over `NOTIFY_SOCKET`, and its watchdog.
//!
//! What they find becomes an event; what follows from it is the core's decision. After a change of supervisor probes
//! begin anew, and what was said and not yet handled is still in the socket.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{UnixAddr, getsockname};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use supd_api::{AppDeclaration, Check, ExecMode, Probe};
use supd_core::{Event, Exit, Phase, RunId, RunView, WorkerId};
use supd_keeper::protocol;

use crate::cluster::ToWorker;
use crate::notify::{self, Listener, Note};
use crate::probe::{self, Finding, Outgoing, Reach, Role, Target, Watch};
use crate::supervisor::now;
use crate::supervisor::runs::channels::tells_by_listening;
use crate::supervisor::runs::environment::{Place, environment};
use crate::supervisor::runs::launch::Ends;
use crate::supervisor::turn::{Receipt, Shell};
use crate::supervisor::versions::revision::Revision;

/// What belongs to one run. Dropping it ends all of it.
#[derive(Default)]
pub(crate) struct Checks {
    listener: Option<Listener>,
    /// Its `NOTIFY_SOCKET`.
    pub(crate) address: Option<String>,
    starting: Option<Watch>,
    ready: Option<Watch>,
    live: Option<Watch>,
    pub(crate) words: Words,
    /// What it was asked last, when it was told to go.
    last_answer: Option<String>,
}

impl Checks {
    /// What the probe that it has yet to pass has heard last, for people.
    pub(crate) fn pending_answer(&self) -> Option<String> {
        self.starting.as_ref().or(self.ready.as_ref())?.last_answer()
    }
}

/// What a run has said, which it will not say again to a successor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Words {
    /// About itself, for people.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// In which state it is, or its readiness probe has found it to be.
    #[serde(default)]
    pub(crate) state: Option<String>,
    /// How often it will say `WATCHDOG=1`; zero: never.
    #[serde(default)]
    watchdog: Option<Duration>,
    /// It takes connections from its channel.
    #[serde(default)]
    preloaded: bool,
}

impl Shell {
    /// Listens to what a run says.
    pub(crate) fn listen_to(&mut self, run: RunId, revision: &Revision, ends: &Ends) {
        let checks = self.checks.entry(run).or_default();
        let Some(socket) = &ends.notify else { return };
        checks.address = address(socket);
        let (kept, uid) = (protocol::RunId(run.0), revision.uid.map(Uid::from_raw));
        let listener = socket
            .try_clone()
            .and_then(|socket| Listener::new(kept, socket, uid, self.outlets.notes.clone()));
        match listener {
            Ok(listener) => checks.listener = Some(listener),
            Err(error) => tracing::error!("run {run}: what it says cannot be heard: {error}"),
        }
    }

    /// A Node cluster worker that is to be asked itself first says whether it takes connections, or listens without.
    pub(crate) fn ask_when_spawned(&mut self, run: RunId) {
        let waits = |app: &AppDeclaration| app.exec_mode == ExecMode::Cluster && asks_worker_itself(app);
        if self.revision_of(run).is_some_and(|revision| !waits(&revision.declaration)) {
            self.ask_whether_ready(run);
        }
    }

    /// A Node cluster worker takes connections from its channel. This is its first word but one.
    pub(crate) fn on_preloaded(&mut self, run: RunId) {
        self.checks.entry(run).or_default().words.preloaded = true;
        self.ask_when_listening(run);
    }

    /// It is asked now at the latest.
    pub(crate) fn ask_when_listening(&mut self, run: RunId) {
        let asked =
            self.checks.get(&run).is_some_and(|checks| checks.starting.is_some() || checks.ready.is_some());
        let starting = |view: RunView| matches!(view.phase, Phase::Starting { .. } | Phase::Spawning { .. });
        if !asked && self.core.run(run).is_some_and(|(_, _, _, view)| starting(view)) {
            self.ask_whether_ready(run);
        }
    }

    /// A run that is not ready yet is asked whether it is.
    fn ask_whether_ready(&mut self, run: RunId) {
        let Some(revision) = self.revision_of(run) else { return };
        let policy = &revision.declaration.ready;
        match (&policy.startup, &policy.probe) {
            (Some(probe), _) => {
                let watch = self.watch(run, &revision, Role::Startup, probe);
                self.checks.entry(run).or_default().starting = watch;
            }
            (None, Some(probe)) => {
                let watch = self.watch(run, &revision, Role::Ready, probe);
                self.checks.entry(run).or_default().ready = watch;
            }
            (None, None) => {}
        }
    }

    /// A run that is ready is asked whether it still does its work.
    pub(crate) fn ask_whether_alive(&mut self, run: RunId) {
        self.sample(run);
        self.mark_memory(run);
        let Some(revision) = self.revision_of(run) else { return };
        let app = &revision.declaration;
        if self.checks.get(&run).is_none_or(|checks| checks.ready.is_none())
            && let Some(probe) = &app.ready.probe
        {
            let watch = self.watch(run, &revision, Role::Ready, probe);
            self.checks.entry(run).or_default().ready = watch;
        }
        let live = app.live.probe.as_ref().and_then(|probe| self.watch(run, &revision, Role::Live, probe));
        let checks = self.checks.entry(run).or_default();
        (checks.live, checks.starting) = (live, None);
        let limit = checks.words.watchdog.or(app.live.watchdog.map(|limit| limit.duration()));
        if let Some(listener) = &checks.listener {
            listener.watch(limit.filter(|limit| !limit.is_zero()));
        }
    }

    /// A run that is told to go need not prove anything any more.
    pub(crate) fn ask_no_more(&mut self, run: RunId) {
        self.sample_no_more(run);
        self.alarms.leave(run);
        let Some(checks) = self.checks.get_mut(&run) else { return };
        checks.last_answer = checks.pending_answer().or(checks.last_answer.take());
        (checks.starting, checks.ready, checks.live, checks.words.state) = (None, None, None, None);
        if let Some(listener) = &checks.listener {
            listener.watch(None);
        }
    }

    /// What a run was asked last that was ended because it was not ready; `None`: that is in its end already, or of no
    /// account.
    pub(crate) fn last_answer_before(&self, run: RunId, exit: &Exit) -> Option<String> {
        let late = matches!(exit, Exit::NotReady(_));
        self.checks.get(&run).filter(|_| late)?.last_answer.clone()
    }

    /// Goes on with a run that a predecessor has started.
    pub(crate) fn take_up_checks(&mut self, run: RunView) {
        match run.phase {
            Phase::Starting { .. } => match self.checks.get(&run.run) {
                Some(checks) if checks.words.preloaded => self.ask_whether_ready(run.run),
                _ => self.ask_when_spawned(run.run),
            },
            Phase::Ready { .. } => self.ask_whether_alive(run.run),
            Phase::Spawning { .. }
            | Phase::Draining { .. }
            | Phase::Stopping { .. }
            | Phase::Sweeping { .. } => {}
        }
    }

    fn watch(&self, run: RunId, revision: &Arc<Revision>, role: Role, probe: &Probe) -> Option<Watch> {
        let now = now();
        let (_, worker, _, view) = self.core.run(run)?;
        let target = self.target(worker, revision, view, role)?;
        Some(probe::watch(target, probe, now.mono.since(view.started.mono), self.outlets.answers.clone()))
    }

    fn target(&self, worker: WorkerId, revision: &Revision, run: RunView, role: Role) -> Option<Target> {
        let now = now();
        let app = &revision.declaration;
        let seat = self.core.view(now.mono).find(|seat| seat.worker == worker)?;
        let place = Place::new(app, &seat, Some(run), now.wall, None).without_descriptors();
        Some(Target {
            run: protocol::RunId(run.run.0),
            role,
            reach: self.reach(run.run, app),
            environment: environment(&self.home, &self.settings, revision, &place),
            cwd: revision.cwd().to_string_lossy().into_owned(),
            user: app.user.clone(),
            group: app.group.clone(),
        })
    }

    /// Where a worker itself is asked.
    fn reach(&self, run: RunId, app: &AppDeclaration) -> Reach {
        match app.listen.first() {
            _ if self.checks.get(&run).is_some_and(|checks| checks.words.preloaded) => Reach::HandOver,
            Some(address) => Reach::Listen(address.clone()),
            None => Reach::Port,
        }
    }

    // ---- answers ---------------------------------------------------------------------------------------------

    pub(crate) fn on_answer(&mut self, answer: Outgoing) {
        match answer {
            Outgoing::HandOver { run, socket } => {
                if let Some(channel) = self.channels.get(&RunId(run.0)) {
                    channel.send(ToWorker::Connection { socket });
                }
            }
            Outgoing::Finding(finding) => self.on_finding(finding),
        }
    }

    fn on_finding(&mut self, finding: Finding) {
        let Finding { run, role, passed, answer } = finding;
        let run = RunId(run.0);
        let Some(revision) = self.revision_of(run) else { return };
        match (role, passed) {
            (Role::Startup, true) => match &revision.declaration.ready.probe {
                Some(probe) => {
                    let watch = self.watch(run, &revision, Role::Ready, probe);
                    self.checks.entry(run).or_default().ready = watch;
                }
                None => self.turn(Event::Ready { run }),
            },
            (Role::Startup | Role::Live, false) => self.turn(Event::Unfit { run, why: answer }),
            (Role::Ready, true) => {
                self.checks.entry(run).or_default().words.state = None;
                self.turn(Event::Ready { run });
            }
            (Role::Ready, false) => {
                self.checks.entry(run).or_default().words.state = Some(format!("not ready: {answer}"));
            }
            (Role::Live, true) => {}
        }
    }

    /// Handles what a run has said. Its receipt is signed with the next snapshot, so that no word is lost with us.
    pub(crate) fn on_notes(&mut self, delivery: notify::Delivery) {
        let run = RunId(delivery.run.0);
        if let Some(revision) = self.revision_of(run) {
            for note in delivery.notes {
                self.on_note(run, &revision.declaration, note);
            }
        }
        self.receipts.push(Receipt::Notes(delivery.receipt));
        self.unsaved = true;
    }

    fn on_note(&mut self, run: RunId, app: &AppDeclaration, note: Note) {
        let checks = self.checks.entry(run).or_default();
        match note {
            Note::Ready => {
                checks.words.state = None;
                let asked = app.ready.probe.is_some() || app.ready.startup.is_some();
                if !asked && !tells_by_listening(app) {
                    self.turn(Event::Ready { run });
                }
            }
            Note::Reloading { .. } | Note::Stopping => checks.words.state = Some(note.to_string()),
            Note::Status(text) => checks.words.message = Some(text).filter(|text| !text.is_empty()),
            Note::Failing(_) => checks.words.message = Some(note.to_string()),
            Note::WatchdogLimit(limit) => {
                checks.words.watchdog = Some(limit.unwrap_or_default());
                let ready = |view: RunView| matches!(view.phase, Phase::Ready { .. });
                if self.core.run(run).is_some_and(|(_, _, _, view)| ready(view)) {
                    self.ask_whether_alive(run);
                }
            }
            Note::Trigger | Note::Silent(_) => self.turn(Event::Unfit { run, why: note.to_string() }),
            Note::ExtendTimeout(more) => self.turn(Event::MoreTime { run, more }),
        }
    }
}

/// The name of a socket as sd_notify(3) has it.
fn address(socket: &OwnedFd) -> Option<String> {
    let address: UnixAddr = getsockname(socket.as_raw_fd()).ok()?;
    address.as_abstract().map(|name| format!("@{}", String::from_utf8_lossy(name)))
}

/// Whether a probe that decides about readiness has no address.
fn asks_worker_itself(app: &AppDeclaration) -> bool {
    let probes = [&app.ready.startup, &app.ready.probe].into_iter().flatten();
    probes.into_iter().any(|probe| matches!(probe.check, Check::Http { address: None, .. }))
}
