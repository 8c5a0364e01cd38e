//! How often did something happen that leaves no other trace?
//!
//! Counted from what the core tells; survives a change of supervisor, not a restart of the daemon.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use supd_api::JobRuns;
use supd_core::{AppName, Exit, Happening, Supervisor, What, WorkerId};

use crate::metrics::Reloads;
use crate::supervisor::now;

/// The counts of what exists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    #[serde(default)]
    crashes: BTreeMap<WorkerId, u64>,
    #[serde(default)]
    reloads: BTreeMap<AppName, Reloads>,
    #[serde(default)]
    runs: BTreeMap<AppName, JobRuns>,
}

impl Counts {
    /// Takes note of what has happened.
    pub(crate) fn count(&mut self, happening: &Happening, core: &Supervisor) {
        match (&happening.what, happening.worker) {
            (What::Failed(_), Some(worker)) => {
                // Those of workers that were scaled away go when others come.
                if !self.crashes.contains_key(&worker) {
                    self.tidy(core);
                }
                *self.crashes.entry(worker).or_default() += 1;
            }
            (What::ReloadDone, _) => self.reloads(&happening.app).done += 1,
            (What::ReloadFailed(_), _) => self.reloads(&happening.app).failed += 1,
            (What::RolledBack(_), _) => self.reloads(&happening.app).rolled_back += 1,
            (What::Completed(_), _) => {
                let runs = self.runs(&happening.app);
                runs.completed += 1;
                runs.completed_at = Some(now().wall.0);
            }
            (What::JobFailed(death), _) => match death.exit {
                Exit::TimedOut(_) => self.runs(&happening.app).timed_out += 1,
                _ => self.runs(&happening.app).failed += 1,
            },
            (What::Skipped(_), _) => self.runs(&happening.app).skipped += 1,
            _ => {}
        }
    }

    /// How the runs of this job ended.
    pub(crate) fn runs_of(&self, app: &AppName) -> JobRuns {
        self.runs.get(app).copied().unwrap_or_default()
    }

    fn runs(&mut self, app: &AppName) -> &mut JobRuns {
        self.runs.entry(app.clone()).or_default()
    }

    /// How often this worker ended unasked.
    pub(crate) fn crashes_of(&self, worker: u32) -> u64 {
        self.crashes.get(&WorkerId(worker)).copied().unwrap_or_default()
    }

    /// How the reloads of this app ended.
    pub(crate) fn reloads_of(&self, app: &AppName) -> Reloads {
        self.reloads.get(app).copied().unwrap_or_default()
    }

    fn reloads(&mut self, app: &AppName) -> &mut Reloads {
        self.reloads.entry(app.clone()).or_default()
    }

    /// Forgets who has gone: the number of a seat may come again.
    pub(crate) fn tidy(&mut self, core: &Supervisor) {
        let workers: BTreeSet<WorkerId> = core.view(now().mono).map(|seat| seat.worker).collect();
        self.crashes.retain(|worker, _| workers.contains(worker));
        self.reloads.retain(|app, _| core.revision(app).is_some());
        self.runs.retain(|app, _| core.revision(app).is_some());
    }
}

#[cfg(test)]
mod tests {
    use supd_core::{Death, Exit, RevisionId, RunId};

    use super::*;

    fn happened(app: &str, worker: Option<u32>, what: What) -> Happening {
        Happening { app: AppName(app.to_owned()), worker: worker.map(WorkerId), what }
    }

    #[test]
    fn crashes_and_outcomes_are_counted_and_go_with_their_app() {
        let death = || Death {
            run: RunId(1),
            revision: RevisionId(1),
            pid: None,
            exit: Exit::Code(1),
            uptime: std::time::Duration::ZERO,
        };
        let core = Supervisor::default();
        let mut counts = Counts::default();
        for happening in [
            happened("web", Some(3), What::Failed(death())),
            happened("web", Some(3), What::Started),
            happened("web", Some(3), What::Failed(death())),
            happened("web", None, What::ReloadBegan(1)),
            happened("web", None, What::ReloadDone),
            happened("web", None, What::RolledBack("crashed".to_owned())),
            happened("api", None, What::ReloadFailed("crashed".to_owned())),
        ] {
            counts.count(&happening, &core);
        }
        let of = |app: &str, counts: &Counts| counts.reloads_of(&AppName(app.to_owned()));
        assert_eq!((counts.crashes_of(3), counts.crashes_of(4)), (2, 0));
        assert_eq!(of("web", &counts), Reloads { done: 1, failed: 0, rolled_back: 1 });
        assert_eq!(of("api", &counts), Reloads { done: 0, failed: 1, rolled_back: 0 });
        let text = serde_json::to_string(&counts).expect("JSON");
        assert_eq!(serde_json::from_str::<Counts>(&text).expect("what was written"), counts);
        counts.tidy(&core);
        assert_eq!(counts, Counts::default(), "the core knows none of them");
    }
}
