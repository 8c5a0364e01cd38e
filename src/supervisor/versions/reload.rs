//! Reload and rollback: whole apps are moved, and clients may wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use supd_api::{Accepted, Fault, FaultCode, Instances};
use supd_core::{AppName, Event, RequestId, WorkerId};

use crate::supervisor::call::{Call, Found, Pace, Reply, Then};
use crate::supervisor::now;
use crate::supervisor::requests::internal;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::accept::accept_again;
use crate::supervisor::versions::revision::Revision;
use crate::supervisor::versions::spec::overlaps;

impl Shell {
    pub(crate) fn reload(&mut self, targets: &[String], pace: Pace, reply: Reply<Accepted>) {
        match self.apps_of(targets) {
            Ok(apps) => self.look(apps, Then::Reload(pace), reply),
            Err(fault) => drop(reply.send(Err(fault))),
        }
    }

    /// An app all of whose workers are restarted follows its links; one of which some workers stay does not.
    pub(crate) fn restart(&mut self, workers: Vec<WorkerId>, reply: Reply<Accepted>) {
        let seats: Vec<_> = self.core.view(now().mono).map(|seat| (seat.app.clone(), seat.worker)).collect();
        let stays =
            |app: &AppName| seats.iter().any(|(other, worker)| other == app && !workers.contains(worker));
        let apps = seats.iter().map(|(app, _)| app).filter(|app| !stays(app)).cloned().collect();
        self.look(apps, Then::Restart(workers), reply);
    }

    /// Finds out, beside the loop, where each app's links lead now.
    fn look(&self, apps: BTreeSet<AppName>, then: Then, reply: Reply<Accepted>) {
        let current = |app: AppName| {
            let revision = self.core.revision(&app).and_then(|id| self.revision(&app, id)).cloned()?;
            Some((app, revision))
        };
        let current: Vec<_> = apps.into_iter().filter_map(current).collect();
        let calls = self.outlets.calls.clone();
        tokio::spawn(async move {
            let look = |(app, revision): (AppName, Arc<Revision>)| (app, accept_again(&revision));
            let found = tokio::task::spawn_blocking(move || current.into_iter().map(look).collect());
            match found.await {
                // The loop may have ended.
                Ok(apps) => drop(calls.send(Call::Found { apps, then, reply }).await),
                Err(_) => drop(reply.send(Err(internal("a release could not be looked at")))),
            }
        });
    }

    /// Does what [`Shell::look`] was for.
    pub(crate) fn go_on(&mut self, apps: Vec<Found>, then: Then, reply: Reply<Accepted>) {
        if let Err(fault) = self.refuse_while_halting() {
            return drop(reply.send(Err(fault)));
        }
        match then {
            Then::Reload(pace) => self.reload_found(apps, pace, reply),
            Then::Restart(workers) => self.restart_found(apps, workers, reply),
        }
    }

    fn reload_found(&mut self, apps: Vec<Found>, pace: Pace, reply: Reply<Accepted>) {
        let current = apps.iter().filter_map(|(app, _)| self.revision(app, self.core.revision(app)?));
        let warnings = reloads_that_are_restarts(current.map(Arc::as_ref));
        let requests: Vec<RequestId> = apps.iter().map(|_| self.new_request()).collect();
        self.wait(&requests, warnings, pace, reply);
        let timeout = pace.timeout;
        for (request, (app, moved)) in requests.into_iter().zip(apps) {
            match moved {
                None => self.turn(Event::Reload { request, app, timeout }),
                Some(revision) => self.apply_found(request, app, revision, true, timeout),
            }
        }
    }

