//! Which lines are in the files of the daemon's log, and which come after them?
//!
//! Files are put aside by being renamed, so an open one is read to its end before the next one is looked for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The log, up to where it has been read.
pub(super) struct Pages {
    /// The newest one first.
    paths: Vec<PathBuf>,
    current: Option<Page>,
    /// The beginning of a line.
    begun: Vec<u8>,
}

struct Page {
    file: File,
    id: (u64, u64),
    read: u64,
}

impl Pages {
    /// The log, and its last lines.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub(super) fn open(paths: Vec<PathBuf>, most: usize) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut pages = Self { paths, current: None, begun: Vec::new() };
        let mut last = VecDeque::new();
        for line in pages.more()? {
            last.push_back(line);
            if last.len() > most {
                last.pop_front();
            }
        }
        Ok((pages, last.into()))
    }

    /// The whole lines that have come since, without their newlines.
    ///
    /// # Errors
    /// As above.
    pub(super) fn more(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        let newer = self.newer()?;
        for mut page in self.current.take().into_iter().chain(newer) {
            if page.file.metadata()?.len() < page.read {
                // It was emptied.
                page.read = 0;
            }
            page.file.seek(SeekFrom::Start(page.read))?;
            page.read += page.file.read_to_end(&mut self.begun)? as u64;
            let mut rest = Vec::new();
            for line in self.begun.split_inclusive(|byte| *byte == b'\n') {
                match line.strip_suffix(b"\n") {
                    Some(line) => lines.push(line.to_vec()),
                    None => rest = line.to_vec(),
                }
            }
            self.begun = rest;
            self.current = Some(page);
        }
        Ok(lines)
    }

    /// What is newer than the current page, oldest first. Opened from the newest one on: should they be renamed
    /// meanwhile, one may come twice, but none is missed.
    fn newer(&self) -> io::Result<Vec<Page>> {
        let mut found: VecDeque<Page> = VecDeque::new();
        for path in &self.paths {
            let file = match File::open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
                }
            };
            let metadata = file.metadata()?;
            let id = (metadata.dev(), metadata.ino());
            if self.current.as_ref().is_some_and(|current| current.id == id) {
                break;
            }
            if found.iter().all(|page| page.id != id) {
                found.push_front(Page { file, id, read: 0 });
            }
        }
        Ok(found.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{OpenOptions, create_dir, rename, write};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_through_all_files_and_followed_over_renames() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["log", "log.1", "log.2"].map(|name| directory.path().join(name)).to_vec();
        let [log, older, oldest] = paths.as_slice() else { panic!("three") };
        let text = |lines: Vec<Vec<u8>>| String::from_utf8(lines.join(&b'|')).unwrap();
        let (_, none) = Pages::open(paths.clone(), 9).unwrap();
        assert!(none.is_empty());
        write(oldest, "1\n2\n").unwrap();
        write(older, "3\n4\n").unwrap();
        write(log, "5\n6").unwrap();
        let (mut pages, last) = Pages::open(paths.clone(), 4).unwrap();
        assert_eq!(text(last), "2|3|4|5");
        assert_eq!(text(pages.more().unwrap()), "");

        let mut open = OpenOptions::new().append(true).open(log).unwrap();
        writeln!(open, "66\n7").unwrap();
        rename(older, oldest).unwrap();
        rename(log, older).unwrap();
        writeln!(open, "8").unwrap();
        write(log, "9\n").unwrap();
        assert_eq!(text(pages.more().unwrap()), "666|7|8|9");
        write(log, "").unwrap();
        assert_eq!(text(pages.more().unwrap()), "");
        write(log, "a\n").unwrap();
        assert_eq!(text(pages.more().unwrap()), "a");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        create_dir(&path).unwrap();
        assert!(Pages::open(vec![path], 1).is_err());
    }
}
