//! Which lines of output are on the screen? Keeps the last ones, a place in them, and what is searched for. A place is a row of a line, so
//! that a line of many rows can be read to its end.

use std::collections::VecDeque;
use std::ops::Range;

use regex::{Regex, RegexBuilder};
use supd_api::{LogLine, Stream};

use super::text::wrap;
use crate::ctl::cells::harmless;
use crate::ctl::last_lines::printable;

/// So many lines are kept.
const KEPT: usize = 5000;
/// A tab reaches to the next column of so many.
const TAB: usize = 8;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Standard output of this worker, where it is known.
    Out(Option<u32>),
    /// Standard error.
    Err(Option<u32>),
    /// Something about the lines.
    Note,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it is.
    pub(super) kind: Kind,
    /// Nothing in it moves a cursor.
    pub(super) text: String,
}

/// A row of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Lines are counted on and on.
    line: u64,
    row: usize,
}

/// How many cells a row and how many rows the pane has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pane {
    pub(super) cells: usize,
    pub(super) rows: usize,
}

/// The lines of what is selected.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the first one.
    first: u64,
    /// The lowest row on the screen; `None`: the last one there is, whatever comes.
    lowest: Option<Place>,
    /// How many have come since it was held.
    unseen: usize,
    search: Option<Regex>,
    /// The line that was found last.
    found: Option<u64>,
}

impl Log {
    /// Takes a line in.
    pub(super) fn take(&mut self, line: &LogLine) {
        let Some(entry) = entry(line) else { return };
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        if self.lowest.is_some() {
            self.unseen += 1;
        }
    }

    /// Forgets all lines, not what is searched for.
    pub(super) fn clear(&mut self) {
        *self = Self { search: self.search.take(), ..Self::default() };
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// While it is held: how many lines have come since.
    pub(super) fn held(&self) -> Option<usize> {
        self.lowest.map(|_| self.unseen)
    }

    /// Holds what is on the screen, or follows again.
    pub(super) fn hold(&mut self, pane: Pane) {
        match self.lowest {
            Some(_) => self.follow(),
            None => self.lowest = self.end(pane),
        }
    }

    /// Shows the last lines, whatever comes.
    pub(super) fn follow(&mut self) {
        (self.lowest, self.unseen, self.found) = (None, 0, None);
    }

    /// Shows the first lines.
    pub(super) fn rewind(&mut self, pane: Pane) {
        if !self.is_empty() {
            self.lowest = Some(self.down(Place { line: self.first, row: 0 }, pane.rows.max(1) - 1, pane));
        }
    }

    /// Shows earlier lines.
    pub(super) fn page_up(&mut self, pane: Pane) {
        let Some(lowest) = self.lowest(pane) else { return };
        let top = self.down(Place { line: self.first, row: 0 }, pane.rows.max(1) - 1, pane);
        let up = self.up(lowest, step(pane), pane);
        self.lowest = Some(if (up.line, up.row) < (top.line, top.row) { top } else { up });
    }

    /// Shows later lines; at the end it follows again.
    pub(super) fn page_down(&mut self, pane: Pane) {
        let (Some(lowest), Some(end)) = (self.lowest, self.end(pane)) else { return };
        let down = self.down(lowest, step(pane), pane);
        if down == end { self.follow() } else { self.lowest = Some(down) }
    }

    /// What is searched for.
    pub(super) fn search(&self) -> Option<&Regex> {
        self.search.as_ref()
    }

    /// Searches for this text; nothing is searched for when it is empty. `false`: it is nowhere.
    pub(super) fn look_for(&mut self, text: &str, pane: Pane) -> bool {
        (self.search, self.found) = (pattern(text), None);
        self.search.is_none() || self.older(pane)
    }

    /// Shows the next older line in which it is found, or the last one there is. `false`: it is nowhere.
    pub(super) fn older(&mut self, pane: Pane) -> bool {
        let hits = self.hits();
        let before = self.found.and_then(|found| hits.iter().rfind(|hit| **hit < found));
        self.show(before.or(hits.last()).copied(), pane)
    }

    /// Shows the next newer one, or the first one there is.
    pub(super) fn newer(&mut self, pane: Pane) -> bool {
        let hits = self.hits();
        let after = self.found.and_then(|found| hits.iter().find(|hit| **hit > found));
        self.show(after.or(hits.first()).copied(), pane)
    }

    /// The line that was found last is the how manyth, counted from the newest, and of how many.
    pub(super) fn hit(&self) -> Option<(usize, usize)> {
        let hits = self.hits();
        let found = self.found?;
        let at = hits.iter().rev().position(|hit| *hit == found)?;
        Some((at + 1, hits.len()))
    }

    /// The rows on the screen, from above: each with its line, whether that was found last, and the part of its text.
    pub(super) fn rows(&self, pane: Pane) -> Vec<(&Entry, bool, Range<usize>)> {
        let Some(lowest) = self.lowest(pane) else { return Vec::new() };
        let (mut rows, mut line, mut until) = (Vec::new(), lowest.line, lowest.row + 1);
        while rows.len() < pane.rows {
            let Some(entry) = self.entry(line) else { break };
            let parts = wrap(&entry.text, pane.cells);
            let found = self.found == Some(line);
            rows.extend(parts.into_iter().take(until).rev().map(|part| (entry, found, part)));
            (until, line) = (usize::MAX, line.wrapping_sub(1));
        }
        rows.truncate(pane.rows);
        rows.reverse();
        rows
    }

    fn hits(&self) -> Vec<u64> {
        let Some(search) = &self.search else { return Vec::new() };
        let all = (self.first..).zip(&self.entries);
        all.filter(|(_, entry)| search.is_match(&entry.text)).map(|(line, _)| line).collect()
    }

    /// Holds this line in the middle.
    fn show(&mut self, line: Option<u64>, pane: Pane) -> bool {
        let Some(line) = line else { return false };
        let lowest = self.down(Place { line, row: 0 }, pane.rows / 2, pane);
        let top = self.down(Place { line: self.first, row: 0 }, pane.rows.max(1) - 1, pane);
        self.found = Some(line);
        self.lowest = Some(if (lowest.line, lowest.row) < (top.line, top.row) { top } else { lowest });
        true
    }

    fn entry(&self, line: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(line.checked_sub(self.first)?).ok()?)
    }

