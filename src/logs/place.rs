//! A place in a log file, and the stretch of it that one run has written.
//!
//! Question answered here: *which byte of which file is meant, whatever it is called by now?* A rename changes nothing. It may not open files.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file, whatever its name: a hash of its device, its inode, and when it was made, for a file system gives the inode of a file that
/// was removed to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(u64);

impl FileId {
    pub(super) fn of(file: &Metadata) -> Self {
        // Not every file system knows.
        let made =
            file.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let parts = [u128::from(file.dev()), u128::from(file.ino()), made.as_nanos()];
        Self(parts.iter().fold(FNV, |hash, part| fnv(hash, &part.to_be_bytes())))
    }
}

/// FNV-1a: the same in every version of supd.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The name of a log in memory that outlives this process.
pub(super) fn path_hash(path: &Path) -> u64 {
    fnv(FNV, path.as_os_str().as_bytes())
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// So many bytes into a file. Written as two hexadecimal numbers, `file.offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) file: FileId,
    /// In bytes.
    pub(super) offset: u64,
}

impl Place {
    /// The end of this file now.
    pub(super) fn end_of(file: &Metadata) -> Self {
        Self { file: FileId::of(file), offset: file.len() }
    }

    /// So many bytes earlier.
    pub(super) fn back(self, bytes: u64) -> Self {
        Self { offset: self.offset.saturating_sub(bytes), ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}.{:x}", self.file.0, self.offset)
    }
}

/// This is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a place as a `position` tells it")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| NoPlace);
        let (file, offset) = text.split_once('.').ok_or(NoPlace)?;
        Ok(Self { file: FileId(number(file)?), offset: number(offset)? })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a reader has come in a log. Written as a place with two more numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    pub(super) place: Place,
    /// When the file was written last, or was at some moment since it reached this place, in nanoseconds since the epoch: by that it is
    /// recognised when it has been packed.
    pub(super) modified: u64,
    /// Which log: a hash of its path.
    log: u64,
}

impl Bookmark {
    /// At this place in the log of this path; `file` is what is known of the file.
    pub(super) fn new(path: &Path, place: Place, file: &Metadata) -> Self {
        Self { place, modified: nanos(file), log: path_hash(path) }
    }

    /// Whether it is one in the log of this path.
    pub(super) fn is_in(&self, path: &Path) -> bool {
        self.log == path_hash(path)
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:x}.{:x}", self.place, self.modified, self.log)
    }
}

impl FromStr for Bookmark {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |text: &str| u64::from_str_radix(text, 16).map_err(|_| NoPlace);
        let mut parts = text.rsplitn(3, '.');
        let mut next = || parts.next().ok_or(NoPlace);
        Ok(Self { log: number(next()?)?, modified: number(next()?)?, place: next()?.parse()? })
    }
}

/// A place and the moment at which a file ended there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where.
    pub place: Place,
    /// When, in milliseconds since the epoch.
    pub at: u64,
}

impl Mark {
    /// A file ends there at this moment.
    pub(super) fn now(place: Place) -> Self {
        Self { place, at: millis(SystemTime::now()) }
    }

    /// A clock may stand still, or be set back.
    fn precedes(&self, other: &Self) -> bool {
        if self.place.file == other.place.file {
            self.place.offset < other.place.offset
        } else {
            self.at < other.at
        }
    }
}

/// What one run has written of a log. Others may have written in between, where they share the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Where it began.
    pub begin: Mark,
    /// Where it ended; `None`: it goes on.
    pub end: Option<Mark>,
}

impl Extent {
    /// The smallest one that holds both.
    pub(super) fn hull(self, other: Self) -> Self {
        let begin = if other.begin.precedes(&self.begin) { other.begin } else { self.begin };
        let end = self.end.zip(other.end).map(|(one, two)| if one.precedes(&two) { two } else { one });
        Self { begin, end }
    }
}

/// When it was written last, in nanoseconds since the epoch.
pub(super) fn nanos(file: &Metadata) -> u64 {
    let nanos = file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec());
    u64::try_from(nanos).unwrap_or_default()
}

/// Milliseconds since the epoch.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_travel_as_text() {
        let place = Place { file: FileId(u64::MAX), offset: 10 };
        assert_eq!(place.to_string(), "ffffffffffffffff.a");
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!(serde_json::from_str::<Place>("\"ffffffffffffffff.a\"").unwrap(), place);
        for text in ["", "1", "1.2.3", "1.x", "1.10000000000000000", "1."] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
        let bookmark = Bookmark { place, modified: 7, log: 8 };
        assert_eq!(bookmark.to_string(), "ffffffffffffffff.a.7.8");
        assert_eq!(bookmark.to_string().parse(), Ok(bookmark));
        for text in ["", "1.2.3", "1.2.3.4.5", "1.2.3.x"] {
            assert_eq!(text.parse::<Bookmark>(), Err(NoPlace), "{text}");
        }
    }
}
