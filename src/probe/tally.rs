//! When does an answer count?
//!
//! As Kubernetes counts: so many in a row; any other answer starts the count again. For startup and liveness one
//! success suffices, whatever is declared ("must be 1" in its API reference).

use supd_api::Probe;

use super::Role;

/// The count of one probe.
#[derive(Debug)]
pub(super) struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: bool,
    in_a_row: u32,
    told: Option<bool>,
}

impl Tally {
    pub(super) fn new(role: Role, probe: &Probe) -> Self {
        let success_threshold = match role {
            Role::Startup | Role::Live => 1,
            Role::Ready => probe.success_threshold,
        };
        Self {
            success_threshold,
            failure_threshold: probe.failure_threshold,
            last: false,
            in_a_row: 0,
            told: None,
        }
    }

    /// Whether there has been a finding.
    pub(super) fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// Counts one answer; whether it makes a finding that has not been told yet.
    pub(super) fn count(&mut self, passed: bool) -> bool {
        self.in_a_row = if passed == self.last { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = passed;
        let needed = if passed { self.success_threshold } else { self.failure_threshold };
        let is_news = self.in_a_row >= needed && self.told != Some(passed);
        if is_news {
            self.told = Some(passed);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use supd_api::{Check, Millis};

    use super::*;

    fn tally(role: Role, success_threshold: u32, failure_threshold: u32) -> Tally {
        let check = Check::Exec { command: vec!["true".to_owned()] };
        let (initial_delay, interval, timeout) = (Millis(0), Millis(1000), Millis(1000));
        Tally::new(
            role,
            &Probe { check, initial_delay, interval, timeout, success_threshold, failure_threshold },
        )
    }

    /// `+` and `-` are answers; the result shows a letter where a finding was made: `P`assed, `F`ailed.
    fn findings(mut tally: Tally, answers: &str) -> String {
        let told = answers.chars().map(|answer| match (tally.count(answer == '+'), answer) {
            (true, '+') => 'P',
            (true, _) => 'F',
            (false, _) => '.',
        });
        told.collect()
    }

    #[test]
    fn table() {
        for (role, thresholds, answers, expected) in [
            (Role::Ready, (1, 3), "+", "P"),
            (Role::Ready, (1, 3), "+++++", "P...."),
            (Role::Ready, (1, 3), "--+--+---", "..P.....F"),
            (Role::Ready, (1, 3), "-----+", "..F..P"),
            (Role::Ready, (3, 1), "++-+++-+++", "..F..PF..P"),
            (Role::Ready, (2, 2), "+-+-+-", "......"),
            (Role::Live, (5, 2), "+--+--", "P.FP.F"),
            (Role::Startup, (5, 2), "+", "P"),
            (Role::Ready, (0, 0), "-+", "FP"),
        ] {
            let told = findings(tally(role, thresholds.0, thresholds.1), answers);
            assert_eq!(told, expected, "{role:?} {thresholds:?} {answers}");
        }
    }

    proptest! {
        #[test]
        fn findings_alternate_and_each_is_earned(
            success in 1u32..5, failure in 1u32..5,
            answers in proptest::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut tally = tally(Role::Ready, success, failure);
            let mut told = None;
            for at in 0..answers.len() {
                let passed = answers[at];
                let needed = if passed { success } else { failure } as usize;
                let earned = at + 1 >= needed && answers[at + 1 - needed..=at].iter().all(|other| *other == passed);
                let is_news = tally.count(passed);
                prop_assert_eq!(is_news, earned && told != Some(passed));
                if is_news {
                    told = Some(passed);
                }
            }
        }
    }
}
