//! Where in the log files the output of the latest runs is.
//!
//! Question answered here: *which part of its logs has this run written?* It is known for a few runs of each worker, for as long as
//! snapshots are handed on: not over a restart of the daemon.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use supd_api::Stream;
use supd_keeper::protocol::RunId;

use crate::logs::{Extent, Mark, Source};

/// The present run and the one before.
const KEPT: usize = 2;

/// By worker id, the latest run last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Extents(BTreeMap<u32, VecDeque<Written>>);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    run: RunId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    out: Option<Extent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    err: Option<Extent>,
}

impl Written {
    fn of(&mut self, stream: Stream) -> &mut Option<Extent> {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn extent(&self, stream: Stream) -> Option<Extent> {
        match stream {
            Stream::Out => self.out,
            Stream::Err => self.err,
        }
    }

    fn has_ended(&self) -> bool {
        self.out.iter().chain(&self.err).all(|extent| extent.end.is_some())
    }
}

impl Extents {
    /// A run writes from here on. `false`: that is nothing new, because a predecessor saw it begin, or later ones are known.
    pub(crate) fn begun(&mut self, source: &Source, mark: Mark) -> bool {
        let runs = self.0.entry(source.worker).or_default();
        let index = match runs.binary_search_by_key(&source.run, |written| written.run) {
            Ok(index) => index,
            Err(0) if runs.len() >= KEPT => return false,
            Err(index) => {
                runs.insert(index, Written { run: source.run, out: None, err: None });
                let surplus = runs.len().saturating_sub(KEPT);
                runs.drain(..surplus);
                index - surplus
            }
        };
        let extent = runs[index].of(source.stream);
        let new = extent.is_none();
        extent.get_or_insert(Extent { begin: mark, end: None });
        new
    }

    /// It has written everything.
    pub(crate) fn ended(&mut self, source: &Source, mark: Mark) {
        let mut runs = self.0.get_mut(&source.worker).into_iter().flatten();
        if let Some(extent) = runs
            .find(|written| written.run == source.run)
            .and_then(|written| written.of(source.stream).as_mut())
        {
            extent.end = Some(mark);
        }
    }

    /// Forgets all workers but these.
    pub(crate) fn retain(&mut self, exists: impl Fn(u32) -> bool) {
        self.0.retain(|worker, _| exists(*worker));
    }

    /// What this run of this worker has written.
    pub(crate) fn of(&self, worker: u32, run: RunId, stream: Stream) -> Option<Extent> {
        self.0.get(&worker)?.iter().find(|written| written.run == run)?.extent(stream)
    }

    /// What the latest run of this worker has written, whether it still goes on or not.
    pub(crate) fn latest(&self, worker: u32, stream: Stream) -> Option<Extent> {
        self.0.get(&worker)?.back()?.extent(stream)
    }

    /// What the latest run that has ended had written.
    pub(crate) fn previous(&self, worker: u32, stream: Stream) -> Option<Extent> {
        self.0.get(&worker)?.iter().rev().find(|written| written.has_ended())?.extent(stream)
    }
}

#[cfg(test)]
mod tests {
    use supd_api::AppName;

    use super::*;

    fn source(run: u64, stream: Stream) -> Source {
        Source {
            run: RunId(run),
            app: AppName::new("web").expect("a name"),
            namespace: String::new(),
            worker: 4,
            stream,
        }
    }

    fn mark(at: u64) -> Mark {
        Mark { place: format!("1.{at:x}").parse().expect("a place"), at }
    }

    #[test]
    fn the_present_run_and_the_one_before_are_known() {
        let mut extents = Extents::default();
        for run in 1..=3 {
            assert!(extents.begun(&source(run, Stream::Out), mark(run * 10)));
            assert!(
                !extents.begun(&source(run, Stream::Out), mark(run * 10 + 1)),
                "a successor tells it again"
            );
            assert!(extents.begun(&source(run, Stream::Err), mark(run * 10)));
            if run < 3 {
                extents.ended(&source(run, Stream::Out), mark(run * 10 + 5));
                assert_ne!(
                    extents.previous(4, Stream::Out).map(|it| it.begin),
                    Some(mark(run * 10)),
                    "half ended"
                );
                extents.ended(&source(run, Stream::Err), mark(run * 10 + 5));
            }
        }
        assert!(!extents.begun(&source(1, Stream::Out), mark(40)), "later ones are known");
        let text = serde_json::to_string(&extents).expect("JSON");
        let mut extents: Extents = serde_json::from_str(&text).expect("what was written");
        assert_eq!(extents.latest(4, Stream::Out), Some(Extent { begin: mark(30), end: None }));
        assert_eq!(extents.previous(4, Stream::Err), Some(Extent { begin: mark(20), end: Some(mark(25)) }));
        assert_eq!((extents.latest(5, Stream::Out), extents.previous(5, Stream::Out)), (None, None));
        extents.retain(|_| false);
        assert_eq!(extents.latest(4, Stream::Out), None);
    }
}
