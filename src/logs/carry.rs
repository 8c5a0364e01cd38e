//! One turn of one pipe.
//!
//! Question answered here: *what becomes of the first bytes of this pipe now?* They are written, shown, lost, or left where they are.

use std::io;
use std::time::Instant;

use super::Notice;
use super::deliver::{Delivered, Delivery};
use super::journal::Origin;
use super::loss::Loss;
use super::pipe::{Peek, consume};
use super::place::Mark;
use super::shelf::Slot;
use super::tap::{Next, Spill, Tap};
use super::thread::LogThread;

/// What becomes of so many of the first bytes of a pipe.
enum Fate<'a> {
    /// They are in the file.
    Written(Delivered<'a>),
    /// There is no file for them.
    Shown(usize),
    /// The file takes nothing, and they are on the shelf.
    Kept(usize),
    /// The file takes nothing, and they must make room.
    Lost(usize),
}

impl LogThread {
    /// Carries one chunk.
    pub(super) fn carry(&mut self, tap: &mut Tap) -> Next {
        if let Some(slot) = tap.kept
            && let Some(next) = self.carry_kept(tap, slot)
        {
            return next;
        }
        let count = match self.lens.peek(&tap.pipe) {
            Ok(Peek::Bytes(count)) => count,
            Ok(Peek::Empty | Peek::End) if tap.kept.is_some() => return tap.wait(),
            Ok(Peek::Empty) => return tap.empty(),
            Ok(Peek::End) => return Next::End,
            Err(error) => return tap.give_up(&error),
        };
        let shared = self.is_shared(tap);
        let cut = tap.cut(self.lens.bytes(count), shared);
        if cut == 0 {
            return tap.wait();
        }
        let held = self.lens.bytes(count);
        let delivery = Delivery {
            journal: &mut self.journal,
            tell: &self.tell,
            tap,
            origin: Origin::Pipe,
            now: Instant::now(),
        };
        let fate = match tap.files.is_empty() {
            true => Some(Fate::Shown(cut)),
            false if tap.kept.is_some() => None,
            false => delivery.deliver(&mut self.files, &held[..cut]).map(Fate::Written),
        };
        let fate = match fate {
            Some(fate) => fate,
            None => match self.make_room(tap, count) {
                Some(fate) => fate,
                None => return tap.wait(),
            },
        };
        let held = self.lens.bytes(count);
        let (shown, count, consumed) = match &fate {
            Fate::Written(done) => (done.bytes(), done.taken, self.journal.consume(&tap.pipe, done.taken)),
            Fate::Kept(count) => (&held[..*count], *count, self.journal.consume(&tap.pipe, *count)),
            Fate::Shown(count) | Fate::Lost(count) => {
                (&held[..*count], *count, consume(&tap.pipe, &self.void, *count))
            }
        };
        if let Err(error) = consumed {
            return tap.give_up(&error);
        }
        let end = || self.files.get(tap.files.first()?)?.place();
        tap.framing.publish(&tap.source, shown, &mut self.audience, end);
        let refused = match fate {
            Fate::Written(_) => {
                tap.tally.wrote(count);
                false
            }
            Fate::Shown(_) => false,
            Fate::Kept(_) | Fate::Lost(_) => true,
        };
        if shared || refused {
            tap.framing.interleaved();
        }
        match tap.moved(count) {
            Next::Turn if refused => tap.wait(),
            next => next,
        }
    }

    fn is_shared(&self, tap: &Tap) -> bool {
        tap.files.iter().any(|path| self.files.get(path).is_some_and(|file| !file.sole()))
    }

    /// The file takes nothing of the `count` bytes that the pipe holds. What becomes of them is noted before it happens; `None`: they
    /// stay.
    fn make_room(&mut self, tap: &mut Tap, count: usize) -> Option<Fate<'static>> {
        if tap.is_released() && !self.may_wait(tap) {
            self.lose(tap, Loss::of(self.lens.bytes(count)));
            return Some(Fate::Lost(count));
        }
        match tap.spill(self.lens.bytes(count)) {
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

    /// Writes what is on the shelf. `None`: the file takes nothing, and it is the pipe's turn.
    fn carry_kept(&mut self, tap: &mut Tap, slot: Slot) -> Option<Next> {
        let moved = self.shelf.bytes(slot).and_then(|(bytes, start)| {
            let delivery = Delivery {
                journal: &mut self.journal,
                tell: &self.tell,
                tap,
                origin: Origin::Shelf(start),
                now: Instant::now(),
            };
            let written = delivery.deliver(&mut self.files, &bytes).map(|delivered| delivered.taken);
            let given_up = written.is_none() && tap.is_given_up();
            if given_up {
                self.lose(tap, Loss::of(&bytes));
            }
            let Some(count) = written.or(given_up.then_some(bytes.len())) else { return Ok(false) };
            if let Some(count) = written {
                tap.tally.wrote(count);
            }
            if self.shelf.take(slot, count)? {
                tap.kept = None;
            }
            self.journal.retract()?;
            Ok(true)
        });
        let moved = moved.unwrap_or_else(|error| {
            tracing::error!("what was kept of the output of {} is lost: {error}", tap.source.app);
            tap.kept = None;
            true
        });
        self.note_kept(tap);
        tap.framing.interleaved();
        moved.then_some(Next::Turn)
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

    /// These bytes of this source will be in none of its files.
    fn lose(&mut self, tap: &Tap, loss: Loss) {
        tap.tally.lost(loss);
        let cause = tap.files.iter().find_map(|path| self.files.get(path)?.cause().cloned());
        for path in &tap.files {
            if let (Some(file), Some(cause)) = (self.files.get_mut(path), &cause) {
                file.lose(tap.key, loss, cause);
            }
        }
    }

    pub(super) fn close(&mut self, mut tap: Tap) {
        let end = self.end_of(&tap);
        if let Some(end) = &end {
            (self.tell)(Notice::Ended { source: tap.source.clone(), mark: Mark::now(end.bookmark.place) });
        }
        tap.framing.finish(&tap.source, &mut self.audience, end);
        // The keeper holds the same open file description: closing alone would not end the watch (epoll(7)).
        let _ = self.epoll.delete(&tap.pipe);
        for path in &tap.files {
            if self.files.get_mut(path).is_some_and(|file| file.leave(&tap.source.app, tap.key, &self.tell)) {
                self.files.remove(path);
            }
        }
        let Tap { source, pipe, .. } = tap;
        drop(pipe);
        self.ended(&source);
    }
}
