//! The present state as clients see it: what the core knows, in the words of the API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use supd_api::{
    AppDeclaration, AppView, CgroupUse, DaemonView, EnvironmentView, Exit, ExitView, Fault, JobView, LogView,
    Millis, OversizeView, Progress, Status, Stream, UpgradeView, Watching, WorkerView,
};
use supd_core::{Now, SeatView, State, Wall, WorkerId};

use crate::home::Home;
use crate::logs::{Named, Workers};
use crate::supervisor::care::cgroups::{Unkept, pressure};
use crate::supervisor::now;
use crate::supervisor::runs::environment::{Place, environment};
use crate::supervisor::runs::paths;
use crate::supervisor::targets::{Candidate, meant, resolve};
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::revision::Revision;

impl Shell {
    pub(super) fn daemon_view(&self) -> DaemonView {
        let now = now();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut apps: Vec<_> = self.core.view(now.mono).map(|seat| seat.app).collect();
        let workers = count(apps.len());
        apps.dedup();
        DaemonView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            keeper_pid: self.keeper_facts.pid,
            supervisor_pid: std::process::id().cast_signed(),
            supervisor_restarts: self.keeper_facts.restarts,
            uptime: now.mono.since(self.keeper_facts.since).into(),
            home: self.home.path().to_owned(),
            apps: count(apps.len()),
            workers,
            cgroup: Some(self.cgroup_view()),
            last_upgrade: self.keeper_facts.upgrade.clone().map(|upgrade| UpgradeView {
                attempt: upgrade.attempt,
                from: upgrade.from,
                to: upgrade.to,
                failure: upgrade.failure,
            }),
        }
    }

    /// The workers that these targets name; without targets, all.
    pub(super) fn worker_views(&mut self, targets: &[String]) -> Result<Vec<WorkerView>, Fault> {
        let wanted = self.resolve_or_all(targets)?;
        let now = now();
        let jobs: BTreeMap<WorkerId, JobView> = self.job_views(now.mono).collect();
        let (core, figures) = (&self.core, &mut self.figures);
        let unkept = Unkept::new(self.keeper_facts.pid);
        let mut views = Vec::with_capacity(wanted.len());
        let seats = core.view(now.mono).filter(|seat| wanted.contains(&seat.worker.0));
        figures.look(seats.filter_map(|seat| seat.run.and_then(|run| Some((run.run, run.pid?)))));
        for seat in core.view(now.mono).filter(|seat| wanted.contains(&seat.worker.0)) {
            let Some(revision) = self.revisions.get(&(seat.app.clone(), seat.revision)) else { continue };
            let usage = seat
                .run
                .filter(|run| run.pid.is_some())
                .map(|run| figures.usage(run.run, run.started.mono, now.mono));
            let usage = usage.unwrap_or_default();
            let view = worker(&self.home, revision, &seat, now);
            let files = [&view.out_file, &view.error_file, &view.log_file].map(Option::as_deref);
            let held = || format!("stopped by a signal, does nothing until SIGCONT; {}", view.reason);
            let checks = seat.run.and_then(|run| self.checks.get(&run.run));
            let state = checks.and_then(|checks| match seat.state {
                State::Online => checks.words.state.clone(),
                State::Launching => checks.pending_answer().map(|answer| format!("not ready yet: {answer}")),
                State::Stopping | State::Stopped | State::Errored | State::Waiting | State::Idle => None,
            });
            let job = jobs.get(&seat.worker).cloned();
            let is_due = job.as_ref().is_some_and(|job| job.next.is_some());
            let without = seat.run.filter(|run| run.pid.is_some()).and_then(|run| {
                let revision = self.revisions.get(&(seat.app.clone(), run.revision))?;
                unkept.of(&revision.declaration.cgroup, seat.app, run.run)
            });
            views.push(WorkerView {
                status: if is_due && view.status == Status::Idle { Status::Scheduled } else { view.status },
                job,
                reason: if usage.held { held() } else { state.unwrap_or_else(|| view.reason.clone()) },
                notice: joined(view.notice.clone(), without),
                message: checks.and_then(|checks| checks.words.message.clone()),
                cpu: usage.cpu,
                cpu_time: usage.cpu_time.into(),
                memory: usage.memory,
                watching: self.watches.view(seat.app, &revision.declaration.watch),
                logs: self.carried.view(view.id, files),
                actions: seat.run.map(|run| self.agents.actions(run.run).to_vec()).unwrap_or_default(),
                metrics: seat.run.map(|run| self.agents.metrics(run.run)).unwrap_or_default(),
                ..view
            });
        }
        Ok(views)
    }

    /// The apps that own these workers, with their declarations, the values of variables only if wanted.
    pub(super) fn app_views(&mut self, targets: &[String], values: bool) -> Result<Vec<AppView>, Fault> {
        let mut apps: Vec<AppView> = Vec::new();
        for mut worker in self.worker_views(targets)? {
            worker.cgroup = self.cgroup_use(worker.id);
            match apps.last_mut() {
                Some(app) if app.declaration.name == worker.app => app.workers.push(worker),
                _ => {
                    let name = supd_core::AppName(worker.app.to_string());
                    let Some(id) = self.core.revision(&name) else { continue };
                    let Some(revision) = self.revision(&name, id) else { continue };
                    let declaration = &revision.declaration;
                    let declaration = if values { declaration.clone() } else { without_values(declaration) };
                    let previous_revision = self.core.previous(&name).map(|id| id.0);
                    let rotation = self.settings.rotation_view(&declaration.logs.rotation);
                    let progress = self.core.progress(&name).map(|(done, of)| Progress { done, of });
                    apps.push(AppView {
                        declaration,
                        revision: id.0,
                        previous_revision,
                        rotation,
                        progress,
                        autoscale: self.autoscale_view(&name),
                        next_cron: self.timetable.next_of(&name),
                        workers: vec![worker],
                    });
                }
            }
        }
        Ok(apps)
    }

    /// The control group of a worker, as it is now.
    fn cgroup_use(&self, worker: u32) -> Option<CgroupUse> {
        let seat = self.core.view(now().mono).find(|seat| seat.worker.0 == worker)?;
        let dir = self.cgroup_of(seat.run?.run)?;
        Some(CgroupUse { pressure: pressure(&dir), dir })
    }

    /// What a worker would get if it were started now.
    pub(super) fn environment_view(&self, worker: u32) -> Result<EnvironmentView, Fault> {
        let now = now();
        let wanted = resolve(&[worker.to_string()], &self.candidates())?;
        let seat = self.core.view(now.mono).find(|seat| wanted.contains(&seat.worker.0));
        let found = seat.and_then(|seat| Some((Arc::clone(self.revision(seat.app, seat.revision)?), seat)));
        let (revision, seat) =
            found.ok_or_else(|| crate::supervisor::requests::internal("a worker without declaration"))?;
        let place = Place::new(&revision.declaration, &seat, seat.run, now.wall, self.preload.as_deref());
        let notify = seat.run.and_then(|run| self.checks.get(&run.run)?.address.clone());
        let place = Place { notify, ..place };
        Ok(EnvironmentView {
            worker: seat.worker.0,
            variables: environment(&self.home, &self.settings, &revision, &place),
        })
    }

    pub(super) fn resolve_or_all(&self, targets: &[String]) -> Result<BTreeSet<u32>, Fault> {
        let meant = self.meant_or_all(targets)?;
        let candidates = self.candidates();
        Ok(candidates
            .iter()
            .filter(|candidate| candidate.is_of(&meant))
            .map(|candidate| candidate.worker)
            .collect())
    }

    /// Without targets, every worker is meant, as by `all`: for who only looks or waits there need not be one yet.
    pub(super) fn meant_or_all(&self, targets: &[String]) -> Result<Workers, Fault> {
        match targets.iter().all(|target| target == "all") {
            true => Ok(Workers(vec![Named::All])),
            false => meant(targets, &self.candidates()),
        }
    }

    pub(super) fn candidates(&self) -> Vec<Candidate<'_>> {
        let seats = self.core.view(now().mono);
        let candidate = |seat: SeatView<'_>| {
            let ((app, _), revision) = self.revisions.get_key_value(&(seat.app.clone(), seat.revision))?;
            let declaration = &revision.declaration;
            Some(Candidate {
                worker: seat.worker.0,
                app: &app.0,
                namespace: &declaration.namespace,
                script: &declaration.program.script,
            })
        };
        seats.filter_map(candidate).collect()
    }
}

