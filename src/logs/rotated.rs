//! The rotated files of a log.
//!
//! Question answered here: *which files hold the older lines of this log?* It may not open them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a rotated file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// A file that was a log until it was renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) compression: Option<Compression>,
}

/// The rotated files of the log at this path, oldest first: `<stem>__<date>.log`, perhaps with `.gz` or `.zst`, as
/// pm2-logrotate names them. Where a file is there plain and packed, only the plain one counts: it is being packed.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
    let (Some(directory), Some(stem)) = (path.parent(), path.file_stem()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some((date, compression)) = date_of(&name, stem) {
            found.push((date, compression, directory.join(&name)));
        }
    }
    // A number behind the date counts like one: `…-2` comes after `…` and before `…-10`.
    found.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
    found.sort_by(|a, b| a.0.get(..DATE).cmp(&b.0.get(..DATE)));
    found.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same && later.1.is_none() {
            std::mem::swap(later, earlier);
        }
        same
    });
    Ok(found.into_iter().map(|(_, compression, path)| Rotated { path, compression }).collect())
}

/// How long `YYYY-MM-DD_HH-mm-ss` is.
const DATE: usize = 19;

fn date_of(name: &OsStr, stem: &OsStr) -> Option<(Vec<u8>, Option<Compression>)> {
    let rest = name.as_bytes().strip_prefix(stem.as_bytes())?.strip_prefix(b"__")?;
    let packed = [(b".gz".as_slice(), Compression::Gzip), (b".zst", Compression::Zstd)];
    let found = packed.into_iter().find_map(|(end, kind)| Some((rest.strip_suffix(end)?, kind)));
    let (rest, compression) = found.map_or((rest, None), |(rest, kind)| (rest, Some(kind)));
    Some((rest.strip_suffix(b".log")?.to_vec(), compression))
}
