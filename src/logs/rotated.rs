//! The rotated files of a log.
//!
//! Question answered here: *which files hold the older lines of this log?* It may not open them.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use supd_api::Compression;

/// A date in a name has at least so many digits: `app__api.log` is another app's.
pub(super) const DIGITS: usize = 4;
/// Behind the name of a file that is being made.
const UNFINISHED: &str = ".tmp";

/// A file that was a log until it was renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) compression: Option<Compression>,
    /// In bytes.
    pub(super) size: u64,
    /// When it was written to last, also if it has been packed since.
    pub(super) modified: SystemTime,
    date: String,
}

/// The rotated files of the log at this path, oldest first: `<stem>__<date>.log`, perhaps with `.gz` or `.zst`, as
/// pm2-logrotate names them. Where a file is there plain and packed, only the plain one counts.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
    let mut found = Vec::new();
    for (name, date, compression) in beside(path)? {
        // One that vanishes meanwhile has been packed or removed.
        let Ok(metadata) = std::fs::symlink_metadata(&name) else { continue };
        if metadata.is_file() {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(Rotated { path: name, compression, size: metadata.len(), modified, date });
        }
    }
    found.sort_by(|a, b| {
        natural(&a.date, &b.date).then(a.compression.is_some().cmp(&b.compression.is_some()))
    });
    found.dedup_by(|later, earlier| later.date == earlier.date);
    // Not by the date alone: its format may begin with the day, and at the end of summer time an hour comes twice.
    found.sort_by_key(|file| file.modified);
    Ok(found)
}

/// What was left when a file was being packed.
pub(super) fn unfinished(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some((directory, stem)) = split(path) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?.path();
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name
            .strip_suffix(UNFINISHED)
            .is_some_and(|name| date_of(name, stem).is_some_and(|(_, packed)| packed.is_some()))
        {
            found.push(entry);
        }
    }
    Ok(found)
}

/// What it is called packed, and what until it is complete.
pub(super) fn packed(path: &Path, compression: Compression) -> (PathBuf, PathBuf) {
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let end = extension(compression);
    (with(end), with(&format!("{end}{UNFINISHED}")))
}

/// What it is called with this date.
pub(super) fn name(path: &Path, date: &str) -> PathBuf {
    let stem = split(path).map_or("", |(_, stem)| stem);
    path.with_file_name(format!("{stem}__{date}.log"))
}

fn extension(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    }
}

fn beside(path: &Path) -> io::Result<Vec<(PathBuf, String, Option<Compression>)>> {
    let Some((directory, stem)) = split(path) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?.path();
        let date = entry.file_name().and_then(|name| name.to_str()).and_then(|name| date_of(name, stem));
        if let Some((date, compression)) = date {
            let date = date.to_owned();
            found.push((entry, date, compression));
        }
    }
    Ok(found)
}

fn split(path: &Path) -> Option<(&Path, &str)> {
    let name = path.file_name()?.to_str()?;
    Some((path.parent()?, name.strip_suffix(".log").unwrap_or(name)))
}

fn date_of<'a>(name: &'a str, stem: &str) -> Option<(&'a str, Option<Compression>)> {
    let rest = name.strip_prefix(stem)?.strip_prefix("__")?;
    let packed = |compression| Some((rest.strip_suffix(extension(compression))?, Some(compression)));
    let (rest, compression) =
        packed(Compression::Gzip).or_else(|| packed(Compression::Zstd)).unwrap_or((rest, None));
    let date = rest.strip_suffix(".log")?;
    let digits = date.bytes().filter(u8::is_ascii_digit).count();
    (digits >= DIGITS && !date.contains("__")).then_some((date, compression))
}

/// Numbers compare as numbers: `…-2` comes after `…` and before `…-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let split = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let other = text.bytes().take_while(|byte| !byte.is_ascii_digit()).count();
        digits.max(other)
    };
    let (mut a, mut b) = (a, b);
    while !a.is_empty() && !b.is_empty() {
        let ((first, rest_a), (second, rest_b)) = (a.split_at(split(a)), b.split_at(split(b)));
        let order = match (first.parse::<u64>(), second.parse::<u64>()) {
            (Ok(first), Ok(second)) => first.cmp(&second),
            _ => first.cmp(second),
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn oldest_first_whatever_they_are_called() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.log");
        let date = "2026-10-25_02-30-00";
        for (name, age) in [
            (format!("app__{date}-10.log"), 5),
            (format!("app__{date}-2.log"), 5),
            (format!("app__{date}.log.gz"), 5),
            (format!("app__{date}.log"), 5),
            ("app__2026-10-25_02-10-00.log".to_owned(), 3),
            ("app__31-01-2026.log.zst".to_owned(), 9),
            ("app__api.log".to_owned(), 7),
            ("app__api__2026.log".to_owned(), 7),
            (format!("app__{date}.log.gz.tmp"), 7),
            ("app.log".to_owned(), 1),
            ("apps__2026.log".to_owned(), 1),
        ] {
            let file = std::fs::File::create(directory.path().join(name)).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
            file.set_modified(at).unwrap();
        }
        let names = |paths: Vec<PathBuf>| -> Vec<String> {
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let found = rotated(&path).unwrap();
        assert_eq!(found[0].compression, Some(Compression::Zstd));
        let expected = [
            "app__31-01-2026.log.zst".to_owned(),
            format!("app__{date}.log"),
            format!("app__{date}-2.log"),
            format!("app__{date}-10.log"),
            "app__2026-10-25_02-10-00.log".to_owned(),
        ];
        assert_eq!(names(found.into_iter().map(|file| file.path).collect()), expected);
        assert_eq!(names(unfinished(&path).unwrap()), [format!("app__{date}.log.gz.tmp")]);
        assert_eq!(name(&path, "2026"), directory.path().join("app__2026.log"));
        assert_eq!(name(Path::new("/l/out.txt"), "2026"), Path::new("/l/out.txt__2026.log"));
    }
}
