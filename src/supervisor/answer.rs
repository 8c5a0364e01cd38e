//! Calls of clients, answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::sys::signal::Signal;
use supd_api::{Accepted, AppName, Fault, FaultCode, Instances, ScaleTo, Stream, WorkerOutcome};
use supd_core::{Event, RequestId, WorkerId};
use supd_keeper::protocol::Scope;

use crate::logs::{Filter, Request, Streams, Subscription, TailFile};
use crate::supervisor::call::{Call, LogQuery, Pace, Reply, Verb, WhichRun};
use crate::supervisor::now;
use crate::supervisor::runs::outputs::sinks_that_nobody_sees;
use crate::supervisor::runs::paths;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::reload::reloads_that_are_restarts;
use crate::supervisor::versions::revision::Revision;

impl Shell {
    /// Answers a call, now or when its outcome is known. A client that is gone does not want the answer.
    pub(super) fn on_call(&mut self, call: Call) {
        match call {
            Call::Daemon(reply) => drop(reply.send(Ok(self.daemon_view()))),
            Call::Scene(reply) => drop(reply.send(self.scene())),
            Call::Health(question, targets, reply) => drop(reply.send(self.health(question, &targets))),
            Call::Workers(targets, reply) => drop(reply.send(self.worker_views(&targets))),
            Call::Apps { targets, values, reply } => drop(reply.send(self.app_views(&targets, values))),
            Call::Environment(worker, reply) => drop(reply.send(self.environment_view(worker))),
            Call::Crashes(targets, reply) => drop(reply.send(self.wreckage(&targets))),
            Call::Logs { query, reply } => drop(reply.send(self.subscribe(&query))),
            Call::Flush(targets, reply) => drop(reply.send(self.flush(&targets))),
            Call::Reopen(reply) => {
                self.logs.reopen();
                drop(reply.send(Ok(Accepted::default())));
            }
            Call::Reset(targets, reply) => drop(reply.send(self.reset(&targets))),
            Call::Hooks(reply) => drop(reply.send(Ok(self.hook_views()))),
            Call::TestHook(name, reply) => self.test_hook(&name, reply),
            Call::Unwatch(targets, reply) => self.unwatch(&targets, reply),
            Call::Settings(reply) => drop(reply.send(Ok(self.settings_view()))),
            Call::ChangeSettings(change, reply) => self.change_settings(change, reply),
            Call::Signal { targets, signal, reply } => {
                drop(reply.send(self.signal_workers(&targets, signal)))
            }
            Call::Input(request, reply) => drop(reply.send(self.write_input(&request))),
            Call::Message(request, reply) => self.message(request, reply),
            Call::Trigger(request, reply) => self.trigger(&request, reply),
            Call::Apply { revisions, gently, pace, reply } => self.apply(revisions, gently, pace, reply),
            Call::Compare(apps, reply) => self.compare(apps, reply),
            Call::ApplyChanges { revisions, pace, reply } => self.apply_changes(revisions, pace, reply),
            Call::Run(targets, pace, reply) => self.run_jobs(&targets, pace, reply),
            Call::Act(verb, targets, reply) => self.act(verb, &targets, reply),
            Call::Reload { targets, pace, reply } => self.reload(&targets, pace, reply),
            Call::Found { apps, then, reply } => self.go_on(apps, then, reply),
            Call::Rollback { targets, pace, reply } => self.rollback(&targets, pace, reply),
            Call::Events { query, reply } => drop(reply.send(self.follow_events(&query))),
            Call::Scale(app, to, reply) => self.scale(&app, to, reply),
            Call::Stop(reply) => self.stop_everything(Some(reply)),
            Call::Upgrade(binary, reply) => self.begin_upgrade(binary, reply),
            Call::Await(requests, reply) => self.requests.claim(&requests, reply, &self.ledger),
        }
        self.answer_if_leaving();
    }

