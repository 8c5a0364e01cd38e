//! What is wrong, and where: the list that every step of reading a declaration writes to.

use std::fmt;

use super::Dialect;

/// One problem in a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File name, `standard input`, `command line`, or `app NAME` when there is no document.
    pub origin: String,
    /// Line from 1, where the format tells.
    pub line: Option<usize>,
    /// Place in the document, e.g. `apps[0].env`; empty: the whole document.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// The remedy, e.g. the nearest known name.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    /// `file:line: path: message`, then the remedy on a line of its own.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:", self.origin)?;
        if let Some(line) = self.line {
            write!(out, "{line}:")?;
        }
        if !self.path.is_empty() {
            write!(out, " {}:", self.path)?;
        }
        write!(out, " {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(out, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

/// All problems of a document at once; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// In the order of the document.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                out.write_str("\n")?;
            }
            problem.fmt(out)?;
        }
        Ok(())
    }
}

/// Where something stands in a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Line from 1.
    pub(super) line: Option<usize>,
    /// E.g. `apps[0].env`.
    pub(super) path: String,
}

impl Place {
    /// The member `key`, found at `line`.
    pub(super) fn key(&self, key: &str, line: Option<usize>) -> Self {
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let key = if plain { key.to_owned() } else { shown(key) };
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { line: line.or(self.line), path: format!("{}{dot}{key}", self.path) }
    }

    /// The element `index`, found at `line`.
    pub(super) fn index(&self, index: usize, line: Option<usize>) -> Self {
        Self { line: line.or(self.line), path: format!("{}[{index}]", self.path) }
    }
}

/// A text of the user, quoted, without control characters, and cut when long: fit for a terminal.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("\"{}…\"", text[..end].escape_debug()),
        None => format!("\"{}\"", text.escape_debug()),
    }
}

/// A text that is not the user's own, without control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Problems and warnings found so far in one document.
#[derive(Debug)]
pub(super) struct Report {
    origin: String,
    /// What is not known does no harm.
    lenient: bool,
    /// Each with the line of the document that led to it.
    problems: Vec<(Option<usize>, Problem)>,
    warnings: Vec<Problem>,
}

/// So many problems are listed; more would only scroll the first ones away.
const MOST: usize = 100;

impl Report {
    pub(super) fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), lenient: false, problems: Vec::new(), warnings: Vec::new() }
    }

    /// As strict as the dialect is.
    pub(super) fn for_dialect(origin: impl Into<String>, dialect: Dialect) -> Self {
        Self { lenient: dialect == Dialect::Pm2, ..Self::new(origin) }
    }

    /// A name that nobody knows; `true`: it is no problem.
    pub(super) fn unknown(&mut self, place: &Place, message: &str, hint: Option<String>) -> bool {
        if self.lenient {
            self.warning(place, format!("{message}; it is ignored, as PM2 does"), hint);
        } else {
            self.problem(place, message, hint);
        }
        self.lenient
    }

    /// Something that makes the document unacceptable.
    pub(super) fn problem(&mut self, place: &Place, message: impl Into<String>, hint: Option<String>) {
        let problem = self.at(place, message.into(), hint);
        self.elsewhere(place, problem);
    }

    /// A problem in another file, which the document names at `place`.
    pub(super) fn elsewhere(&mut self, place: &Place, problem: Problem) {
        if !self.is_full() {
            self.problems.push((place.line, problem));
        }
    }

    /// Something that is accepted but should be known.
    pub(super) fn warning(&mut self, place: &Place, message: impl Into<String>, hint: Option<String>) {
        if self.warnings.len() < MOST {
            let warning = self.at(place, message.into(), hint);
            self.warnings.push(warning);
        }
    }

    /// Whether nothing has made the document unacceptable so far.
    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether there is no use in looking for more problems.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MOST
    }

    /// The warnings, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Rejected> {
        if self.is_clean() {
            return Ok(self.warnings);
        }
        let rest = self.is_full().then(|| {
            self.at(
                &Place::default(),
                format!("further problems, beyond the first {MOST}, are not listed"),
                None,
            )
        });
        self.problems.sort_by_key(|(line, _)| line.unwrap_or(usize::MAX));
        Err(Rejected {
            problems: self.problems.into_iter().map(|(_, problem)| problem).chain(rest).collect(),
        })
    }

    fn at(&self, place: &Place, message: String, hint: Option<String>) -> Problem {
        Problem { origin: self.origin.clone(), line: place.line, path: place.path.clone(), message, hint }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_like_a_compiler_error() {
        let problem = Problem {
            origin: "ecosystem.toml".to_owned(),
            line: Some(7),
            path: "apps[0].max_restart".to_owned(),
            message: "unknown field".to_owned(),
            hint: Some("did you mean `max_restarts`?".to_owned()),
        };
        assert_eq!(
            problem.to_string(),
            "ecosystem.toml:7: apps[0].max_restart: unknown field\n  help: did you mean `max_restarts`?"
        );
    }

    #[test]
    fn a_path_quotes_odd_keys() {
        let place = Place::default().key("apps", None).index(1, Some(3)).key("a b\u{1b}", None);
        assert_eq!((place.path.as_str(), place.line), ("apps[1].\"a b\\u{1b}\"", Some(3)));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut report = Report::new("f");
        for _ in 0..1000 {
            report.problem(&Place::default(), "no", None);
        }
        let problems = report.finish().unwrap_err().problems;
        assert_eq!(problems.len(), MOST + 1);
        assert!(problems[MOST].message.contains("beyond the first 100"));
    }
}