    fn restart_found(&mut self, apps: Vec<Found>, mut workers: Vec<WorkerId>, reply: Reply<Accepted>) {
        let moved: Vec<_> = apps.into_iter().filter_map(|(app, moved)| Some((app, moved?))).collect();
        let of_moved: Vec<WorkerId> = self
            .core
            .view(now().mono)
            .filter(|seat| moved.iter().any(|(app, _)| app == seat.app))
            .map(|seat| seat.worker)
            .collect();
        workers.retain(|worker| !of_moved.contains(worker));
        let requests: Vec<RequestId> = (0..=moved.len()).map(|_| self.new_request()).collect();
        self.requests.wait(&requests, Vec::new(), reply);
        let mut requests = requests.into_iter();
        for ((app, revision), request) in moved.into_iter().zip(&mut requests) {
            self.apply_found(request, app, revision, false, None);
        }
        for request in requests {
            self.turn(Event::Restart { request, workers: std::mem::take(&mut workers) });
        }
    }

    fn apply_found(
        &mut self,
        request: RequestId,
        app: AppName,
        mut revision: Revision,
        gently: bool,
        timeout: Option<Duration>,
    ) {
        // As many as there are now, whatever the declaration said.
        revision.declaration.instances = Instances::Count(self.seats_of(&app));
        let (revision, spec) = self.add_revision(&app, Arc::new(revision));
        self.turn(Event::Apply { request, app, revision, spec, gently, timeout });
    }

    pub(crate) fn rollback(&mut self, targets: &[String], pace: Pace, reply: Reply<Accepted>) {
        let apps = self.apps_of(targets).and_then(|apps| {
            match apps.iter().find(|app| self.core.previous(app).is_none()) {
                Some(app) => Err(Fault::new(FaultCode::Conflict, format!("{app} has no earlier version"))
                    .hint("there is one after a reload or start has changed its declaration or its release")),
                None => Ok(apps),
            }
        });
        let apps = match apps {
            Ok(apps) => apps,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let requests: Vec<RequestId> = apps.iter().map(|_| self.new_request()).collect();
        self.wait(&requests, Vec::new(), pace, reply);
        for (request, app) in requests.into_iter().zip(apps) {
            self.turn(Event::Rollback { request, app, timeout: pace.timeout });
        }
    }

    /// Lets a client wait for these requests, or answers it at once.
    pub(crate) fn wait(
        &mut self,
        requests: &[RequestId],
        warnings: Vec<String>,
        pace: Pace,
        reply: Reply<Accepted>,
    ) {
        if pace.no_wait {
            return drop(reply.send(Ok(Accepted { warnings, ..Accepted::default() })));
        }
        self.requests.wait(requests, warnings, reply);
    }

    /// The whole apps that targets name.
    pub(crate) fn apps_of(&self, targets: &[String]) -> Result<BTreeSet<AppName>, Fault> {
        self.refuse_while_halting()?;
        let wanted = self.resolve(targets)?;
        let view = self.core.view(now().mono);
        Ok(view.filter(|seat| wanted.contains(&seat.worker.0)).map(|seat| seat.app.clone()).collect())
    }

    fn seats_of(&self, app: &AppName) -> u32 {
        let seats: BTreeSet<WorkerId> =
            self.core.view(now().mono).filter(|seat| seat.app == app).map(|seat| seat.worker).collect();
        u32::try_from(seats.len()).unwrap_or(u32::MAX).max(1)
    }
}

/// A warning for each app that cannot have two processes of one worker.
pub(crate) fn reloads_that_are_restarts<'a>(revisions: impl Iterator<Item = &'a Revision>) -> Vec<String> {
    let is_moved = |revision: &&Revision| {
        // A job has nothing to be moved.
        !overlaps(&revision.declaration) && revision.declaration.job.is_none()
    };
    let alone = revisions.filter(is_moved);
    let text = |revision: &Revision| {
        let name = &revision.declaration.name;
        format!(
            "the reload of {name} is a restart, one worker at a time: in fork mode without `listen`, old and new cannot share a port; declare `listen`, use cluster mode, or set `reuse_port` if it needs no port or shares it itself"
        )
    };
    alone.map(text).collect()
}