    pub(super) fn apply(
        &mut self,
        mut revisions: Vec<Revision>,
        gently: bool,
        pace: Pace,
        reply: Reply<Accepted>,
    ) {
        revisions.iter_mut().for_each(|revision| self.adopt(revision));
        let revisions = match self.admit(revisions, |revision| revision) {
            Ok(revisions) => revisions,
            Err(refusal) => return refusal.tell(reply),
        };
        // What is new is started, and nothing of it is reloaded.
        let known = |revision: &&Revision| {
            let app = supd_core::AppName(revision.declaration.name.to_string());
            gently && self.core.revision(&app).is_some()
        };
        let mut warnings = reloads_that_are_restarts(revisions.iter().filter(known));
        warnings.extend(sinks_that_nobody_sees(revisions.iter().map(|revision| &revision.declaration)));
        let requests: Vec<RequestId> = revisions.iter().map(|_| self.new_request()).collect();
        self.wait(&requests, warnings, pace, reply);
        for (request, revision) in requests.into_iter().zip(revisions) {
            let app = supd_core::AppName(revision.declaration.name.to_string());
            let timeout = pace.timeout;
            let current = self.core.revision(&app).and_then(|id| self.revision(&app, id));
            if gently && current.is_some_and(|current| **current == revision) {
                // Nothing new: a rollback shall still lead to what was different, and a changed scale stays.
                self.turn(Event::Reload { request, app, timeout });
                continue;
            }
            let (revision, spec) = self.add_revision(&app, Arc::new(revision));
            self.turn(Event::Apply { request, app, revision, spec, gently, timeout });
        }
    }

