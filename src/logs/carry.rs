//! One turn of one pipe.
//!
//! Question answered here: *what becomes of the first bytes of this pipe now?* They are written, sent, shown, lost, or left where they are.

use std::time::Instant;

use super::Notice;
use super::deliver::{Delivered, Delivery};
use super::pipe::{Peek, consume};
use super::place::Mark;
use super::sink::Taken;
use super::tap::{Next, Tap};
use super::thread::LogThread;

/// What becomes of so many of the first bytes of a pipe.
enum Fate<'a> {
    /// They are in the file.
    Written(Delivered<'a>),
    /// There is no file for them, nor anything else.
    Shown(usize),
    /// They are with the sink that stands in place of files, and have left the pipe.
    Sent(usize),
    /// The file takes nothing, and they must make room.
    Lost(usize),
}

impl LogThread {
    /// Carries one chunk.
    pub(super) fn carry(&mut self, tap: &mut Tap) -> Next {
        let count = match self.lens.peek(&tap.pipe) {
            Ok(Peek::Empty) => return tap.empty(),
            Ok(Peek::End) => return Next::End,
            Ok(Peek::Bytes(count)) => count,
            Err(error) => return tap.give_up(&error),
        };
        let shared = tap.files.iter().any(|path| self.files.get(path).is_some_and(|file| !file.sole()));
        let cut = tap.cut(self.lens.bytes(count), shared);
        if cut == 0 {
            return tap.wait();
        }
        let fate = match (tap.files.is_empty(), &tap.branch) {
            (true, None) => Fate::Shown(cut),
            (true, Some(_)) => match self.send(tap, count, cut) {
                Ok(fate) => fate,
                Err(next) => return next,
            },
            (false, _) => {
                let held = self.lens.bytes(count);
                let now = Instant::now();
                let delivery = Delivery { journal: &mut self.journal, tell: &self.tell, tap, now };
                match delivery.deliver(&mut self.files, &held[..cut]) {
                    Some(delivered) => Fate::Written(delivered),
                    None => {
                        let lost = tap.spill(held);
                        if let Some(file) = tap.files.first().and_then(|main| self.files.get_mut(main)) {
                            file.lose(lost);
                        }
                        Fate::Lost(lost)
                    }
                }
            }
        };
        let held = self.lens.bytes(count);
        let (shown, count, consumed) = match &fate {
            Fate::Lost(0) => return tap.wait(),
            Fate::Written(done) => (done.bytes(), done.taken, self.journal.consume(&tap.pipe, done.taken)),
            Fate::Sent(count) => (&held[..*count], *count, Ok(())),
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
        let lost = matches!(fate, Fate::Lost(_));
        if shared || lost {
            tap.framing.interleaved();
        }
        match tap.moved(count) {
            Next::Turn if lost => tap.wait(),
            next => next,
        }
    }

    /// Offers the first bytes of those that the pipe holds to the sink that stands in place of files. `Err`: they stay for now.
    fn send(&mut self, tap: &mut Tap, held: usize, cut: usize) -> Result<Fate<'static>, Next> {
        let held = self.lens.bytes(held);
        let leave = |count| consume(&tap.pipe, &self.void, count);
        match self.sinks.deliver(tap, &held[..cut], &self.tell, leave) {
            Err(error) => Err(tap.give_up(&error)),
            Ok(Taken::Sent(sent)) => Ok(Fate::Sent(sent)),
            Ok(Taken::Busy) => Err(tap.wait()),
            Ok(Taken::Refused) => {
                let lost = tap.spill(held);
                self.sinks.lose(tap, &held[..lost], &self.tell);
                Ok(Fate::Lost(lost))
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
            if self.files.get_mut(path).is_some_and(|file| file.leave(&tap.source.app, tap.key)) {
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