/// Two things that should be known of an app.
fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

fn worker(home: &Home, revision: &Revision, seat: &SeatView<'_>, now: Now) -> WorkerView {
    let app = &revision.declaration;
    let id = seat.worker.0;
    let up = seat.run.filter(|run| run.pid.is_some());
    let log = |stream| paths::log_file(home, app, id, stream);
    WorkerView {
        id,
        app: app.name.clone(),
        namespace: app.namespace.clone(),
        instance: seat.instance,
        exec_mode: app.exec_mode,
        pid: up.and_then(|run| run.pid).map(|pid| pid.0),
        status: status(seat.state),
        reason: seat.reason.clone(),
        message: None,
        notice: seat.notice.map(str::to_owned),
        watching: Watching::default(),
        revision: seat.revision.0,
        remaining: seat.remaining.map(Millis::from),
        uptime: up.map(|run| now.mono.since(run.started.mono).into()),
        restarts: seat.restarts,
        unstable_restarts: seat.unstable,
        cpu: 0.0,
        cpu_time: Millis::default(),
        memory: 0,
        user: revision.user.clone(),
        version: revision.version.clone(),
        created_at: seat.created.0,
        started_at: seat.run.map(|run| run.started.wall.0),
        last_exit: seat.last_exit.map(|(exit, at, uptime)| exit_view(exit, at, uptime)),
        last_oversize: seat.last_oversize.map(|(why, at)| OversizeView { text: why.to_owned(), at: at.0 }),
        out_file: log(Stream::Out),
        error_file: log(Stream::Err),
        log_file: paths::combined_log_file(home, app, id),
        logs: LogView::default(),
        pid_file: paths::pid_file(home, app, id),
        actions: Vec::new(),
        metrics: Default::default(),
        job: None,
        cgroup: None,
    }
}

