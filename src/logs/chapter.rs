//! A log as one text: its rotated files, packed or not, and the file that is being written.
//!
//! Question answered here: *which bytes are this log, and in which files are they?* Files are opened one at a time. It may
//! not look at lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use supd_api::Compression;

use super::place::{Bookmark, Extent, FileId, Mark, Place, millis, nanos};
use super::rotated::{packed, rotated};
use super::selection::Times;
use super::subscription::Opened;

pub(super) const BLOCK: usize = 64 * 1024;

/// One file of a log, and which part of it.
#[derive(Clone)]
pub(super) struct Chapter {
    pub(super) path: PathBuf,
    pub(super) times: Times,
    /// When it was written last, in nanoseconds since the epoch.
    modified: u64,
    /// Where its part begins, in bytes of text.
    pub(super) from: u64,
    /// Where it ends; `None`: at its end.
    to: Option<u64>,
    file: Option<FileId>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    /// The file that is being written, open since its end was noted.
    Current(Arc<File>),
    Plain,
    Packed(Compression),
}

/// An open chapter.
pub(super) enum Text {
    Plain { file: Arc<File>, from: u64, to: u64 },
    Packed(Box<dyn BufRead>),
}

/// All chapters, oldest first. A file that is rotated while this is found out comes once.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn chapters(opened: &Opened) -> io::Result<Vec<Chapter>> {
    let metadata = opened.file.metadata()?;
    let current = Place { file: FileId::of(&metadata), offset: opened.end };
    let modified = metadata.modified().map(millis)?;
    let mut all: Vec<Chapter> = Vec::new();
    for found in rotated(&opened.about.path)? {
        let Ok(metadata) = std::fs::metadata(&found.path) else { continue };
        let plain = found.compression.is_none();
        all.push(Chapter {
            path: found.path,
            times: Times { after: None, before: metadata.modified().map(millis)? },
            modified: nanos(&metadata),
            from: 0,
            to: None,
            file: plain.then(|| FileId::of(&metadata)),
            body: found.compression.map_or(Body::Plain, Body::Packed),
        });
    }
    let renamed =
        std::fs::metadata(&opened.about.path).ok().map(|now| FileId::of(&now)) != Some(current.file);
    if renamed {
        // What was current when it was opened is among the rotated files now, and what comes behind it is none of this reader's.
        match all.iter().position(|chapter| chapter.file == Some(current.file)) {
            Some(position) => all.truncate(position),
            None => all.retain(|chapter| chapter.times.before < modified),
        }
    }
    all.push(Chapter {
        path: opened.about.path.clone(),
        times: Times { after: None, before: modified },
        modified: nanos(&metadata),
        from: 0,
        to: Some(current.offset),
        file: Some(current.file),
        body: Body::Current(Arc::clone(&opened.file)),
    });
    for index in 1..all.len() {
        all[index].times.after = Some(all[index - 1].times.before);
    }
    Ok(all)
}

/// The rest of a log from here on; `None`: this place is not in it any more.
pub(super) fn from_place(mut chapters: Vec<Chapter>, place: Place) -> Option<Vec<Chapter>> {
    let index = chapters.iter().position(|chapter| chapter.file == Some(place.file))?;
    let mut rest = chapters.split_off(index);
    // A file that has been emptied meanwhile begins anew.
    let length = rest[0].length().ok()?;
    rest[0].from = if place.offset <= length { place.offset } else { 0 };
    Some(rest)
}

