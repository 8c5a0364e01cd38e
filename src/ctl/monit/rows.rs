//! Which rows does the list have? Apps, and their workers below them unless the app has one only or is folded; of these, what the
//! filter leaves.

use std::collections::BTreeSet;

use regex::Regex;
use supd_api::{AppName, Status, WorkerView};

use super::action::Target;

/// What needs no words of a worker that is online.
const PLAIN: [&str; 2] = ["ready", "being replaced"];

/// A row of the list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Row<'a> {
    /// An app and all its workers.
    App { workers: &'a [WorkerView], folded: bool },
    /// One of several workers of an app.
    Worker(&'a WorkerView),
}

impl<'a> Row<'a> {
    /// What it stands for.
    pub(super) fn target(&self) -> Target {
        match self {
            Self::App { workers, .. } => Target { app: workers[0].app.clone(), worker: None },
            Self::Worker(worker) => Target { app: worker.app.clone(), worker: Some(worker.id) },
        }
    }

    /// All workers it stands for; never none.
    pub(super) fn workers(&self) -> &'a [WorkerView] {
        match self {
            Self::App { workers, .. } => workers,
            Self::Worker(worker) => std::slice::from_ref(*worker),
        }
    }

    /// The worker whose state is the worst, of those the first.
    pub(super) fn worst(&self) -> &'a WorkerView {
        let mut worst = &self.workers()[0];
        for worker in self.workers() {
            if badness(worker) > badness(worst) {
                worst = worker;
            }
        }
        worst
    }
}

/// Why this worker is as it is, where that is not plain.
pub(super) fn words(worker: &WorkerView) -> Option<&str> {
    let reason = worker.reason.as_str();
    let plain = reason.is_empty() || (worker.status == Status::Online && PLAIN.contains(&reason));
    (!plain).then_some(reason)
}

fn badness(worker: &WorkerView) -> u8 {
    match worker.status {
        Status::Online | Status::Scheduled | Status::Idle => u8::from(words(worker).is_some()),
        Status::Launching => 2,
        Status::Stopping => 3,
        Status::Stopped => 4,
        Status::Waiting => 5,
        Status::Errored => 6,
    }
}

/// The rows of these workers, which are ordered by app.
pub(super) fn rows<'a>(
    workers: &'a [WorkerView],
    folded: &BTreeSet<AppName>,
    filter: Option<&Regex>,
) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for crew in workers.chunk_by(|a, b| a.app == b.app) {
        let first = &crew[0];
        let whole = wanted(filter, first.app.as_str()) || wanted(filter, &first.namespace);
        let fits = |worker: &&WorkerView| {
            whole
                || wanted(filter, worker.status.as_str())
                || filter.is_some_and(|it| it.as_str() == worker.id.to_string())
        };
        let shown: Vec<&WorkerView> = crew.iter().filter(fits).collect();
        if shown.is_empty() {
            continue;
        }
        let folded = folded.contains(&first.app);
        rows.push(Row::App { workers: crew, folded });
        if crew.len() > 1 && !folded {
            rows.extend(shown.into_iter().map(Row::Worker));
        }
    }
    rows
}

fn wanted(filter: Option<&Regex>, text: &str) -> bool {
    filter.is_none_or(|filter| filter.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{in_state, worker};
    use crate::ctl::monit::log::pattern;

    fn shown(filter: &str, folded: &[&str]) -> Vec<String> {
        let down = in_state(worker(2, "web"), Status::Errored, "exited with code 1");
        let mut all = vec![worker(5, "api"), worker(0, "web"), worker(1, "web"), down];
        all[0].namespace = "shop".to_owned();
        let folded = folded.iter().map(|name| AppName::new(*name).unwrap()).collect();
        rows(&all, &folded, pattern(filter).as_ref()).iter().map(|row| row.target().title()).collect()
    }

    #[test]
    fn what_is_shown() {
        for (filter, folded, rows) in [
            ("", &[][..], &["api", "web", "web 0", "web 1", "web 2"][..]),
            ("", &["web"], &["api", "web"]),
            ("WEB", &["web"], &[]),
            ("web", &["web"], &["web"]),
            ("shop", &[], &["api"]),
            ("err", &[], &["web", "web 2"]),
            ("2", &[], &["web", "web 2"]),
            ("online", &[], &["api", "web", "web 0", "web 1"]),
            ("nothing", &[], &[]),
        ] {
            assert_eq!(shown(filter, folded), rows, "{filter} {folded:?}");
        }
    }

    #[test]
    fn an_app_is_as_its_worst_worker() {
        let states = [Status::Online, Status::Waiting, Status::Stopped, Status::Waiting];
        let crew: Vec<WorkerView> =
            (0..).zip(states).map(|(id, status)| in_state(worker(id, "web"), status, "why")).collect();
        assert_eq!(Row::App { workers: &crew, folded: false }.worst().id, 1);
    }
}