fn status(state: State) -> Status {
    match state {
        State::Online => Status::Online,
        State::Launching => Status::Launching,
        State::Stopping => Status::Stopping,
        State::Stopped => Status::Stopped,
        State::Errored => Status::Errored,
        State::Waiting => Status::Waiting,
        State::Idle => Status::Idle,
    }
}

fn exit_view(exit: &supd_core::Exit, at: Wall, uptime: Duration) -> ExitView {
    ExitView { exit: exit_shown(exit), text: ended(exit, uptime), at: at.0 }
}

pub(super) fn exit_shown(exit: &supd_core::Exit) -> Exit {
    match exit {
        supd_core::Exit::Code(code) => Exit::Code(*code),
        supd_core::Exit::Signal(signal) => Exit::Signal(*signal),
        supd_core::Exit::OutOfMemory => Exit::Signal(nix::libc::SIGKILL),
        supd_core::Exit::NotStarted(why) => Exit::NotStarted(why.clone()),
        supd_core::Exit::NotReady(_) | supd_core::Exit::Unfit(_) => Exit::NotStarted(exit.to_string()),
        supd_core::Exit::TimedOut(limit) => Exit::TimedOut((*limit).into()),
        supd_core::Exit::Unknown => Exit::Unknown,
    }
}

/// An end and, where that says something, after what time.
pub(super) fn ended(exit: &supd_core::Exit, uptime: Duration) -> String {
    if exit.was_a_life() { format!("{exit} after {}", spoken(uptime)) } else { exit.to_string() }
}

pub(super) fn spoken(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        s @ 1..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}

fn without_values(declaration: &AppDeclaration) -> AppDeclaration {
    let mut declaration = declaration.clone();
    let layers = declaration.environment.layers.iter_mut();
    for value in layers.flat_map(|layer| layer.variables.values_mut()) {
        *value = "".into();
    }
    declaration
}
