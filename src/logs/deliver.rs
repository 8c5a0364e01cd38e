//! One chunk on its way into its files.
//!
//! Question answered here: *how much of this may leave the pipe?* The first file decides that; a second one gets a copy, and what
//! it does not take is missing there and told there, unless nothing may be missing: then both must take it. It may not take anything
//! out of the pipe.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use supd_api::OnFull;

use super::Notice;
use super::file::{Appended, LogFile, Writer};
use super::form::{Form, Framed, MOST};
use super::journal::{Journal, Origin, Part};
use super::loss::Loss;
use super::tap::Tap;

/// What is in the files now.
pub(super) struct Delivered<'a> {
    /// So many bytes of output.
    pub(super) taken: usize,
    framed: Framed<'a>,
    length: usize,
}

impl Delivered<'_> {
    /// As they are in the first file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.framed.bytes[..self.length]
    }
}

/// Why nothing is.
enum Refusal {
    /// The first file takes nothing.
    Main(io::Error),
    /// The copy takes nothing, and nothing may be missing there.
    Copy,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Main(error)
    }
}

/// Output, and where it goes.
pub(super) struct Delivery<'a> {
    pub(super) journal: &'a mut Journal,
    pub(super) tell: &'a dyn Fn(Notice),
    pub(super) tap: &'a Tap,
    pub(super) origin: Origin,
    pub(super) now: Instant,
}

impl Delivery<'_> {
    /// `None`: nothing can be written now.
    pub(super) fn deliver<'a>(
        mut self,
        files: &mut HashMap<PathBuf, LogFile>,
        bytes: &'a [u8],
    ) -> Option<Delivered<'a>> {
        let (main, copy) = match self.tap.files.as_slice() {
            [main, copy] => {
                let [main, copy] = files.get_disjoint_mut([main.as_path(), copy.as_path()]);
                (main?, copy)
            }
            other => (files.get_mut(other.first()?)?, None),
        };
        if main.refuses(self.now) {
            return None;
        }
        if self.needs_copy() && copy.as_ref().is_some_and(|copy| copy.refuses(self.now)) {
            return None;
        }
        match self.write(main, copy, bytes) {
            Ok(delivered) => {
                main.succeed(self.tell);
                Some(delivered)
            }
            Err(refusal) => {
                // Bytes that are dropped hereafter must not be taken for these.
                if let Err(error) = self.journal.retract() {
                    tracing::error!("the journal of output cannot be written: {error}");
                }
                match refusal {
                    Refusal::Main(error) => main.fail(error, self.now, self.tell),
                    Refusal::Copy => {}
                }
                None
            }
        }
    }

    fn write<'a>(
        &mut self,
        main: &mut LogFile,
        mut copy: Option<&mut LogFile>,
        bytes: &'a [u8],
    ) -> Result<Delivered<'a>, Refusal> {
        let writer = self.tap.writer();
        if let Some(framed) = main.write_rest(writer)? {
            self.journal.retract()?;
            return Ok(Delivered { taken: framed.taken(), length: framed.bytes.len(), framed });
        }
        let (before, framed) = self.fit(main, bytes, |file, before| file.room(before, self.now).min(MOST))?;
        let twin = copy.as_deref_mut().and_then(|copy| self.prepare(copy, &bytes[..framed.taken()]));
        if self.needs_copy() && copy.is_some() && twin.is_none() {
            return Err(Refusal::Copy);
        }
        let parts = [
            Some(self.part(&before, &framed)),
            twin.as_ref().map(|(before, framed)| self.part(before, framed)),
        ];
        self.journal.intend(&self.tap.source, self.origin, framed.taken(), &parts)?;
        let end = main.end();
        let Appended { mut length, mut taken, .. } =
            main.append(writer, &framed, framed.bytes.len(), &before)?;
        let mut copied = 0;
        if let Some(copy) = copy {
            let there;
            (copied, there) = self.copy(copy, twin.as_ref(), taken);
            let wanted = if there < taken && self.needs_copy() { framed.length_of(there) } else { length };
            if wanted < length && main.take_back(&framed.bytes[..length], wanted, &before, end, writer.key) {
                (length, taken) = (wanted, there);
            } else if there < taken {
                self.lose(copy, &bytes[there..taken]);
            }
        }
        if taken == 0 {
            return Err(Refusal::Copy);
        }
        if length < framed.bytes.len() || twin.is_some_and(|(_, twin)| copied < twin.bytes.len()) {
            self.journal.shrink(taken, [length, copied])?;
        }
        Ok(Delivered { taken, framed, length })
    }

    /// Whether nothing may be missing in the copy.
    fn needs_copy(&self) -> bool {
        match self.tap.on_full {
            OnFull::Block => true,
            OnFull::DropOldest | OnFull::DropNewest => false,
        }
    }

    /// These bytes are in the first file and will not be in the copy.
    fn lose(&self, copy: &mut LogFile, bytes: &[u8]) {
        let loss = Loss::of(bytes);
        if let Some(cause) = copy.cause().cloned() {
            copy.lose(self.tap.key, loss, &cause);
            self.tap.tally.lost(loss);
        }
    }

    /// What comes from the shelf is not in the pipe any more.
    fn part<'b>(&self, file: &'b Metadata, framed: &'b Framed<'_>) -> Part<'b> {
        let framed_there = !framed.is_plain() || self.origin != Origin::Pipe;
        Part { file, bytes: &framed.bytes, framed: framed_there }
    }

    fn prepare<'a>(&self, copy: &mut LogFile, bytes: &'a [u8]) -> Option<(Metadata, Framed<'a>)> {
        if copy.refuses(self.now) {
            return None;
        }
        let fit = self.fit(copy, bytes, |_, _| usize::MAX);
        fit.map_err(|error| copy.fail(error, self.now, self.tell)).ok()
    }

    /// As many of these bytes as there is `room` for in this file, or in the next one if it is put aside now.
    fn fit<'a>(
        &self,
        file: &mut LogFile,
        bytes: &'a [u8],
        room: impl Fn(&LogFile, &Metadata) -> usize,
    ) -> io::Result<(Metadata, Framed<'a>)> {
        let writer = self.tap.writer();
        let before = file.prepare(writer)?;
        let framed = writer.form.frame(bytes, file.after(writer), room(file, &before));
        if !file.rotate_before(&before, framed.bytes.len(), self.now) {
            return Ok((before, framed));
        }
        let before = file.prepare(writer)?;
        let framed = writer.form.frame(bytes, file.after(writer), room(file, &before));
        Ok((before, framed))
    }

    /// So many bytes of output go into the copy too. How long they are there, and how many bytes of output they are.
    fn copy(
        &self,
        copy: &mut LogFile,
        twin: Option<&(Metadata, Framed<'_>)>,
        taken: usize,
    ) -> (usize, usize) {
        let Some((before, framed)) = twin else { return (0, 0) };
        match copy.append(self.tap.writer(), framed, framed.length_of(taken), before) {
            Ok(Appended { length, taken: copied, obstacle }) => {
                match obstacle {
                    Some(error) => copy.fail(error, self.now, self.tell),
                    None => copy.succeed(self.tell),
                }
                (length, copied)
            }
            Err(error) => {
                copy.fail(error, self.now, self.tell);
                (0, 0)
            }
        }
    }
}

impl Tap {
    fn writer(&self) -> Writer<'_> {
        let form: &Form = &self.form;
        Writer { key: self.key, resumed: self.resumed, form }
    }
}
