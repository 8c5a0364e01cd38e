//! One turn of one pipe.
//!
//! Question answered here: *what becomes of the first bytes of this pipe now?* They are written, sent, shown, lost, or left where they are.

use std::time::Instant;

use super::Notice;
use super::deliver::{Delivered, Delivery};
use super::journal::Origin;
use super::pipe::{Peek, consume};
use super::place::Mark;
use super::sink::Taken;
use super::tap::{Next, Tap};
use super::thread::LogThread;

/// What becomes of so many of the first bytes of a pipe.
pub(super) enum Fate<'a> {
    /// They are in the file.
    Written(Delivered<'a>),
    /// There is no file for them, nor anything else.
    Shown(usize),
    /// They are with the sink that stands in place of files, and have left the pipe.
    Sent(usize),
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
        let count = match self.look(tap) {
            Ok(count) => count,
            Err(next) => return next,
        };
        let shared = tap.files.iter().any(|path| self.files.get(path).is_some_and(|file| !file.sole()));
        let cut = tap.cut(self.lens.bytes(count), shared);
        if cut == 0 {
            return tap.wait();
        }
        let fate = match (tap.files.is_empty(), &tap.branch) {
            (true, None) => Some(Fate::Shown(cut)),
            // What came first goes first.
            _ if tap.kept.is_some() => None,
            (true, Some(_)) => match self.send(tap, cut) {
                Ok(fate) => fate,
                Err(next) => return next,
            },
            (false, _) => {
                let (journal, origin, now) = (&mut self.journal, Origin::Pipe, Instant::now());
                let delivery = Delivery { journal, tell: &self.tell, tap, origin, now };
                delivery.deliver(&mut self.files, self.lens.bytes(cut)).map(Fate::Written)
            }
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
            Fate::Sent(count) => (&held[..*count], *count, Ok(())),
            Fate::Kept(count) => (&held[..*count], *count, self.journal.consume(&tap.pipe, *count)),
            Fate::Shown(count) | Fate::Lost(count) => {
                (&held[..*count], *count, consume(&tap.pipe, &self.void, *count))
            }
        };
        if let Err(error) = consumed {
            return tap.give_up(&error);
        }
        if let Fate::Written(done) = &fate {
            self.sinks.copy(tap, &held[..done.taken], &self.tell);
        }
        let end = || self.files.get(tap.files.first()?)?.place();
        tap.framing.publish(&tap.source, shown, &mut self.audience, end);
        tap.left(&fate, count, shared)
    }

    fn look(&mut self, tap: &mut Tap) -> Result<usize, Next> {
        match self.lens.peek(&tap.pipe) {
            Ok(Peek::Bytes(count)) => Ok(count),
            Ok(Peek::Empty | Peek::End) if tap.kept.is_some() => Err(tap.wait()),
            Ok(Peek::Empty) => Err(tap.empty()),
            Ok(Peek::End) => Err(Next::End),
            Err(error) => Err(tap.give_up(&error)),
        }
    }

    /// Offers so many of the first bytes that the pipe holds to the sink that stands in place of files. `None`: it does not work;
    /// `Err`: they stay for now.
    fn send(&mut self, tap: &mut Tap, cut: usize) -> Result<Option<Fate<'static>>, Next> {
        let leave = |count| consume(&tap.pipe, &self.void, count);
        match self.sinks.deliver(tap, self.lens.bytes(cut), &self.tell, leave) {
            Err(error) => Err(tap.give_up(&error)),
            Ok(Taken::Sent(sent)) => Ok(Some(Fate::Sent(sent))),
            Ok(Taken::Busy) => Err(tap.wait()),
            Ok(Taken::Refused) => Ok(None),
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
        if let Some(branch) = &tap.branch {
            self.sinks.leave(branch, tap.key, &self.tell);
        }
        let Tap { source, pipe, .. } = tap;
        drop(pipe);
        self.ended(&source);
    }
}

impl Tap {
    /// So many bytes have left the pipe like this.
    fn left(&mut self, fate: &Fate<'_>, count: usize, shared: bool) -> Next {
        let refused = match fate {
            Fate::Written(_) | Fate::Sent(_) => {
                self.tally.wrote(count);
                false
            }
            Fate::Shown(_) => false,
            Fate::Kept(_) | Fate::Lost(_) => true,
        };
        if shared || refused {
            self.framing.interleaved();
        }
        match self.moved(count) {
            Next::Turn if refused => self.wait(),
            next => next,
        }
    }
}
