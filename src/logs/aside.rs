//! A log file is put aside.
//!
//! Question answered here: *is it time for this file, and did that work?* Lines are not cut, unless they are longer than any file may
//! be. It may not remove what was put aside.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::file::{End, LogFile};

const ROTATE_AGAIN: Duration = Duration::from_secs(60);

impl LogFile {
    /// How many bytes more it may get before it is put aside.
    pub(super) fn room(&self, before: &Metadata, now: Instant) -> usize {
        match self.rule() {
            Some((_, rule)) if before.is_file() && self.may_rotate(now) => rule.room(before.len()),
            Some(_) | None => usize::MAX,
        }
    }

    /// Puts it aside if it is time to, before so many bytes more go into it. `true`: it has been.
    pub(super) fn rotate_before(&mut self, before: &Metadata, coming: usize, now: Instant) -> bool {
        if !before.is_file() || before.len() == 0 || !self.may_rotate(now) {
            return false;
        }
        let Some((_, rule)) = self.rule() else { return false };
        let time = match self.end {
            End::Line => self.rotation.overdue || rule.room(before.len()) < coming,
            End::Begun(_) => rule.is_overlong(before.len()),
        };
        time && self.rotate(before, now)
    }

    /// When it is to be put aside next, whatever its size.
    pub(super) fn due(&self) -> Option<SystemTime> {
        self.rotation.due
    }

    /// Puts it aside if its time has come, or else as soon as its line ends.
    pub(super) fn tick(&mut self, now: SystemTime) {
        let Some((_, rule)) = self.rule().filter(|_| self.rotation.due.is_some_and(|due| due <= now)) else {
            return;
        };
        self.rotation.due = rule.due_after(now);
        self.rotation.overdue = true;
        if let Ok(before) = self.open().and_then(|file| file.metadata()) {
            self.rotate_before(&before, 0, Instant::now());
        }
        self.rotation.overdue &= self.end != End::Line;
    }

    fn may_rotate(&self, now: Instant) -> bool {
        self.rotation.not_before.is_none_or(|at| at <= now)
    }

    fn rotate(&mut self, before: &Metadata, now: Instant) -> bool {
        let Some(rule) = self.rule().map(|(_, rule)| Arc::clone(rule)) else { return false };
        let name = self.rotation.names.next(&self.path, &rule);
        // A link, or a file that somebody has put in its place, is not ours to rename.
        let there = std::fs::symlink_metadata(&self.path);
        let is_there = there.is_ok_and(|there| (there.dev(), there.ino()) == (before.dev(), before.ino()));
        let renamed = if is_there {
            std::fs::rename(&self.path, name)
        } else {
            Err(io::Error::other("the path leads to another file"))
        };
        if let Err(error) = renamed {
            tracing::warn!("{} is not rotated: {error}", self.path.display());
            self.rotation.not_before = Some(now + ROTATE_AGAIN);
            return false;
        }
        (self.file, self.end) = (None, End::Line);
        (self.rotation.overdue, self.rotation.not_before) = (false, None);
        self.archive.rotated(&self.path);
        // Those who follow it by its name find it there. If it cannot be made, the next write tells.
        let _ = self.open();
        true
    }
}
