//! Reload and rollback: whole apps are moved, and clients may wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use supd_api::{Accepted, Fault, FaultCode, Instances};
use supd_core::{AppName, Event, RequestId, WorkerId};

use super::accept::accept_again;
use super::call::{Call, Pace, Reply};
use super::now;
use super::requests::internal;
use super::revision::Revision;
use super::spec::overlaps;
use super::turn::Shell;

impl Shell {
    /// First finds out, beside the loop, where each app's links lead now.
    pub(super) fn reload(&mut self, targets: &[String], pace: Pace, reply: Reply<Accepted>) {
        let apps = match self.apps_of(targets) {
            Ok(apps) => apps,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
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
                Ok(apps) => drop(calls.send(Call::Found { apps, pace, reply }).await),
                Err(_) => drop(reply.send(Err(internal("a release could not be looked at")))),
            }
        });
    }

    /// The second half of [`Shell::reload`].
    pub(super) fn reload_found(
        &mut self,
        apps: Vec<(AppName, Option<Revision>)>,
        pace: Pace,
        reply: Reply<Accepted>,
    ) {
        if let Err(fault) = self.refuse_while_halting() {
            return drop(reply.send(Err(fault)));
        }
        let current = apps.iter().filter_map(|(app, _)| self.revision(app, self.core.revision(app)?));
        let warnings = reloads_that_are_restarts(current.map(Arc::as_ref));
        let requests: Vec<RequestId> = apps.iter().map(|_| self.new_request()).collect();
        self.wait(&requests, warnings, pace, reply);
        let timeout = pace.timeout;
        for (request, (app, moved)) in requests.into_iter().zip(apps) {
            match moved {
                None => self.turn(Event::Reload { request, app, timeout }),
                Some(mut revision) => {
                    // As many as there are now, whatever the declaration said.
                    revision.declaration.instances = Instances::Count(self.seats_of(&app));
                    let (revision, spec) = self.add_revision(&app, Arc::new(revision));
                    self.turn(Event::Apply { request, app, revision, spec, gently: true, timeout });
                }
            }
        }
    }

    pub(super) fn rollback(&mut self, targets: &[String], pace: Pace, reply: Reply<Accepted>) {
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
    pub(super) fn wait(
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
    fn apps_of(&self, targets: &[String]) -> Result<BTreeSet<AppName>, Fault> {
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
pub(super) fn reloads_that_are_restarts<'a>(revisions: impl Iterator<Item = &'a Revision>) -> Vec<String> {
    let alone = revisions.filter(|revision| !overlaps(&revision.declaration));
    let text = |revision: &Revision| {
        let name = &revision.declaration.name;
        format!(
            "{name} opens its port itself, so its reload is a restart, one worker at a time; `listen`, cluster mode or `reuse_port` avoids the gap"
        )
    };
    alone.map(text).collect()
}
