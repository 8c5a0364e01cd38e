//! The lines of a log that a reader wants.
//!
//! Question answered here: *where do the last n wanted lines begin, and what are they?* Whatever the size of the files and the
//! length of their lines, it needs a fixed amount of memory: where every line is wanted the beginning is found backwards, otherwise
//! wanted lines are counted first and shown when the number of those to be left out is known.

use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt;
use std::sync::Weak;

use supd_api::{LogLine, LogText};
use tokio::sync::mpsc;

use super::chapter::{BLOCK, Chapter, Text, chapters, from_bookmark, within};
use super::live::{Feed, Reached, SHOWN};
use super::place::{Bookmark, FileId, Place};
use super::selection::{Judge, Verdict};
use super::subscription::{Opened, Wanted};

const WAITING_LINES: usize = 64;

/// Reads what is wanted of each file, by a thread that ends when the receiver is dropped. It is none of the runtime's
/// blocking ones: those are few, and a reader that never takes a line would keep one from everybody.
pub(super) fn read(files: Vec<Opened>, wanted: Wanted, reader: Weak<Feed>) -> mpsc::Receiver<LogLine> {
    let (out, lines) = mpsc::channel(WAITING_LINES);
    let tail = Tail { wanted, reader, out };
    let run = move || {
        for file in &files {
            if let Err(Over) = tail.tell(file) {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("log-tail".to_owned()).spawn(run) {
        tracing::error!("the last lines cannot be read: {error}");
    }
    lines
}

/// The reader has gone.
struct Over;

struct Tail {
    wanted: Wanted,
    /// Gone when nobody waits for lines any more, also while none is found.
    reader: Weak<Feed>,
    out: mpsc::Sender<LogLine>,
}

/// A chapter, and how many of its wanted lines are left out.
struct Piece {
    chapter: Chapter,
    skip: usize,
}

impl Tail {
    fn given_up(&self) -> bool {
        self.reader.strong_count() == 0
    }

    fn send(&self, line: LogLine) -> Result<(), Over> {
        self.out.blocking_send(line).map_err(|_| Over)
    }

    fn tell(&self, file: &Opened) -> Result<(), Over> {
        let path = || file.about.path.display().to_string();
        let failed = |error: io::Error| tracing::warn!("cannot read {}: {error}", file.about.path.display());
        let pieces = match self.begin(file) {
            Ok(Begin::There(pieces)) => pieces,
            Ok(Begin::Lost(pieces)) => {
                self.send(LogLine::Gap { path: path() })?;
                pieces
            }
            Err(error) => {
                failed(error);
                Vec::new()
            }
        };
        if self.wanted.tail != Some(0) && self.wanted.from.is_empty() {
            self.send(LogLine::File { path: path(), lines: self.wanted.tail })?;
        }
        for piece in pieces {
            match self.show(&piece, file) {
                Ok(shown) => shown?,
                Err(error) => failed(error),
            }
        }
        if self.wanted.positions
            && let Ok(metadata) = file.file.metadata()
        {
            let path = &file.about.path;
            let place = Place { file: FileId::of(&metadata), offset: file.end };
            let bookmark = Bookmark::new(path, place, &metadata);
            self.send(Reached { path: path.clone(), bookmark }.told())?;
        }
        Ok(())
    }

    fn begin(&self, file: &Opened) -> io::Result<Begin> {
        if self.wanted.from.is_empty() && self.wanted.tail == Some(0) {
            return Ok(Begin::There(Vec::new()));
        }
        let mut chapters = chapters(file)?;
        if self.wanted.from.is_empty() {
            if let Some(extent) = &file.about.extent {
                chapters = within(chapters, extent);
            }
            chapters.retain(|chapter| self.wanted.selection.may_be_in(chapter.times));
            return Ok(Begin::There(self.last(chapters)));
        }
        let whole =
            |chapters: Vec<Chapter>| chapters.into_iter().map(|chapter| Piece { chapter, skip: 0 }).collect();
        Ok(match self.wanted.from.iter().find(|bookmark| bookmark.is_in(&file.about.path)) {
            Some(bookmark) => match from_bookmark(&chapters, bookmark) {
                Some(rest) => Begin::There(whole(rest)),
                None => Begin::Lost(whole(chapters.split_off(chapters.len() - 1))),
            },
            // It has come into being since.
            None => Begin::There(whole(chapters.split_off(chapters.len() - 1))),
        })
    }

    /// The pieces that hold the last wanted lines.
    fn last(&self, mut chapters: Vec<Chapter>) -> Vec<Piece> {
        let Some(mut need) = self.wanted.tail else {
            return chapters.into_iter().map(|chapter| Piece { chapter, skip: 0 }).collect();
        };
        let mut pieces = Vec::new();
        while need > 0
            && let Some(chapter) = chapters.pop()
            && !self.given_up()
        {
            let path = chapter.path.clone();
            match self.last_of(chapter, need) {
                Ok((piece, found)) => {
                    need -= found;
                    pieces.push(piece);
                }
                // It was removed because it was old, or is packed in a way of others.
                Err(error) => tracing::warn!("cannot read {}: {error}", path.display()),
            }
        }
        pieces.reverse();
        pieces
    }

    /// Where the last `need` wanted lines of a chapter begin, and how many there are of them.
    fn last_of(&self, mut chapter: Chapter, need: usize) -> io::Result<(Piece, usize)> {
        match chapter.open()? {
            Text::Plain { file, from, to } if self.wanted.selection.is_everything() => {
                let (start, found) = last_lines(&file, from, to, need, || self.given_up())?;
                chapter.from = start;
                Ok((Piece { chapter, skip: 0 }, found))
            }
            text => {
                let mut judge = Judge::new(&self.wanted.selection, chapter.times);
                let (mut reader, mut count) = (text.reader()?, 0);
                while let Some(line) = next_line(&mut reader, || self.given_up())? {
                    count += usize::from(judge.judge(&line) != Verdict::Unwanted);
                }
                Ok((Piece { chapter, skip: count.saturating_sub(need) }, count.min(need)))
            }
        }
    }

    fn show(&self, piece: &Piece, file: &Opened) -> io::Result<Result<(), Over>> {
        let chapter = &piece.chapter;
        let mut reader = chapter.open()?.reader()?;
        let mut judge = Judge::new(&self.wanted.selection, chapter.times);
        let (mut skip, mut told) = (piece.skip, false);
        while let Some(line) = next_line(&mut reader, || self.given_up())? {
            let Verdict::Wanted { at, undated } = judge.judge(&line) else { continue };
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if undated && !std::mem::replace(&mut told, true) {
                let path = chapter.path.display().to_string();
                let times = chapter.times;
                let told = self.send(LogLine::Undated { path, after: times.after, before: times.before });
                if told.is_err() {
                    return Ok(told);
                }
            }
            let line = LogLine::Line {
                app: file.about.app.clone(),
                worker: file.about.worker,
                stream: file.about.stream,
                at,
                text: LogText::from(line),
            };
            if self.send(line).is_err() {
                return Ok(Err(Over));
            }
        }
        Ok(Ok(()))
    }
}

enum Begin {
    There(Vec<Piece>),
    /// The place where the reader was is not in this log any more. There are these.
    Lost(Vec<Piece>),
}

/// The offset of the last `count` lines between `from` and `to`, found block by block backwards, and how many they are.
fn last_lines(
    file: &File,
    from: u64,
    to: u64,
    count: usize,
    given_up: impl Fn() -> bool,
) -> io::Result<(u64, usize)> {
    let mut block = vec![0; BLOCK];
    let mut newlines = 0;
    let mut position = to;
    while position > from && !given_up() {
        let length = (position - from).min(BLOCK as u64);
        position -= length;
        let bytes = &mut block[..usize::try_from(length).unwrap_or(BLOCK)];
        file.read_exact_at(bytes, position)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = position + index as u64 + 1;
            // The newline at the very end closes the last line and begins none.
            newlines += usize::from(after < to);
            if newlines == count && after < to {
                return Ok((after, count));
            }
        }
    }
    Ok((position, newlines + usize::from(to > from)))
}

/// The next line without its newline and without what is beyond [`SHOWN`]; `None` at the end, or when nobody wants it any more.
fn next_line(reader: &mut impl BufRead, given_up: impl Fn() -> bool) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any.then_some(line));
        }
        if given_up() {
            return Ok(None);
        }
        any = true;
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        let text = &bytes[..newline.unwrap_or(bytes.len())];
        line.extend_from_slice(&text[..text.len().min(SHOWN - line.len())]);
        let used = newline.map_or(bytes.len(), |newline| newline + 1);
        reader.consume(used);
        if newline.is_some() {
            return Ok(Some(line));
        }
    }
}