    fn act(&mut self, verb: Verb, targets: &[String], reply: Reply<Accepted>) {
        let resolved = self.refuse_while_halting().and_then(|()| self.resolve(targets));
        let workers: Vec<WorkerId> = match resolved {
            Ok(workers) => workers.into_iter().map(WorkerId).collect(),
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let request = self.new_request();
        let event = match verb {
            Verb::Start => Event::Start { request, workers },
            Verb::Stop => Event::Stop { request, workers },
            Verb::Restart => return self.restart(workers, reply),
            Verb::Delete => Event::Delete { request, workers },
        };
        self.requests.wait(&[request], Vec::new(), reply);
        self.turn(event);
    }

    fn scale(&mut self, name: &AppName, to: ScaleTo, reply: Reply<Accepted>) {
        let app = supd_core::AppName(name.to_string());
        let present = self.core.view(now().mono).filter(|seat| *seat.app == app).count();
        let present = u32::try_from(present).unwrap_or(u32::MAX);
        let count = match to {
            ScaleTo::Count(count) => count,
            ScaleTo::Up(more) => present.saturating_add(more),
            ScaleTo::Down(fewer) => present.saturating_sub(fewer),
        };
        let possible = self.refuse_while_halting().and_then(|()| match count {
            _ if self.core.is_job(&app) => {
                Err(Fault::new(FaultCode::Invalid, format!("{name} is a job, which has one worker")))
            }
            _ if present == 0 => self.resolve(&[name.to_string()]).map(drop),
            0 => Err(Fault::new(FaultCode::Invalid, format!("{name} cannot have 0 workers"))
                .hint(format!("`supctl stop {name}` or `supctl delete {name}`"))),
            count if count > Instances::LIMIT => Err(Fault::new(
                FaultCode::Invalid,
                format!("{count} workers; at most {} are allowed", Instances::LIMIT),
            )),
            _ => self.refuse_beyond_bounds(&app, count),
        });
        if let Err(fault) = possible {
            return drop(reply.send(Err(fault)));
        }
        let request = self.new_request();
        self.requests.wait(&[request], Vec::new(), reply);
        self.turn(Event::Scale { request, app, count });
    }

    fn reset(&mut self, targets: &[String]) -> Result<Accepted, Fault> {
        let wanted = self.resolve(targets)?;
        let mut accepted = Accepted::default();
        for seat in self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0)) {
            if let Ok(app) = AppName::new(seat.app.0.clone()) {
                accepted.workers.push(WorkerOutcome { id: seat.worker.0, app, failure: None, exit: None });
            }
        }
        self.turn(Event::Reset { workers: wanted.into_iter().map(WorkerId).collect() });
        Ok(accepted)
    }

    fn signal_workers(&mut self, targets: &[String], signal: i32) -> Result<Accepted, Fault> {
        let wanted = self.resolve(targets)?;
        let signal = Signal::try_from(signal)
            .map_err(|_| Fault::new(FaultCode::Invalid, format!("there is no signal {signal}")))?;
        let seats: Vec<_> = self
            .core
            .view(now().mono)
            .filter(|seat| wanted.contains(&seat.worker.0))
            .map(|seat| (seat.worker, seat.app.clone(), seat.run))
            .collect();
        let mut accepted = Accepted::default();
        for (worker, app, run) in seats {
            if let Some(run) = run {
                self.crashes.note_signal(run.run, signal as i32);
                self.signal(run.run, signal, Scope::Main);
            }
            let failure = run.is_none().then(|| "it does not run".to_owned());
            if let Ok(app) = AppName::new(app.0) {
                accepted.workers.push(WorkerOutcome { id: worker.0, app, failure, exit: None });
            }
        }
        Ok(accepted)
    }

    fn flush(&mut self, targets: &[String]) -> Result<Accepted, Fault> {
        let wanted = self.resolve_or_all(targets)?;
        let seats = self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0));
        let mut files = BTreeSet::new();
        for seat in seats {
            let Some(revision) = self.revision(seat.app, seat.revision) else { continue };
            let app = &revision.declaration;
            let own = |stream| paths::log_file(&self.home, app, seat.worker.0, stream);
            files.extend(own(Stream::Out).into_iter().chain(own(Stream::Err)));
            files.extend(paths::combined_log_file(&self.home, app, seat.worker.0));
        }
        self.logs.flush(files.into_iter().collect());
        Ok(Accepted::default())
    }

    fn subscribe(&mut self, query: &LogQuery) -> Result<Subscription, Fault> {
        let wanted = self.resolve_or_all(&query.targets)?;
        let workers = self.meant_or_all(&query.targets)?;
        let streams = match query.stream {
            None => Streams::Both,
            Some(Stream::Out) => Streams::Out,
            Some(Stream::Err) => Streams::Err,
        };
        let mut files = self.log_files(&wanted, query.stream);
        match query.run {
            None => {}
            Some(WhichRun::This) => {
                for file in &mut files {
                    file.extent = file.worker.and_then(|worker| self.extents.latest(worker, file.stream));
                }
            }
            Some(WhichRun::Previous) => {
                for file in &mut files {
                    file.extent = file.worker.and_then(|worker| self.extents.previous(worker, file.stream));
                }
                files.retain(|file| file.extent.is_some());
                if files.is_empty() {
                    return Err(no_previous_run());
                }
            }
        }
        let (filter, wanted) = (Filter { workers, streams }, query.wanted.clone());
        Ok(self.logs.subscribe(Request { filter, wanted, follow: query.follow, files }))
    }

    fn log_files(&self, wanted: &BTreeSet<u32>, only: Option<Stream>) -> Vec<TailFile> {
        let mut files = Vec::new();
        for seat in self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0)) {
            let Some(revision) = self.revision(seat.app, seat.revision) else { continue };
            let app = &revision.declaration;
            for stream in [Stream::Out, Stream::Err]
                .into_iter()
                .filter(|stream| only.is_none_or(|only| only == *stream))
            {
                if let Some(path) = paths::log_file(&self.home, app, seat.worker.0, stream) {
                    let (app, worker) = (app.name.clone(), Some(seat.worker.0));
                    files.push(TailFile { path, app, worker, stream, extent: None });
                }
            }
        }
        files
    }

    pub(super) fn resolve(&self, targets: &[String]) -> Result<BTreeSet<u32>, Fault> {
        if targets.is_empty() {
            return Err(
                Fault::new(FaultCode::Invalid, "no target is given").hint("name an app, an id, or `all`")
            );
        }
        crate::supervisor::targets::resolve(targets, &self.candidates())
    }

    pub(super) fn refuse_while_halting(&self) -> Result<(), Fault> {
        let halting = || Fault::new(FaultCode::Conflict, "supd is being stopped");
        if self.core.is_halting() { Err(halting()) } else { Ok(()) }
    }
}

fn no_previous_run() -> Fault {
    Fault::new(FaultCode::NotFound, "no run that has ended is known, or it wrote into no file")
        .hint("runs are known since the daemon was started; `supctl logs --nostream --lines 100` shows what the files hold")
}
