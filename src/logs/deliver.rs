//! One chunk on its way into its files.
//!
//! Question answered here: *how much of this may leave the pipe?* The first file decides that; a second one gets a copy, and what
//! it does not take is missing there and told there. It may not take anything out of the pipe.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::Notice;
use super::file::{LogFile, Writer};
use super::form::{Form, Framed, MOST};
use super::journal::{Journal, Part};
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

/// Output, and where it goes.
pub(super) struct Delivery<'a> {
    pub(super) journal: &'a mut Journal,
    pub(super) tell: &'a dyn Fn(Notice),
    pub(super) tap: &'a Tap,
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
        match self.write(main, copy, bytes) {
            Ok(delivered) => {
                main.succeed(self.tell);
                Some(delivered)
            }
            Err(error) => {
                // Bytes that are dropped hereafter must not be taken for these.
                if let Err(error) = self.journal.retract() {
                    tracing::error!("the journal of output cannot be written: {error}");
                }
                main.fail(error, self.now, self.tell);
                None
            }
        }
    }

    fn write<'a>(
        &mut self,
        main: &mut LogFile,
        mut copy: Option<&mut LogFile>,
        bytes: &'a [u8],
    ) -> io::Result<Delivered<'a>> {
        let writer = self.tap.writer();
        if let Some(framed) = main.write_rest(writer)? {
            self.journal.retract()?;
            return Ok(Delivered { taken: framed.taken(), length: framed.bytes.len(), framed });
        }
        let (before, framed) = self.fit(main, bytes, |file, before| file.room(before, self.now).min(MOST))?;
        let twin = copy.as_deref_mut().and_then(|copy| self.prepare(copy, &bytes[..framed.taken()]));
        let parts =
            [Some(part(&before, &framed)), twin.as_ref().map(|(before, framed)| part(before, framed))];
        self.journal.intend(&self.tap.source, framed.taken(), &parts)?;
        let (length, taken) = main.append(writer, &framed, framed.bytes.len(), &before)?;
        let copied = copy.map_or(0, |copy| self.copy(copy, twin.as_ref(), taken));
        if length < framed.bytes.len() || twin.is_some_and(|(_, twin)| copied < twin.bytes.len()) {
            self.journal.shrink(taken, [length, copied])?;
        }
        Ok(Delivered { taken, framed, length })
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

    /// So many bytes of output go into the copy too. How long they are there.
    fn copy(&self, copy: &mut LogFile, twin: Option<&(Metadata, Framed<'_>)>, taken: usize) -> usize {
        let Some((before, framed)) = twin else {
            copy.lose(taken);
            return 0;
        };
        match copy.append(self.tap.writer(), framed, framed.length_of(taken), before) {
            Ok((length, copied)) if copied == taken => {
                copy.succeed(self.tell);
                length
            }
            Ok((length, copied)) => {
                copy.fail(io::ErrorKind::StorageFull.into(), self.now, self.tell);
                copy.lose(taken - copied);
                length
            }
            Err(error) => {
                copy.fail(error, self.now, self.tell);
                copy.lose(taken);
                0
            }
        }
    }
}

fn part<'a>(file: &'a Metadata, framed: &'a Framed<'_>) -> Part<'a> {
    Part { file, bytes: &framed.bytes, framed: !framed.is_plain() }
}

impl Tap {
    fn writer(&self) -> Writer<'_> {
        let form: &Form = &self.form;
        Writer { key: self.key, resumed: self.resumed, form }
    }
}
