//! How long to wait before the next start, and when to give up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::spec::PmTwoRules;

/// A run that was ready for so long is healthy, whatever came before.
const HEALTHY: Duration = Duration::from_secs(10);
/// The patient delays double from the first to the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A run that is too large stays, with its jitter, no longer than with PM2, which looks every 30 s (`WORKER_INTERVAL` in its
/// `constants.js`).
const LONGEST_STAY: Duration = Duration::from_secs(25);
/// PM2 `constants.js`: cap of the exponential back-off, and the uptime that resets it.
const PM2_LONGEST_DELAY: Duration = Duration::from_millis(15_000);
const PM2_BACKOFF_RESET: Duration = Duration::from_millis(30_000);

/// What a seat remembers of its failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streak {
    /// Unhealthy lives in a row.
    pub(crate) unstable: u32,
    /// The delay before the present life.
    pub(crate) delay: Duration,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start again after this delay.
    Retry(Duration),
    /// Too many unstable lives in a row.
    GiveUp,
}

/// One life that ended unasked, or is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Which.
    pub(crate) run: RunId,
    /// From its start to its end, or to now.
    pub(crate) uptime: Duration,
    /// From ready to its end; `None` if it never was.
    pub(crate) ready: Option<Duration>,
}

impl Streak {
    /// Takes note of a life that ended and decides what follows.
    pub(crate) fn after(&mut self, life: Life, rules: Option<&PmTwoRules>) -> Verdict {
        match rules {
            None => Verdict::Retry(self.patient(life, LONGEST_DELAY)),
            Some(rules) => self.as_pm2(life, rules),
        }
    }

    /// Takes note of a run that works but has grown too large, and decides how long it may stay: when one after another is
    /// too large soon after its start, it is the limit that is wrong, and replacing them helps nobody.
    pub(crate) fn outgrown(&mut self, life: Life) -> Duration {
        self.patient(life, LONGEST_STAY)
    }

    /// At once after a healthy run, then 1, 2, 4 … s up to the longest, with ±20 % jitter, without end.
    fn patient(&mut self, life: Life, longest: Duration) -> Duration {
        if life.ready.is_some_and(|ready| ready >= HEALTHY.max(self.delay * 2)) {
            self.unstable = 0;
        }
        self.delay = match self.unstable {
            0 => Duration::ZERO,
            n => jitter(life.run, (FIRST_DELAY * 2u32.pow((n - 1).min(6))).min(longest)),
        };
        self.unstable = self.unstable.saturating_add(1);
        self.delay
    }

    fn as_pm2(&mut self, life: Life, rules: &PmTwoRules) -> Verdict {
        self.unstable = if life.uptime < rules.min_uptime { self.unstable + 1 } else { 0 };
        if life.uptime < rules.min_uptime && self.unstable >= rules.max_restarts {
            return Verdict::GiveUp;
        }
        self.delay = match rules.exp_backoff {
            None => rules.restart_delay,
            Some(first) if self.delay.is_zero() || life.uptime > PM2_BACKOFF_RESET => first,
            Some(_) => (self.delay * 3 / 2).min(PM2_LONGEST_DELAY),
        };
        Verdict::Retry(self.delay)
    }
}

/// Spreads the restarts of workers that fell together. Derived from the run's number, so a replay gives the same.
fn jitter(run: RunId, delay: Duration) -> Duration {
    // The mixing step of splitmix64 (Steele, Lea, Flood 2014).
    let mut mixed = run.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let percent = 80 + (mixed ^ (mixed >> 31)) % 41;
    delay * u32::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(run: u64, uptime_ms: u64) -> Life {
        let uptime = Duration::from_millis(uptime_ms);
        Life { run: RunId(run), uptime, ready: Some(uptime) }
    }

    fn pm2(delay_ms: u64, backoff_ms: Option<u64>) -> PmTwoRules {
        PmTwoRules {
            min_uptime: Duration::from_secs(1),
            max_restarts: 16,
            restart_delay: Duration::from_millis(delay_ms),
            exp_backoff: backoff_ms.map(Duration::from_millis),
        }
    }

    #[test]
    fn patient_delays_grow_and_never_end() {
        let mut streak = Streak::default();
        for (n, seconds) in [0u64, 1, 2, 4, 8, 16, 32, 60, 60, 60].into_iter().enumerate() {
            let Verdict::Retry(delay) = streak.after(life(n as u64, 5), None) else { panic!("gave up") };
            let nominal = Duration::from_secs(seconds);
            assert!(delay >= nominal * 8 / 10 && delay <= nominal * 12 / 10, "{n}: {delay:?}");
        }
    }

    #[test]
    fn what_is_too_large_stays_ever_longer_but_no_longer_than_with_pm2() {
        let mut streak = Streak::default();
        for seconds in [0u64, 1, 2, 4, 8, 16, 25, 25] {
            let (stay, nominal) = (streak.outgrown(life(seconds, 900)), Duration::from_secs(seconds));
            assert!(stay >= nominal * 8 / 10 && stay <= nominal * 12 / 10, "{seconds}: {stay:?}");
        }
        assert_eq!(streak.outgrown(life(9, 3_600_000)), Duration::ZERO, "it grew for an hour");
    }

    #[test]
    fn a_healthy_run_clears_the_streak() {
        let mut streak = Streak { unstable: 4, delay: Duration::from_secs(8) };
        assert_ne!(
            streak.after(life(1, 15_000), None),
            Verdict::Retry(Duration::ZERO),
            "twice the delay counts"
        );
        let mut streak = Streak { unstable: 4, delay: Duration::from_secs(8) };
        assert_eq!(streak.after(life(1, 16_000), None), Verdict::Retry(Duration::ZERO));
    }

    #[test]
    fn pm2_gives_up_after_unstable_lives_in_a_row_whenever_they_come() {
        let mut streak = Streak::default();
        assert_eq!(streak.after(life(0, 3_600_000), Some(&pm2(0, None))), Verdict::Retry(Duration::ZERO));
        for _ in 0..15 {
            assert_eq!(streak.after(life(0, 10), Some(&pm2(0, None))), Verdict::Retry(Duration::ZERO));
        }
        assert_eq!(streak.after(life(0, 10), Some(&pm2(0, None))), Verdict::GiveUp);
    }

    #[test]
    fn pm2_backoff_series() {
        let mut streak = Streak::default();
        let rules = PmTwoRules { max_restarts: u32::MAX, ..pm2(0, Some(100)) };
        let series: Vec<u128> = (0..7)
            .map(|_| match streak.after(life(0, 10), Some(&rules)) {
                Verdict::Retry(delay) => delay.as_millis(),
                Verdict::GiveUp => panic!("gave up"),
            })
            .collect();
        assert_eq!(series, [100, 150, 225, 337, 506, 759, 1139]);
        assert_eq!(streak.after(life(0, 30_001), Some(&rules)), Verdict::Retry(Duration::from_millis(100)));
    }
}
