//! When is a burst of changes over?

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Change;

/// What never comes to rest is told of after so long all the same.
const LONGEST: Duration = Duration::from_secs(30);

/// Gathers changes until nothing has come for a while.
#[derive(Debug)]
pub(super) struct Quiet {
    delay: Duration,
    burst: Option<Burst>,
}

#[derive(Debug)]
struct Burst {
    change: Change,
    began: Instant,
    last: Instant,
}

impl Quiet {
    pub(super) fn new(delay: Duration) -> Self {
        Self { delay, burst: None }
    }

    /// Something has changed.
    pub(super) fn note(&mut self, now: Instant, path: PathBuf) {
        match &mut self.burst {
            None => {
                let change = Change { path, others: false };
                self.burst = Some(Burst { change, began: now, last: now });
            }
            Some(burst) => {
                burst.last = now;
                burst.change.others |= burst.change.path != path;
            }
        }
    }

    /// When the present burst is over if nothing more comes; `None`: there is none.
    pub(super) fn over_at(&self) -> Option<Instant> {
        let Burst { began, last, .. } = self.burst.as_ref()?;
        Some((*last + self.delay).min(*began + LONGEST.max(self.delay)))
    }

    /// The burst that is over.
    pub(super) fn take(&mut self, now: Instant) -> Option<Change> {
        self.over_at().filter(|at| *at <= now)?;
        self.burst.take().map(|burst| burst.change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments at which something is told, in milliseconds, when changes come at these.
    fn told(delay: u64, changes: &[u64]) -> Vec<u64> {
        let (mut quiet, start) = (Quiet::new(Duration::from_millis(delay)), Instant::now());
        let mut told = Vec::new();
        for ms in 0..100_000 {
            let now = start + Duration::from_millis(ms);
            if changes.contains(&ms) {
                quiet.note(now, PathBuf::from("a"));
            }
            told.extend(quiet.take(now).map(|_| ms));
        }
        assert_eq!(quiet.over_at(), None);
        told
    }

    #[test]
    fn a_burst_is_told_once_and_the_last_change_always() {
        for (delay, changes, expected) in [
            (200, &[0][..], &[200][..]),
            (200, &[0, 10, 50], &[250]),
            (200, &[0, 199], &[399]),
            // What comes after it has been told is told anew.
            (200, &[0, 201], &[200, 401]),
            (0, &[0, 1], &[0, 1]),
            (60_000, &[0, 10], &[60_000]),
        ] {
            assert_eq!(told(delay, changes), expected, "{delay} {changes:?}");
        }
    }

    #[test]
    fn what_never_rests_is_told_of() {
        let changes: Vec<u64> = (0..45_000).step_by(100).collect();
        assert_eq!(told(200, &changes), [30_000, 45_100]);
    }

    #[test]
    fn the_first_is_named() {
        let (mut quiet, start) = (Quiet::new(Duration::ZERO), Instant::now());
        for (paths, others) in [(&["a", "a"][..], false), (&["a", "b", "a"], true)] {
            paths.iter().for_each(|path| quiet.note(start, PathBuf::from(path)));
            assert_eq!(quiet.take(start), Some(Change { path: "a".into(), others }));
        }
    }
}