/// The rest of a log from where its reader was; `None`: that is not in it any more. A file that has been packed since is recognised by
/// the time at which it was written last.
pub(super) fn from_bookmark(chapters: &[Chapter], bookmark: &Bookmark) -> Option<Vec<Chapter>> {
    from_place(chapters.to_vec(), bookmark.place).or_else(|| {
        // What is not packed would have been recognised. The clock of files ticks in milliseconds, so several may have one time.
        let other = |chapter: &Chapter| chapter.modified == bookmark.modified && !chapter.is_packed();
        let mut rest =
            chapters.iter().filter(|chapter| chapter.modified >= bookmark.modified && !other(chapter));
        let first = rest.next().filter(|chapter| chapter.is_packed())?;
        if rest.next().is_some_and(|second| second.modified == bookmark.modified) {
            return None;
        }
        let index = chapters.iter().position(|chapter| chapter.path == first.path)?;
        let mut rest = chapters[index..].to_vec();
        rest[0].from = bookmark.place.offset;
        Some(rest)
    })
}

/// What a run has written. Where its begin or end is in a file that cannot be recognised any more, because it was packed, the
/// times of files bound it.
pub(super) fn within(chapters: Vec<Chapter>, extent: &Extent) -> Vec<Chapter> {
    let Extent { begin, end } = extent;
    let mut rest = from_place(chapters.clone(), begin.place)
        .unwrap_or_else(|| chapters.into_iter().filter(|chapter| chapter.times.before >= begin.at).collect());
    if let Some(Mark { place, at }) = end {
        match rest.iter().position(|chapter| chapter.file == Some(place.file)) {
            Some(index) => {
                rest.truncate(index + 1);
                let to = rest[index].to.map_or(place.offset, |to| to.min(place.offset));
                rest[index].to = Some(to);
            }
            None => rest.retain(|chapter| chapter.times.after.is_none_or(|after| after < *at)),
        }
    }
    rest
}

impl Chapter {
    fn is_packed(&self) -> bool {
        match self.body {
            Body::Packed(_) => true,
            Body::Plain | Body::Current(_) => false,
        }
    }

    fn length(&self) -> io::Result<u64> {
        match self.to {
            Some(to) => Ok(to),
            None => Ok(std::fs::metadata(&self.path)?.len()),
        }
    }

    /// Opens it. A file that was packed since it was found is read packed.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(&self) -> io::Result<Text> {
        let file = match &self.body {
            Body::Current(file) => Arc::clone(file),
            Body::Packed(compression) => return self.unpacked(&self.path, *compression),
            Body::Plain => match File::open(&self.path) {
                Ok(file) => Arc::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let kinds = [Compression::Gzip, Compression::Zstd].into_iter();
                    let mut kinds = kinds.map(|kind| (packed(&self.path, kind).0, kind));
                    let found = kinds.find(|(path, _)| path.exists());
                    let (path, kind) = found.ok_or(error)?;
                    return self.unpacked(&path, kind);
                }
                Err(error) => return Err(error),
            },
        };
        let length = file.metadata()?.len();
        let to = self.to.map_or(length, |to| to.min(length));
        Ok(Text::Plain { file, from: self.from.min(to), to })
    }

    fn unpacked(&self, path: &Path, compression: Compression) -> io::Result<Text> {
        let file = BufReader::with_capacity(BLOCK, File::open(path)?);
        let text: Box<dyn Read> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(file)?),
        };
        let mut text = BufReader::with_capacity(BLOCK, text);
        io::copy(&mut text.by_ref().take(self.from), &mut io::sink())?;
        let left = self.to.map_or(u64::MAX, |to| to.saturating_sub(self.from));
        Ok(Text::Packed(Box::new(text.take(left))))
    }
}

impl Text {
    /// From its beginning to its end.
    ///
    /// # Errors
    /// Those of lseek(2).
    pub(super) fn reader(self) -> io::Result<Box<dyn BufRead>> {
        match self {
            Self::Packed(reader) => Ok(reader),
            Self::Plain { file, from, to } => {
                // A descriptor of its own for each reader is not needed: nobody else seeks on this one.
                let mut reader = BufReader::with_capacity(BLOCK, file);
                reader.seek(SeekFrom::Start(from))?;
                Ok(Box::new(reader.take(to - from)))
            }
        }
    }
}
