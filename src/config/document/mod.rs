//! A document as a tree that remembers its lines.
//!
//! Question answered here: *what does the text say, whatever its format?* Nothing here knows what an app is.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::problem::{Place, Report, shown};

mod json;
mod toml;
mod yaml;

pub(super) use json::parse as parse_json;
pub(super) use toml::parse as parse_toml;
pub(super) use yaml::parse as parse_yaml;

/// Deeper documents are refused: no declaration is, and every recursion over the tree stays within the stack.
const DEEPEST: usize = 64;

/// One value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Line from 1, where the format tells.
    pub(super) line: Option<usize>,
    /// The value.
    pub(super) data: Data,
}

/// What JSON, TOML and YAML have in common.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// `null`, and YAML's nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number that JSON can carry; others are kept as [`Data::Text`].
    Number(Number),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the document.
    Map(Vec<Entry>),
}

/// One member of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key as written.
    pub(super) key: String,
    /// Line of the key.
    pub(super) line: Option<usize>,
    /// Its value.
    pub(super) value: Node,
}

/// A text that its format does not allow.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Line from 1.
    pub(super) line: Option<usize>,
    /// What is wrong.
    pub(super) message: String,
}

impl Node {
    /// The same value without its lines.
    pub(super) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(value) => Value::Number(value.clone()),
            Data::Text(value) => Value::String(value.clone()),
            Data::List(items) => items.iter().map(Node::to_json).collect(),
            Data::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }

    /// A value that came without a text, e.g. from a command line.
    pub(super) fn from_json(value: Value) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(value),
            Value::Number(value) => Data::Number(value),
            Value::String(value) => Data::Text(value),
            Value::Array(items) => Data::List(items.into_iter().map(Self::from_json).collect()),
            Value::Object(members) => Data::Map(
                members
                    .into_iter()
                    .map(|(key, value)| Entry { key, line: None, value: Self::from_json(value) })
                    .collect(),
            ),
        };
        Self { line: None, data }
    }

    /// The members of a mapping.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) => None,
        }
    }

    /// Reports every key that stands twice in one mapping: which one counts would be a guess.
    pub(super) fn report_duplicates(&self, place: &Place, report: &mut Report) {
        match &self.data {
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => {}
            Data::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    item.report_duplicates(&place.index(at, item.line), report);
                }
            }
            Data::Map(entries) => {
                let mut seen = BTreeMap::new();
                for entry in entries {
                    let at = place.key(&entry.key, entry.line);
                    match seen.insert(&entry.key, entry.line) {
                        None => entry.value.report_duplicates(&at, report),
                        Some(first) => {
                            let first =
                                first.map(|line| format!("; first in line {line}")).unwrap_or_default();
                            report.problem(
                                &at,
                                format!("the key {} is given twice{first}", shown(&entry.key)),
                                None,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Turns offsets into line numbers.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, of the byte at `offset`.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

fn too_deep(line: Option<usize>) -> SyntaxError {
    SyntaxError { line, message: format!("nested more than {DEEPEST} levels deep") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_from_one() {
        let lines = Lines::of("a\nbc\n\nd");
        assert_eq!([0, 1, 2, 3, 5, 6].map(|at| lines.at(at)), [1, 1, 2, 2, 3, 4]);
    }

    #[test]
    fn duplicates_are_found_at_any_depth() {
        let node = parse_json("{a: [{b: 1,\n b: 2}], a: 3}").unwrap();
        let mut report = Report::new("f");
        node.report_duplicates(&Place::default(), &mut report);
        let problems = report.finish().unwrap_err().problems;
        let paths: Vec<_> = problems.iter().map(|p| (p.path.as_str(), p.line)).collect();
        assert_eq!(paths, [("a[0].b", Some(2)), ("a", Some(2))]);
    }
}
