//! What can be done to what is selected, and how is it asked, told and put into words?

use supd_api::{Accepted, AppName, Fault, ScaleTo};

use crate::ctl::cells;

/// An app, or one worker of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The app.
    pub(super) app: AppName,
    /// `None`: all of it.
    pub(super) worker: Option<u32>,
}

impl Target {
    /// As the daemon's API takes it.
    pub(super) fn name(&self) -> String {
        self.worker.map_or_else(|| self.app.to_string(), |worker| worker.to_string())
    }

    /// As a person reads it: `web`, `web 3`.
    pub(super) fn title(&self) -> String {
        self.worker.map_or_else(|| self.app.to_string(), |worker| format!("{} {worker}", self.app))
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Delete,
    Scale(ScaleTo),
}

/// What is done to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) verb: Verb,
    pub(super) target: Target,
}

impl Action {
    /// Reload and scale concern the whole app, whatever of it is selected.
    pub(super) fn new(verb: Verb, target: Target) -> Self {
        let whole = matches!(verb, Verb::Reload | Verb::Scale(_));
        let worker = target.worker.filter(|_| !whole);
        Self { verb, target: Target { worker, ..target } }
    }

    /// What is asked before; `None`: it takes nothing down and is typed deliberately.
    pub(super) fn question(&self, workers: usize) -> Option<String> {
        let verb = match self.verb {
            Verb::Start | Verb::Scale(_) => return None,
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Delete => "stop and forget",
        };
        let title = self.target.title();
        Some(match (self.target.worker, workers) {
            (None, 2..) => format!("{verb} {title} and its {workers} workers?"),
            _ => format!("{verb} {title}?"),
        })
    }

    /// While it goes on.
    pub(super) fn going(&self) -> String {
        let verb = match self.verb {
            Verb::Start => "starting",
            Verb::Stop => "stopping",
            Verb::Restart => "restarting",
            Verb::Reload => "reloading",
            Verb::Delete => "deleting",
            Verb::Scale(_) => "scaling",
        };
        format!("{verb} {} …", self.target.title())
    }

    /// What came of it. `Err`: it is bad news.
    pub(super) fn told(&self, outcome: &Result<Accepted, Fault>) -> Result<String, String> {
        let accepted = match outcome {
            Ok(accepted) => accepted,
            Err(fault) => return Err(self.failed(&cells::harmless(&fault.message))),
        };
        let failed: Vec<_> = accepted.workers.iter().filter(|it| it.failure.is_some()).collect();
        if let Some(first) = failed.first() {
            let reason = first.failure.as_deref().unwrap_or_default();
            let ids = cells::numbers(&failed.iter().map(|it| it.id).collect::<Vec<_>>());
            return Err(self.failed(&format!("{ids}: {}", cells::harmless(reason))));
        }
        if let Some(warning) = accepted.warnings.first() {
            return Err(cells::harmless(warning));
        }
        let done = match self.verb {
            Verb::Start => "started",
            Verb::Stop => "stopped",
            Verb::Restart => "restarted",
            Verb::Reload => "reloaded",
            Verb::Delete => "deleted",
            Verb::Scale(_) => "scaled",
        };
        Ok(format!("{done} {}", self.target.title()))
    }

    fn failed(&self, why: &str) -> String {
        let verb = match self.verb {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Delete => "delete",
            Verb::Scale(_) => "scale",
        };
        format!("{verb} {}: {why}", self.target.title())
    }
}
