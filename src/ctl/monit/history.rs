//! How have processor and memory of each worker been lately? A bar stands for some seconds, so that a row of them reaches back further
//! and is not drawn anew at every look.

use std::collections::BTreeMap;

use supd_api::WorkerView;

/// So many milliseconds share a bar.
const SPAN: u64 = 5000;
/// So many bars are kept: five minutes.
const BARS: usize = 60;

/// One bar.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// The highest share of a processor in its time, in percent.
    pub(super) cpu: f64,
    /// The highest resident memory in its time, in bytes.
    pub(super) memory: u64,
}

/// The bars of all workers.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Oldest first.
    workers: BTreeMap<u32, Vec<Load>>,
    /// Which span of time the last bars are of.
    span: u64,
}

impl History {
    /// Takes note of a look at all workers. `now`: Unix time in milliseconds.
    pub(super) fn note(&mut self, now: u64, workers: &[WorkerView]) {
        let span = now / SPAN;
        let fresh = span != self.span;
        self.span = span;
        self.workers.retain(|id, _| workers.iter().any(|worker| worker.id == *id));
        for worker in workers {
            let bars = self.workers.entry(worker.id).or_default();
            if fresh || bars.is_empty() {
                bars.push(Load::default());
                bars.drain(..bars.len().saturating_sub(BARS));
            }
            if let Some(last) = bars.last_mut() {
                last.cpu = last.cpu.max(worker.cpu);
                last.memory = last.memory.max(worker.memory);
            }
        }
    }

    /// The last bars of these workers together, oldest first, at most so many.
    pub(super) fn last(&self, workers: &[WorkerView], most: usize) -> Vec<Load> {
        let bars: Vec<&Vec<Load>> =
            workers.iter().filter_map(|worker| self.workers.get(&worker.id)).collect();
        let count = bars.iter().map(|bars| bars.len()).max().unwrap_or(0).min(most);
        let sum = |back: usize| {
            bars.iter().filter_map(|bars| bars.len().checked_sub(back).and_then(|at| bars.get(at))).fold(
                Load::default(),
                |sum, load| Load { cpu: sum.cpu + load.cpu, memory: sum.memory + load.memory },
            )
        };
        (1..=count).rev().map(sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::worker;

    fn busy(id: u32, cpu: f64, memory: u64) -> WorkerView {
        WorkerView { cpu, memory, ..worker(id, "web") }
    }

    #[test]
    fn a_bar_is_the_highest_of_its_time_and_an_app_the_sum() {
        let mut history = History::default();
        history.note(10_000, &[busy(0, 1.0, 10)]);
        history.note(14_000, &[busy(0, 9.0, 5)]);
        history.note(15_000, &[busy(0, 2.0, 20), busy(1, 3.0, 4)]);
        let crew = [busy(0, 0.0, 0), busy(1, 0.0, 0)];
        let expected = [Load { cpu: 9.0, memory: 10 }, Load { cpu: 5.0, memory: 24 }];
        assert_eq!(history.last(&crew, 8), expected);
        assert_eq!(history.last(&crew, 1), expected[1..]);
        assert_eq!(history.last(&crew[1..], 8), [Load { cpu: 3.0, memory: 4 }]);
    }

    #[test]
    fn it_neither_grows_nor_keeps_the_dead() {
        let mut history = History::default();
        for bar in 0..200 {
            history.note(bar * SPAN, &[busy(0, bar as f64, 0)]);
        }
        let bars = history.last(&[busy(0, 0.0, 0)], 1000);
        assert_eq!((bars.len(), bars[0].cpu), (BARS, 140.0));
        history.note(0, &[]);
        assert!(history.last(&[busy(0, 0.0, 0)], 8).is_empty());
    }
}
