//! How much may a run say for its own purposes?
//!
//! A purse that fills with time. Everybody's messages are read by one thread, so a run that says more than its purse pays for is
//! not heard for the rest; what supd itself waits for (`"ready"`, Node's cluster protocol) costs nothing. May not read a clock.

use std::time::{Duration, Instant};

/// As many coins as a purse holds: so many short messages at once.
const PURSE: u32 = 512;
/// One more comes after so long.
const COIN_AFTER: Duration = Duration::from_millis(4);
/// A coin pays for so many bytes.
const COIN_PAYS: usize = 4096;

/// The purse of one run.
#[derive(Debug)]
pub(super) struct Allowance {
    coins: u32,
    /// Up to when coins have been paid in.
    paid: Instant,
    missed: u64,
}

impl Allowance {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { coins: PURSE, paid: now, missed: 0 }
    }

    /// Pays for a message. `Some`: it may be heard, and so many before it were not. `None`: nor may this one.
    pub(super) fn spend(&mut self, length: usize, now: Instant) -> Option<u64> {
        let due = now.saturating_duration_since(self.paid).as_nanos() / COIN_AFTER.as_nanos();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        self.coins = self.coins.saturating_add(due).min(PURSE);
        self.paid = if self.coins == PURSE { now } else { self.paid + COIN_AFTER * due };
        let price = u32::try_from(length / COIN_PAYS + 1).unwrap_or(u32::MAX);
        if price > self.coins {
            self.missed += 1;
            return None;
        }
        self.coins -= price;
        Some(std::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_purse_is_spent_and_fills_again() {
        let start = Instant::now();
        let mut purse = Allowance::new(start);
        let heard = (0..PURSE + 7).filter(|_| purse.spend(100, start).is_some()).count();
        assert_eq!(heard, PURSE as usize);
        assert_eq!(purse.spend(100, start + COIN_AFTER - Duration::from_nanos(1)), None);
        assert_eq!(
            purse.spend(100, start + COIN_AFTER),
            Some(8),
            "those that were not heard are counted once"
        );
        assert_eq!(purse.spend(100, start + COIN_AFTER), None);
        assert_eq!(purse.spend(100, start + COIN_AFTER * 3), Some(1));
        assert_eq!(purse.spend(100, start + COIN_AFTER * 3), Some(0));
    }

    #[test]
    fn it_holds_no_more_than_it_holds() {
        let start = Instant::now();
        let mut purse = Allowance::new(start);
        let later = start + Duration::from_secs(86_400 * 365);
        assert_eq!((0..2 * PURSE).filter(|_| purse.spend(0, later).is_some()).count(), PURSE as usize);
        assert!(purse.spend(0, start).is_none(), "a clock that goes back pays nothing");
    }

    #[test]
    fn what_is_long_costs_more() {
        let start = Instant::now();
        let mut purse = Allowance::new(start);
        assert_eq!(purse.spend(COIN_PAYS * PURSE as usize, start), None, "more than a purse holds");
        assert_eq!(purse.spend(COIN_PAYS * PURSE as usize - 1, start), Some(1));
        assert_eq!(purse.spend(0, start), None);
    }
}
