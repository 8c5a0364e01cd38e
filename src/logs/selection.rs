//! Which lines a reader wants, by what they say and when they were written.
//!
//! Question answered here: *is this line wanted?* A line's time is the one it carries (`stamp`); without one it has the time of
//! the last line before it in the same file that carries one, as a stack trace belongs to its first line. Before
//! such a line only the times of the file bound it. It may not read.

use regex::bytes::Regex;

use super::stamp::stamp;

/// The default selects everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Lines in which this is found.
    pub grep: Option<Regex>,
    /// Lines from this moment on, in milliseconds since the epoch.
    pub since: Option<u64>,
    /// Lines up to this moment.
    pub until: Option<u64>,
}

/// When the lines of a file were written, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// When the file before it was written last.
    pub(super) after: Option<u64>,
    /// When it was written last itself.
    pub(super) before: u64,
}

/// What is thought of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Unwanted,
    Wanted {
        /// It carries this time.
        at: Option<u64>,
        /// It was asked for by time, and this line's is not known.
        undated: bool,
    },
}

impl Selection {
    /// Whether every line is wanted.
    pub(super) fn is_everything(&self) -> bool {
        self.grep.is_none() && !self.by_time()
    }

    fn by_time(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// Whether this text is wanted, whenever it was written.
    pub(super) fn finds(&self, text: &[u8]) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.is_match(text))
    }

    /// Whether a file may hold wanted lines at all. Only its end is trusted: where it begins is when the file before it was
    /// written last, which somebody may have touched since.
    pub(super) fn may_be_in(&self, times: Times) -> bool {
        self.since.is_none_or(|since| times.before >= since)
    }

    fn reaches(&self, times: Times) -> bool {
        let late_enough = self.since.is_none_or(|since| times.before >= since);
        let early_enough = self.until.zip(times.after).is_none_or(|(until, after)| after <= until);
        late_enough && early_enough
    }
}

/// Looks at the lines of one file, one after another.
pub(super) struct Judge<'a> {
    selection: &'a Selection,
    times: Times,
    latest: Option<u64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(selection: &'a Selection, times: Times) -> Self {
        Self { selection, times, latest: None }
    }

    pub(super) fn judge(&mut self, line: &[u8]) -> Verdict {
        let at = stamp(line);
        self.latest = at.or(self.latest);
        let times = self.latest.map_or(self.times, |at| Times { after: Some(at), before: at });
        if self.selection.reaches(times) && self.selection.finds(line) {
            Verdict::Wanted { at, undated: self.latest.is_none() && self.selection.by_time() }
        } else {
            Verdict::Unwanted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(selection: &Selection, lines: &[&str]) -> Vec<Option<bool>> {
        let mut judge = Judge::new(selection, Times { after: Some(500), before: 9_000 });
        let verdicts = lines.iter().map(|line| match judge.judge(line.as_bytes()) {
            Verdict::Unwanted => None,
            Verdict::Wanted { undated, .. } => Some(undated),
        });
        verdicts.collect()
    }

    #[test]
    fn a_line_has_its_own_time_else_that_of_the_line_before_else_that_of_its_file() {
        let lines = [
            "none yet",
            "1970-01-01T00:00:02Z two",
            "  at f",
            "1970-01-01T00:00:04Z four",
            "1970-01-01T00:00:06Z six",
        ];
        let from = |since, until| Selection { grep: None, since, until };
        assert_eq!(judged(&from(None, None), &lines), [Some(false); 5]);
        assert_eq!(
            judged(&from(Some(3_000), None), &lines),
            [Some(true), None, None, Some(false), Some(false)]
        );
        assert_eq!(judged(&from(Some(9_001), None), &lines), [None; 5]);
        assert_eq!(
            judged(&from(None, Some(2_000)), &lines),
            [Some(true), Some(false), Some(false), None, None]
        );
        assert_eq!(judged(&from(None, Some(499)), &lines), [None; 5]);
    }

    #[test]
    fn text_and_time_are_both_asked_for() {
        let selection = Selection { grep: Regex::new("^..70.*[wi]").ok(), since: Some(3_000), until: None };
        let lines = ["1970-01-01T00:00:02Z two", "1970-01-01T00:00:04Z four", "1970-01-01T00:00:06Z six"];
        assert_eq!(judged(&selection, &lines), [None, None, Some(false)]);
    }
}
