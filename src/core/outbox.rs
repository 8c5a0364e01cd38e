//! What is still to be delivered, to whom, and when it is tried again.
//!
//! Each hook gets its words one after the other, in order. What fails is tried again, later each time, until it is too old to help anybody. Part of
//! the snapshot: what was on its way when a supervisor died is sent again by the next one, under the same number.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Now};
use crate::incident::Alert;

/// So many may wait for one hook; the oldest one gives way.
const WAITING_MAX: usize = 50;
/// The first pause, which doubles ...
const PAUSE: Duration = Duration::from_secs(2);
/// ... up to this.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// After so long nobody needs it any more.
const AGE_MAX: Duration = Duration::from_secs(6 * 3600);

/// One word for one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Never used again while the daemon runs: whoever gets it twice can tell.
    pub number: u64,
    /// The hook's name.
    pub hook: String,
    /// What it says.
    pub alert: Alert,
    written: Mono,
    due: Mono,
    attempts: u32,
    /// Given to the courier by this supervisor.
    #[serde(skip)]
    under_way: bool,
}

/// All that wait, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    last_number: u64,
    letters: Vec<Letter>,
}

impl Outbox {
    /// Adds one. Returns the one that gives way.
    pub fn post(&mut self, now: Now, hook: &str, alert: Alert) -> Option<Letter> {
        let waiting = self.letters.iter().filter(|letter| letter.hook == hook).count();
        let oldest = self.letters.iter().position(|letter| letter.hook == hook && !letter.under_way);
        let dropped = oldest.filter(|_| waiting >= WAITING_MAX).map(|index| self.letters.remove(index));
        self.last_number += 1;
        self.letters.push(Letter {
            number: self.last_number,
            hook: hook.to_owned(),
            alert,
            written: now.mono,
            due: now.mono,
            attempts: 0,
            under_way: false,
        });
        dropped
    }

    /// Those whose turn it is; they are under way from now on.
    pub fn take(&mut self, now: Now) -> Vec<Letter> {
        let mut taken = Vec::new();
        for index in self.heads() {
            let letter = &mut self.letters[index];
            if !letter.under_way && letter.due <= now.mono {
                letter.under_way = true;
                taken.push(letter.clone());
            }
        }
        taken
    }

    /// It has been delivered, or nobody is there to get it.
    pub fn done(&mut self, number: u64) {
        self.letters.retain(|letter| letter.number != number);
    }

    /// It could not be delivered. Returns it when it is not tried again.
    pub fn failed(&mut self, now: Now, number: u64) -> Option<Letter> {
        let index = self.letters.iter().position(|letter| letter.number == number)?;
        let letter = &mut self.letters[index];
        if now.mono.since(letter.written) >= AGE_MAX {
            return Some(self.letters.remove(index));
        }
        let pause = PAUSE.saturating_mul(1 << letter.attempts.min(16)).min(PAUSE_MAX);
        letter.attempts += 1;
        letter.due = now.mono + pause;
        letter.under_way = false;
        None
    }

    /// When the next one is due.
    pub fn next_deadline(&self) -> Option<Mono> {
        let heads = self.heads().into_iter().map(|index| &self.letters[index]);
        heads.filter(|letter| !letter.under_way).map(|letter| letter.due).min()
    }

    /// The oldest letter of each hook.
    fn heads(&self) -> Vec<usize> {
        let is_first = |index: &usize| {
            self.letters[..*index].iter().all(|earlier| earlier.hook != self.letters[*index].hook)
        };
        (0..self.letters.len()).filter(is_first).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Wall;
    use crate::id::AppName;
    use crate::incident::Trouble;

    use super::*;

    fn at(second: u64) -> Now {
        Now { mono: Mono(second * 1_000_000_000), wall: Wall(second * 1000) }
    }

    fn alert(incident: u64) -> Alert {
        let (app, trouble) = (AppName("web".into()), Trouble::Down);
        Alert { incident, app, trouble, over: false, at: 0, text: String::new() }
    }

    fn numbers(letters: &[Letter]) -> Vec<u64> {
        letters.iter().map(|letter| letter.number).collect()
    }

    #[test]
    fn one_after_the_other_for_each_hook() {
        let mut outbox = Outbox::default();
        for hook in ["a", "a", "b"] {
            assert_eq!(outbox.post(at(0), hook, alert(1)), None);
        }
        assert_eq!(numbers(&outbox.take(at(0))), [1, 3]);
        assert_eq!(numbers(&outbox.take(at(9))), [0; 0]);
        outbox.done(1);
        assert_eq!(numbers(&outbox.take(at(9))), [2]);
        outbox.done(2);
        outbox.done(3);
        assert_eq!(outbox.next_deadline(), None);
    }

    #[test]
    fn later_each_time_until_it_is_too_old() {
        let mut outbox = Outbox::default();
        outbox.post(at(0), "a", alert(1));
        let (mut second, mut pauses) = (0, Vec::new());
        loop {
            assert_eq!(outbox.take(at(second)).len(), 1);
            if let Some(dropped) = outbox.failed(at(second), 1) {
                assert_eq!(dropped.number, 1);
                break;
            }
            assert_eq!(outbox.take(at(second)), [], "not at once");
            let due = outbox.next_deadline().expect("another attempt").0 / 1_000_000_000;
            pauses.push(due - second);
            second = due;
        }
        assert_eq!(pauses[..9], [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!((6 * 3600..6 * 3600 + 300).contains(&second), "{second}");
        assert_eq!(outbox.letters, []);
    }

    #[test]
    fn it_is_bounded_and_the_oldest_gives_way() {
        let mut outbox = Outbox::default();
        outbox.post(at(0), "a", alert(0));
        assert_eq!(numbers(&outbox.take(at(0))), [1]);
        let dropped: Vec<_> = (1..1000).filter_map(|n| outbox.post(at(n), "a", alert(n))).collect();
        assert_eq!(outbox.letters.len(), WAITING_MAX);
        assert_eq!(numbers(&dropped[..2]), [2, 3], "not the one under way");
        assert_eq!(outbox.post(at(0), "b", alert(0)), None);
    }

    #[test]
    fn a_successor_sends_what_was_under_way_again() {
        let mut outbox = Outbox::default();
        outbox.post(at(0), "a", alert(1));
        outbox.post(at(0), "b", alert(1));
        outbox.take(at(0));
        outbox.done(2);
        let text = serde_json::to_string(&outbox).expect("JSON");
        let mut next: Outbox = serde_json::from_str(&text).expect("what was written");
        assert_eq!(numbers(&next.take(at(1))), [1]);
        next.done(1);
        next.post(at(2), "a", alert(2));
        assert_eq!(numbers(&next.take(at(2))), [3], "numbers go on");
    }
}
