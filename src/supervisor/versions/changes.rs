//! Making apps as declared by changing only what differs, and telling beforehand what that would be.

use std::sync::Arc;

use supd_api::{Accepted, Acts, AppDifference, Difference, Step};
use supd_core::{AppName, Event, RequestId, RevisionId, State};

use crate::supervisor::call::{Accepting, Pace, Reply};
use crate::supervisor::now;
use crate::supervisor::runs::outputs::sinks_that_nobody_sees;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::difference::changes;
use crate::supervisor::versions::reload::reloads_that_are_restarts;
use crate::supervisor::versions::revision::Revision;

/// What is there of an app.
struct Present {
    revision: Arc<Revision>,
    workers: usize,
    stopped: bool,
}

impl Shell {
    /// What applying these would change. Declarations may be large, so they are compared beside the loop.
    pub(crate) fn compare(&self, apps: Vec<Accepting>, reply: Reply<Vec<AppDifference>>) {
        let seen = |(app, accepted): Accepting| {
            let adopted = accepted.map(|mut revision| {
                self.adopt(&mut revision);
                revision
            });
            (self.present(&app), app, adopted)
        };
        let apps: Vec<_> = apps.into_iter().map(seen).collect();
        tokio::task::spawn_blocking(move || {
            let compared = apps.into_iter().map(|(present, app, adopted)| match adopted {
                Ok(revision) => difference(present.as_ref(), &revision),
                Err(fault) => {
                    let changes = Vec::new();
                    AppDifference { app, step: Step::Nothing, changes, stopped: false, refusal: Some(fault) }
                }
            });
            // Who has gone meanwhile does not want it.
            let _ = reply.send(Ok(compared.collect()));
        });
    }

    fn present(&self, name: &supd_api::AppName) -> Option<Present> {
        let app = AppName(name.to_string());
        let revision = self.core.revision(&app).and_then(|id| self.revision(&app, id)).cloned()?;
        let states: Vec<State> =
            self.core.view(now().mono).filter(|seat| *seat.app == app).map(|seat| seat.state).collect();
        let stopped = states.iter().all(|state| *state == State::Stopped);
        Some(Present { revision, workers: states.len(), stopped })
    }

    /// Does it. What needs nothing is not part of the answer.
    pub(crate) fn apply_changes(&mut self, mut revisions: Vec<Revision>, pace: Pace, reply: Reply<Accepted>) {
        revisions.iter_mut().for_each(|revision| self.adopt(revision));
        let step = |new: &Revision| difference(self.present(&new.declaration.name).as_ref(), new).step;
        let steps = revisions.into_iter().map(|revision| (step(&revision), revision));
        let steps: Vec<(Step, Revision)> = steps.filter(|(step, _)| *step != Step::Nothing).collect();
        if steps.is_empty() {
            return drop(reply.send(Ok(Accepted::default())));
        }
        let steps = match self.admit(steps, |(_, revision)| revision) {
            Ok(steps) => steps,
            Err(refusal) => return refusal.tell(reply),
        };
        let reloaded = steps.iter().filter(|(step, _)| *step == Step::Reload);
        let mut warnings = reloads_that_are_restarts(reloaded.map(|(_, revision)| revision));
        warnings.extend(sinks_that_nobody_sees(steps.iter().map(|(_, revision)| &revision.declaration)));
        let requests: Vec<RequestId> = steps.iter().map(|_| self.new_request()).collect();
        self.wait(&requests, warnings, pace, reply);
        for (request, (step, revision)) in requests.into_iter().zip(steps) {
            let app = AppName(revision.declaration.name.to_string());
            match step {
                Step::Nothing => {}
                Step::Amend => self.amend(request, app, revision),
                Step::Start | Step::Reload => {
                    let (revision, spec) = self.add_revision(&app, Arc::new(revision));
                    let (gently, timeout) = (true, pace.timeout);
                    self.turn(Event::Apply { request, app, revision, spec, gently, timeout });
                }
            }
        }
    }

    fn amend(&mut self, request: RequestId, app: AppName, mut revision: Revision) {
        let runs = self.core.runs().any(|(name, ..)| *name == app);
        if let Some(old) = self.core.revision(&app).and_then(|id| self.revision(&app, id)).filter(|_| runs) {
            // What was no part of the comparison must not change behind the back of those who run.
            revision.declaration.environment = old.declaration.environment.clone();
            revision.base = old.base.clone();
        }
        let rotation = revision.declaration.logs.rotation.clone();
        let outputs = self.outputs.values_mut().filter(|output| output.app.as_str() == app.0);
        outputs.for_each(|output| output.declare_rotation(&rotation));
        let (revision, spec) = self.add_revision(&app, Arc::new(revision));
        self.turn(Event::Amend { request, app: app.clone(), revision, spec });
        self.rotate_anew();
        self.sample_anew(&app);
        self.bound_anew(&app);
    }

    /// What a version has changed against the latest one before it that is still known.
    pub(crate) fn changed_by(&self, app: &AppName, revision: RevisionId) -> Option<Difference> {
        let known = [self.core.revision(app), self.core.proven(app), self.core.previous(app)];
        let since = known.into_iter().flatten().filter(|id| *id < revision).max()?;
        let (old, new) = (self.revision(app, since)?, self.revision(app, revision)?);
        Some(Difference { since: since.0, changes: changes(old, new, None) })
    }
}

/// What it takes from what is there to this version.
fn difference(present: Option<&Present>, new: &Revision) -> AppDifference {
    let name = new.declaration.name.clone();
    let made = |step, changes, stopped| AppDifference { app: name, step, changes, stopped, refusal: None };
    let Some(old) = present else { return made(Step::Start, Vec::new(), false) };
    let changes = changes(&old.revision, new, u32::try_from(old.workers).ok());
    let at_once = || changes.iter().all(|change| change.acts == Acts::AtOnce);
    let step = match changes.is_empty() {
        true => Step::Nothing,
        // Where nothing runs nothing need be replaced: the next start takes the new version.
        false if old.stopped || at_once() => Step::Amend,
        false => Step::Reload,
    };
    made(step, changes, old.stopped)
}
