//! What has become of the output of each worker so far?
//!
//! The log thread counts; this is where the figures of all processes of a worker come together and outlive a change of supervisor, but
//! not a restart of the daemon. What was counted since the last snapshot is forgotten when a supervisor is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use supd_api::{LogTrouble, LogView, Stream, StreamView};

use crate::logs::{Count, Loss, Tally};

/// Everybody's.
#[derive(Default)]
pub(crate) struct Carried {
    workers: BTreeMap<u32, Streams>,
    /// Files that cannot be written, by path.
    troubles: BTreeMap<PathBuf, Trouble>,
    /// Those of a predecessor, of which is not known yet whether they are over.
    before: BTreeMap<PathBuf, Trouble>,
}

#[derive(Default)]
struct Streams {
    out: Arc<Tally>,
    err: Arc<Tally>,
}

/// Why a file cannot be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Trouble {
    text: String,
    /// In milliseconds since the epoch.
    since: u64,
}

/// What a successor is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    workers: Vec<(u32, StreamView, StreamView)>,
    troubles: BTreeMap<PathBuf, Trouble>,
}

impl Carried {
    /// Goes on where a predecessor was.
    pub(crate) fn from(figures: Figures) -> Self {
        let tally = |view| Arc::new(Tally::from(count(view)));
        let workers = figures.workers.into_iter();
        Self {
            workers: workers
                .map(|(id, out, err)| (id, Streams { out: tally(out), err: tally(err) }))
                .collect(),
            troubles: BTreeMap::new(),
            before: figures.troubles,
        }
    }

    /// For a successor.
    pub(crate) fn figures(&self) -> Figures {
        let workers = self.workers.iter();
        let troubles = self.before.iter().chain(&self.troubles);
        Figures {
            workers: workers.map(|(id, streams)| (*id, view(&streams.out), view(&streams.err))).collect(),
            troubles: troubles.map(|(path, trouble)| (path.clone(), trouble.clone())).collect(),
        }
    }

    /// Where the output of this stream is counted.
    pub(crate) fn tally(&mut self, worker: u32, stream: Stream) -> Arc<Tally> {
        let streams = self.workers.entry(worker).or_default();
        Arc::clone(match stream {
            Stream::Out => &streams.out,
            Stream::Err => &streams.err,
        })
    }

    /// Forgets all workers but these.
    pub(crate) fn retain(&mut self, exists: impl Fn(u32) -> bool) {
        self.workers.retain(|worker, _| exists(*worker));
    }

    /// A file cannot be written since `now`, or since a predecessor saw it begin.
    pub(crate) fn trouble(&mut self, path: PathBuf, text: String, now: u64) {
        let since = self.before.remove(&path).map_or(now, |before| before.since);
        self.troubles.entry(path).or_insert(Trouble { text, since });
    }

    /// It can be written again, or nobody wants to any more.
    pub(crate) fn relief(&mut self, path: &Path) {
        self.troubles.remove(path);
        self.before.remove(path);
    }

    /// What is shown of a worker with these files.
    pub(crate) fn view(&self, worker: u32, files: [Option<&Path>; 3]) -> LogView {
        let streams = self.workers.get(&worker);
        let paths: BTreeSet<&Path> = files.into_iter().flatten().collect();
        let troubles = paths.into_iter().filter_map(|path| Some((path, self.troubles.get(path)?)));
        let shown = |(path, trouble): (&Path, &Trouble)| {
            let Trouble { text, since } = trouble.clone();
            LogTrouble { path: path.to_owned(), text, since }
        };
        LogView {
            out: streams.map(|streams| view(&streams.out)).unwrap_or_default(),
            error: streams.map(|streams| view(&streams.err)).unwrap_or_default(),
            trouble: troubles.map(shown).collect(),
        }
    }
}

fn view(tally: &Tally) -> StreamView {
    let Count { written, lost, lost_since } = tally.count();
    let lost_since = (lost_since > 0).then_some(lost_since);
    StreamView { written, lost_lines: lost.lines, lost_bytes: lost.bytes, lost_since }
}

fn count(view: StreamView) -> Count {
    let StreamView { written, lost_lines, lost_bytes, lost_since } = view;
    let lost = Loss { lines: lost_lines, bytes: lost_bytes };
    Count { written, lost, lost_since: lost_since.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_goes_on_counting_and_knows_since_when() {
        let count = Count { written: 10, lost: Loss { lines: 1, bytes: 4 }, lost_since: 77 };
        let path = Path::new("/l/a.log");
        let mut carried = Carried::default();
        let streams = Streams { out: Arc::new(Tally::from(count)), err: Arc::default() };
        carried.workers.insert(3, streams);
        carried.trouble(path.to_owned(), "full".to_owned(), 500);
        carried.trouble(path.to_owned(), "full".to_owned(), 600);
        let text = serde_json::to_string(&carried.figures()).expect("JSON");
        let mut next = Carried::from(serde_json::from_str(&text).expect("what was written"));
        assert_eq!(next.tally(3, Stream::Out).count(), count);
        let shown = |carried: &Carried| carried.view(3, [Some(path), None, Some(path)]).trouble;
        assert_eq!(shown(&next), [], "nothing is known yet");
        next.trouble(path.to_owned(), "still full".to_owned(), 900);
        let trouble = LogTrouble { path: path.to_owned(), text: "still full".to_owned(), since: 500 };
        assert_eq!(shown(&next), [trouble]);
        next.relief(path);
        assert_eq!(shown(&next), []);
        next.retain(|_| false);
        assert_eq!(next.view(3, [None; 3]), LogView::default());
    }
}