    fn row_count(&self, line: u64, pane: Pane) -> usize {
        self.entry(line).map_or(1, |entry| wrap(&entry.text, pane.cells).len())
    }

    fn end(&self, pane: Pane) -> Option<Place> {
        let line = self.first + (self.entries.len() as u64).checked_sub(1)?;
        Some(Place { line, row: self.row_count(line, pane) - 1 })
    }

    /// The lowest row on the screen, although lines may have been dropped and the pane may have changed.
    fn lowest(&self, pane: Pane) -> Option<Place> {
        let end = self.end(pane)?;
        let Some(Place { line, row }) = self.lowest else { return Some(end) };
        let line = line.max(self.first);
        Some(Place { line, row: row.min(self.row_count(line, pane) - 1) })
    }

    /// So many rows further up, or the first.
    fn up(&self, mut place: Place, mut rows: usize, pane: Pane) -> Place {
        while rows > place.row && place.line > self.first {
            rows -= place.row + 1;
            place.line -= 1;
            place.row = self.row_count(place.line, pane) - 1;
        }
        Place { row: place.row.saturating_sub(rows), ..place }
    }

    /// So many rows further down, or the last.
    fn down(&self, mut place: Place, mut rows: usize, pane: Pane) -> Place {
        loop {
            let below = self.row_count(place.line, pane) - 1 - place.row;
            if rows <= below {
                return Place { row: place.row + rows, ..place };
            }
            if self.entry(place.line + 1).is_none() {
                return Place { row: place.row + below, ..place };
            }
            rows -= below + 1;
            place = Place { line: place.line + 1, row: 0 };
        }
    }
}

/// A row stays on the screen, so that the eye does not lose its place.
fn step(pane: Pane) -> usize {
    pane.rows.saturating_sub(1).max(1)
}

/// The text as it is; without a capital in it, capitals or not.
pub(super) fn pattern(text: &str) -> Option<Regex> {
    let lower = !text.chars().any(char::is_uppercase);
    let pattern = RegexBuilder::new(&regex::escape(text)).case_insensitive(lower).build();
    pattern.ok().filter(|_| !text.is_empty())
}

fn entry(line: &LogLine) -> Option<Entry> {
    let note = |text: String| Some(Entry { kind: Kind::Note, text });
    match line {
        LogLine::Line { worker, stream, text, .. } => {
            let kind = match stream {
                Stream::Out => Kind::Out(*worker),
                Stream::Err => Kind::Err(*worker),
            };
            Some(Entry { kind, text: spaced(&printable(text.as_bytes())) })
        }
        LogLine::File { path, .. } => note(harmless(path)),
        LogLine::Missed { lines } => note(format!("{lines} lines left out here: this terminal was too slow")),
        LogLine::Gap { path } => note(format!("lines of {} may be left out here", harmless(path))),
        LogLine::Undated { .. } | LogLine::Position { .. } => None,
    }
}

/// With spaces for tabs, which have no width of their own.
fn spaced(text: &str) -> String {
    let mut parts = text.split('\t');
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let spaces = TAB - super::text::width(&shown) % TAB;
        shown.extend(std::iter::repeat_n(' ', spaces));
        shown.push_str(part);
    }
    shown
}

#[cfg(test)]
mod tests;
