//! Output that its file, or the sink in place of files, does not take.
//!
//! Question answered here: *where does it wait, and what is lost?* What is decided is noted before anything leaves its pipe.

use std::io;
use std::time::Instant;

use super::carry::Fate;
use super::deliver::Delivery;
use super::journal::Origin;
use super::loss::Loss;
use super::shelf::Slot;
use super::sink::Taken;
use super::tap::{Next, Spill, Tap};
use super::thread::LogThread;

impl LogThread {
    /// What becomes of the `count` bytes that the pipe holds; `None`: they stay.
    pub(super) fn make_room(&mut self, tap: &mut Tap, count: usize) -> Option<Fate<'static>> {
        let spill = match tap.is_released() && !self.may_wait(tap) {
            true => Spill::Drop(count),
            false => tap.spill(self.lens.bytes(count)),
        };
        match spill {
            Spill::Leave | Spill::Drop(0) => None,
            Spill::Drop(count) => {
                self.lose(tap, Loss::of(self.lens.bytes(count)));
                Some(Fate::Lost(count))
            }
            Spill::Keep(count) => match self.keep(tap, count) {
                Ok(()) => Some(Fate::Kept(count)),
                Err(error) => {
                    tracing::error!("output of {} cannot be kept in memory: {error}", tap.source.app);
                    None
                }
            },
        }
    }

    /// Puts so many bytes on the shelf, up to the point where they only have to leave the pipe.
    fn keep(&mut self, tap: &mut Tap, count: usize) -> io::Result<()> {
        let slot = self.shelf.put(&tap.source, self.lens.bytes(count))?;
        self.journal.intend(&tap.source, Origin::Pipe, count, &[None, None])?;
        self.shelf.confirm(slot)?;
        tap.kept = Some(slot);
        self.note_kept(tap);
        Ok(())
    }

    /// Brings what is on the shelf where it belongs. `None`: it is not taken, and it is the pipe's turn.
    pub(super) fn carry_kept(&mut self, tap: &mut Tap, slot: Slot) -> Option<Next> {
        let moved = self.move_kept(tap, slot).unwrap_or_else(|error| {
            tracing::error!("what was kept of the output of {} is lost: {error}", tap.source.app);
            tap.kept = None;
            true
        });
        self.note_kept(tap);
        tap.framing.interleaved();
        moved.then_some(Next::Turn)
    }

    /// `false`: it stays there.
    fn move_kept(&mut self, tap: &mut Tap, slot: Slot) -> io::Result<bool> {
        let (bytes, start) = self.shelf.bytes(slot)?;
        let mut empty = false;
        let mut leave = |count| self.shelf.take(slot, count).map(|all| empty = all);
        let taken = match tap.files.is_empty() {
            true => match self.sinks.deliver(tap, &bytes, &self.tell, &mut leave)? {
                Taken::Sent(count) => Some(count),
                Taken::Busy | Taken::Refused => None,
            },
            false => {
                let (journal, origin, now) = (&mut self.journal, Origin::Shelf(start), Instant::now());
                let delivery = Delivery { journal, tell: &self.tell, tap, origin, now };
                let taken = delivery.deliver(&mut self.files, &bytes).map(|delivered| delivered.taken);
                taken.map(|count| leave(count).map(|()| count)).transpose()?
            }
        };
        match taken {
            Some(count) => tap.tally.wrote(count),
            None if tap.is_given_up() => {
                self.lose(tap, Loss::of(&bytes));
                empty = self.shelf.take(slot, bytes.len())?;
            }
            None => return Ok(false),
        }
        if empty {
            tap.kept = None;
        }
        self.journal.retract()?;
        Ok(true)
    }

    fn note_kept(&mut self, tap: &Tap) {
        for path in &tap.files {
            let Some(file) = self.files.get_mut(path) else { continue };
            file.keeps(tap.key, tap.kept.is_some());
            // Not only before the next output: it may be long until there is some.
            if tap.kept.is_none()
                && let Err(error) = file.mark_loss(&tap.form)
            {
                file.fail(error, Instant::now(), &self.tell);
            }
        }
    }

    fn may_wait(&mut self, tap: &Tap) -> bool {
        tap.files.iter().all(|path| self.files.get_mut(path).is_none_or(|file| file.may_wait(tap.key)))
    }

    /// This output of this source will be in none of its files, nor with the sink in their place.
    fn lose(&mut self, tap: &Tap, loss: Loss) {
        tap.tally.lost(loss);
        if tap.files.is_empty() {
            self.sinks.lose(tap, loss.lines.max(1), &self.tell);
        }
        let cause = tap.files.iter().find_map(|path| self.files.get(path)?.cause().cloned());
        for path in &tap.files {
            if let (Some(file), Some(cause)) = (self.files.get_mut(path), &cause) {
                file.lose(tap.key, loss, cause);
            }
        }
    }
}
