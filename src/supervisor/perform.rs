//! The core's effects, carried out. None is waited for: what it leads to comes back as an event.

use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use supd_core::{AppName, Effect, Event, RevisionId, RunId, What, WorkerId};
use supd_keeper::protocol::{self, DescriptorName, Order, Scope, Step};

use crate::cluster::{Channel, ToWorker};
use crate::supervisor::now;
use crate::supervisor::runs::environment::{Place, environment};
use crate::supervisor::runs::launch::{self, Ends, command, launch};
use crate::supervisor::runs::outputs::Output;
use crate::supervisor::state::ledger::{Entry, Ledger};
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::revision::Revision;
use crate::{notify, resolve};

/// What is to be started.
pub(super) struct Start {
    pub(super) run: RunId,
    pub(super) worker: WorkerId,
    pub(super) app: AppName,
    pub(super) instance: u32,
    pub(super) revision: RevisionId,
}

impl Shell {
    /// Carries one effect out. What is known at once to have failed is returned as the event it leads to.
    pub(super) fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn { run, worker, app, instance, revision } => {
                let failure = self.spawn(&Start { run, worker, app, instance, revision }).err();
                return failure.map(|why| Event::NotStarted { run, why });
            }
            Effect::Watch { run } => {
                self.ports.prove(protocol::RunId(run.0));
                self.ask_whether_alive(run);
            }
            Effect::Drain { run } => return self.drain(run),
            Effect::Stop { run } => self.stop(run),
            Effect::Sweep { run } => {
                self.signal_tree(run, self.stop_signal(run));
                self.signal_tree(run, Signal::SIGCONT);
            }
            Effect::Kill { run } => self.signal_tree(run, Signal::SIGKILL),
            Effect::Forget { run } => self.forget(run),
            Effect::Save => self.requests.save(self.ledger.change()),
            Effect::DropRevision { app, revision } => {
                self.revisions.remove(&(app, revision));
            }
            Effect::Tell(happening) => {
                if let (Some(worker), What::Failed(death) | What::JobFailed(death)) =
                    (happening.worker, &happening.what)
                {
                    self.on_death(worker, &happening.app, death);
                }
                self.events.tell(happening);
            }
            Effect::Idle { app } => {
                self.close_unused_sockets(&app);
                self.counts.tidy(&self.core);
            }
            Effect::Answer { request, results } => {
                self.close_sockets_of_settled(&results);
                self.requests.answer(request, results, &self.ledger);
                self.begin_to_quit();
            }
        }
        None
    }

    fn spawn(&mut self, start: &Start) -> Result<(), String> {
        let lost = "its declaration is lost; this is a defect of supd";
        let revision = Arc::clone(self.revision(&start.app, start.revision).ok_or(lost)?);
        let app = &revision.declaration;
        let sockets = self.sockets_to_inherit(app, start)?;
        self.warn_of_unkept(app, start.run);
        let now = now();
        let seat = self.core.view(now.mono).find(|seat| seat.worker == start.worker).ok_or(lost)?;
        let decided = self.core.run(start.run).map(|(_, _, _, view)| view);
        let place = Place::new(app, &seat, decided, now.wall, self.preload.as_deref());
        let (name, notify) = notify::open(protocol::RunId(start.run.0)).map_err(|error| no_ends(&error))?;
        let place = Place { notify: Some(name), ..place };
        let channel = place.channel;
        let variables = environment(&self.home, &self.settings, &revision, &place);
        let run = protocol::RunId(start.run.0);
        let made =
            launch(run, &revision, variables, sockets, channel, notify).map_err(|error| no_ends(&error))?;
        self.keeper.order(Order::Spawn { run, plan: Box::new(made.plan), keep: made.keep }, made.attached);
        self.attach(start.run, start.worker, &revision, &made.ends, false);
        Ok(())
    }

    /// Follows a run's output and channel. The keeper has duplicates of these ends. `resumed`: a predecessor has
    /// followed them before.
    pub(super) fn attach(
        &mut self,
        run: RunId,
        worker: WorkerId,
        revision: &Revision,
        ends: &Ends,
        resumed: bool,
    ) {
        let output = Output::new(&self.home, &revision.declaration, worker.0);
        self.follow(run, output, &ends.out, &ends.err, resumed);
        self.listen_to(run, revision, ends);
        self.inputs.extend(ends.stdin.iter().map(|end| (run, Arc::clone(end))));
        if let Some(end) = &ends.channel {
            let opened = end
                .try_clone()
                .and_then(|end| Channel::open(protocol::RunId(run.0), end, self.outlets.deliveries.clone()));
            match opened {
                Ok(channel) => drop(self.channels.insert(run, channel)),
                Err(error) => tracing::error!("run {run}: its channel cannot be opened: {error}"),
            }
        }
    }

    /// Tells a run to accept nothing more. One that cannot be told any more has nothing to finish.
    fn drain(&mut self, run: RunId) -> Option<Event> {
        self.ask_no_more(run);
        // What it closes from now on others still use.
        self.ports.leave(protocol::RunId(run.0));
        match self.channels.get(&run) {
            Some(channel) => {
                let by_message =
                    self.revision_of(run).is_some_and(|it| it.declaration.stop.shutdown_with_message);
                let word = if by_message { ToWorker::DisconnectAndShutdown } else { ToWorker::Disconnect };
                channel.send(word);
                None
            }
            None => Some(Event::Drained { run }),
        }
    }

    /// Asks a run to go, in the way its declaration says.
    fn stop(&mut self, run: RunId) {
        self.ask_no_more(run);
        let Some(revision) = self.revision_of(run) else { return self.signal_tree(run, Signal::SIGTERM) };
        let policy = &revision.declaration.stop;
        let scope = if policy.treekill { Scope::Tree } else { Scope::Main };
        match self.channels.get(&run).filter(|_| policy.shutdown_with_message) {
            Some(channel) => channel.send(ToWorker::Shutdown),
            None => self.signal(run, self.stop_signal(run), scope),
        }
        // One that was stopped (SIGSTOP) hears of it only when it goes on, as systemd.kill(5) does it too.
        self.signal(run, Signal::SIGCONT, scope);
    }

    fn stop_signal(&self, run: RunId) -> Signal {
        let named =
            self.revision_of(run).and_then(|revision| revision.declaration.stop.kill_signal.parse().ok());
        named.unwrap_or(Signal::SIGTERM)
    }

    fn signal_tree(&mut self, run: RunId, signal: Signal) {
        self.signal(run, signal, Scope::Tree);
    }

    pub(super) fn signal(&mut self, run: RunId, signal: Signal, scope: Scope) {
        let order = Order::Signal { run: protocol::RunId(run.0), signal: signal as i32, scope };
        self.keeper.order(order, Vec::new());
    }

    fn forget(&mut self, run: RunId) {
        let kept = protocol::RunId(run.0);
        self.channels.remove(&run);
        self.inputs.remove(&run);
        self.agents.forget(run);
        self.checks.remove(&run);
        self.ports.release(kept);
        self.figures.forget(run);
        self.alarms.leave(run);
        self.let_ebb(run);
    }

    /// Why a start failed, in words that name the thing.
    pub(super) fn why_not_started(&self, run: RunId, step: Step, errno: i32) -> String {
        let errno = Errno::from_raw(errno);
        let Some(revision) = self.revision_of(run) else { return format!("{step:?}: {}", errno.desc()) };
        let app = &revision.declaration;
        let (program, _) = command(&revision);
        match (step, errno) {
            (Step::User, Errno::ENOENT) => {
                format!("there is no user `{}`", app.user.as_deref().unwrap_or_default())
            }
            (Step::Group, Errno::ENOENT) => {
                format!("there is no group `{}`", app.group.as_deref().unwrap_or_default())
            }
            (Step::Chdir, errno) => {
                format!("its working directory {}: {}", revision.cwd().display(), errno.desc())
            }
            (Step::Exec, Errno::ENOENT)
                if program.contains('/') && std::path::Path::new(&program).exists() =>
            {
                format!("{program}: the interpreter in its first line does not exist")
            }
            (Step::Exec, Errno::ENOENT) => {
                let path = resolve::search_path(&revision.base, &app.environment);
                resolve::missing(&program, path, revision.cwd()).to_string()
            }
            (Step::Exec, errno) => format!("{program}: {}", errno.desc()),
            (Step::Credentials, errno) => {
                format!(
                    "it cannot become user `{}`: {}",
                    app.user.as_deref().unwrap_or_default(),
                    errno.desc()
                )
            }
            (Step::OomScore, errno) => {
                let score = app.process.oom_score_adj.unwrap_or_default();
                format!("its oom_score_adj cannot be {score}: {}", errno.desc())
            }
            (Step::Nice, errno) => {
                format!("its nice value cannot be {}: {}", app.process.nice.unwrap_or_default(), errno.desc())
            }
            (Step::Limit(kept), errno) => {
                let limit = app.process.rlimits.iter().find(|(resource, _)| launch::kept(**resource) == kept);
                let text =
                    limit.map(|(resource, limit)| format!("`{}` cannot be {limit}", resource.as_str()));
                format!("its limit {}: {}", text.unwrap_or_default(), errno.desc())
            }
            (Step::Capabilities, errno) => {
                let names: Vec<&str> = app.process.capabilities.iter().map(|it| it.as_str()).collect();
                format!("it cannot have the capabilities {}: {}", names.join(", "), errno.desc())
            }
            (Step::Privileges, errno) => format!("no_new_privs: {}", errno.desc()),
            (Step::Cgroup, errno) => {
                format!("its control group, with {}: {}", launch::asked(app), errno.desc())
            }
            (Step::Fork, errno) => format!("no process could be made: {}", errno.desc()),
            (Step::Session | Step::Descriptors | Step::User | Step::Group, errno) => {
                format!("{}: {}", format!("{step:?}").to_lowercase(), errno.desc())
            }
        }
    }

    // ---- what is entrusted -----------------------------------------------------------------------------------

    pub(super) fn entrusted(&self) -> Ledger {
        let entries = self.core.entrusted().filter_map(|(app, id, previous, seats)| {
            let revision = self.revision(app, id)?;
            let previous = previous.and_then(|id| self.revision(app, id)).map(Arc::clone);
            let counts_from = self.timetable.since_of(app).filter(|_| self.catches_up(app));
            Some(Entry::new(Arc::clone(revision), previous, &seats, counts_from))
        });
        Ledger::new(entries.collect())
    }

    /// The declaration by which a run was started.
    pub(super) fn revision_of(&self, run: RunId) -> Option<Arc<Revision>> {
        let (app, _, _, view) = self.core.run(run)?;
        self.revision(app, view.revision).cloned()
    }

    /// A version of an app's declaration that somebody still refers to.
    pub(super) fn revision(&self, app: &AppName, id: RevisionId) -> Option<&Arc<Revision>> {
        self.revisions.get(&(app.clone(), id))
    }

    /// Hands a listening socket to the keeper, which outlives us.
    pub(super) fn store(&mut self, name: DescriptorName, socket: &Arc<std::os::fd::OwnedFd>) {
        self.keeper.order(Order::Store { name }, vec![Arc::clone(socket)]);
    }
}

/// Why its pipes and sockets could not be made: most likely there is no room for descriptors (EMFILE).
fn no_ends(error: &std::io::Error) -> String {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    format!("pipes for its output: {}", errno.desc())
}
