//! How many workers were needed of late.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Mono;

/// What was asked for within a time, as far as it can still matter: each number is higher than all that came later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Window(Vec<(Mono, u32)>);

impl Window {
    /// What there is counts as asked for now, as with Kubernetes' (`recordInitialRecommendation`).
    pub(super) fn new(now: Mono, count: u32) -> Self {
        Self(vec![(now, count)])
    }

    /// Notes what is asked for now. The highest number of the time up to now.
    pub(super) fn note(&mut self, now: Mono, count: u32, length: Duration) -> u32 {
        self.0.retain(|(at, asked)| *asked > count && *at + length > now);
        self.0.push((now, count));
        self.0.first().map_or(count, |(_, highest)| *highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_the_time_before_and_nothing_that_cannot_matter() {
        let second = |n: u64| Mono(n * 1_000_000_000);
        let mut window = Window::new(second(0), 4);
        for (at, asked, highest, kept) in [
            (15, 2, 4, 2),
            (30, 3, 4, 2),
            (59, 1, 4, 3),
            (60, 1, 3, 2),
            (89, 1, 3, 2),
            (90, 1, 1, 1),
            (95, 9, 9, 1),
        ] {
            assert_eq!(window.note(second(at), asked, Duration::from_secs(60)), highest, "at {at}");
            assert_eq!(window.0.len(), kept, "at {at}");
        }
        let mut none = Window::new(second(0), 4);
        assert_eq!(none.note(second(15), 1, Duration::ZERO), 1, "no window");
    }
}
