//! YAML 1.2 to a tree, from the parser's events, so that nothing is built before it is known to be bounded.

use std::collections::{BTreeMap, VecDeque};

use saphyr::Scalar;
use saphyr_parser::{Event, Parser, ScanError};
use serde_json::Number;

use super::{DEEPEST, Data, Entry, Node, SyntaxError, too_deep};

/// So many nodes may be copied for anchors and aliases in all: nested anchors grow exponentially.
const MOST_COPIED: usize = 10_000;

/// Parses one YAML document, with anchors, aliases and merge keys (`<<`), which PM2's parser accepts too.
pub(in crate::config) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error))?;
        builder.take(event, span.start.line())?;
    }
    Ok(builder.document.unwrap_or(Node { line: None, data: Data::Null }))
}

fn scan_error(error: &ScanError) -> SyntaxError {
    SyntaxError { line: Some(error.marker().line()), message: format!("not valid YAML: {}", error.info()) }
}

/// A collection that has not ended yet.
struct Open {
    anchor: usize,
    line: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, usize)>, merged: Vec<Node> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    copied: usize,
    document: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), SyntaxError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.document.is_some() => {
                Err(at(line, "more than one document in one file"))
            }
            Event::DocumentStart(_) => Ok(()),
            Event::SequenceStart(anchor, _) => self.begin(anchor, line, Items::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.begin(anchor, line, Items::Map { entries: Vec::new(), key: None, merged: Vec::new() })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref())
                    .ok_or_else(|| at(line, "the value does not fit its tag"))?;
                self.add(Node { line: Some(line), data: scalar_data(scalar) }, anchor, line)
            }
            Event::Alias(anchor) => {
                let node =
                    self.anchors.get(&anchor).ok_or_else(|| at(line, "an alias inside of its own anchor"))?;
                let node = node.clone();
                self.spend(&node, line)?;
                if self.open.len() + depth(&node) > DEEPEST {
                    return Err(too_deep(Some(line)));
                }
                self.add(node, 0, line)
            }
        }
    }

    fn begin(&mut self, anchor: usize, line: usize, items: Items) -> Result<(), SyntaxError> {
        if self.open.len() == DEEPEST {
            return Err(too_deep(Some(line)));
        }
        self.open.push(Open { anchor, line, items });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(Open { anchor, line, items }) = self.open.pop() else { return Ok(()) };
        let data = match items {
            Items::List(items) => Data::List(items),
            Items::Map { entries, merged, .. } => Data::Map(merge(entries, merged)),
        };
        self.add(Node { line: Some(line), data }, anchor, line)
    }

    /// Accounts for a copy of `node`.
    fn spend(&mut self, node: &Node, line: usize) -> Result<(), SyntaxError> {
        self.copied += count(node);
        if self.copied > MOST_COPIED {
            return Err(at(line, "the anchors and aliases stand for too many values"));
        }
        Ok(())
    }

    /// Puts a finished node where it belongs: into the innermost open collection, or it is the document.
    fn add(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), SyntaxError> {
        if anchor != 0 {
            self.spend(&node, line)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.document = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key, merged }) => match key.take() {
                None => *key = Some((key_text(node, line)?, line)),
                Some((name, _)) if name == "<<" => merged.push(node),
                Some((name, line)) => entries.push(Entry { key: name, line: Some(line), value: node }),
            },
        }
        Ok(())
    }
}

/// Merge keys (yaml.org/type/merge): what the mapping has itself wins, then the earlier of several sources.
fn merge(mut entries: Vec<Entry>, merged: Vec<Node>) -> Vec<Entry> {
    let mut sources = VecDeque::from(merged);
    while let Some(node) = sources.pop_front() {
        match node.data {
            Data::Map(more) => {
                for entry in more {
                    if !entries.iter().any(|own| own.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
            Data::List(nodes) => sources.extend(nodes),
            data @ (Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_)) => {
                let value = Node { line: node.line, data };
                entries.push(Entry { key: "<<".to_owned(), line: value.line, value });
            }
        }
    }
    entries
}

fn key_text(key: Node, line: usize) -> Result<String, SyntaxError> {
    match key.data {
        Data::Text(text) => Ok(text),
        Data::Number(number) => Ok(number.to_string()),
        Data::Bool(value) => Ok(value.to_string()),
        Data::Null => Ok("null".to_owned()),
        Data::List(_) | Data::Map(_) => Err(at(line, "a key must be a text")),
    }
}

fn scalar_data(scalar: Scalar<'_>) -> Data {
    match scalar {
        Scalar::Null => Data::Null,
        Scalar::Boolean(value) => Data::Bool(value),
        Scalar::Integer(value) => Data::Number(value.into()),
        Scalar::FloatingPoint(value) => {
            Number::from_f64(*value).map_or_else(|| Data::Text(value.to_string()), Data::Number)
        }
        Scalar::String(text) => Data::Text(text.into_owned()),
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => 0,
        Data::List(items) => items.iter().map(count).sum(),
        Data::Map(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    match &node.data {
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => 0,
        Data::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Data::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    }
}

fn at(line: usize, message: &str) -> SyntaxError {
    SyntaxError { line: Some(line), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_lines() {
        let tree = parse("apps:\n  - script: a.js\n    n: 1.5\n    on: yes\n    t: true\n    e:\n").unwrap();
        assert_eq!(
            tree.to_json(),
            json!({"apps": [{"script": "a.js", "n": 1.5, "on": "yes", "t": true, "e": null}]})
        );
        let Data::List(apps) = &tree.entries().unwrap()[0].value.data else { panic!("a list") };
        assert_eq!(apps[0].entries().unwrap()[1].line, Some(3));
    }

    #[test]
    fn anchors_and_merge_keys() {
        let tree = parse("d: &d {a: 1, b: 2}\nx:\n  <<: *d\n  b: 3\n").unwrap();
        assert_eq!(tree.to_json()["x"], json!({"b": 3, "a": 1}));
    }

    #[test]
    fn what_is_refused() {
        let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned())
            .chain((1..9).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))))
            .collect();
        for (text, why) in [
            (bomb.as_str(), "too many values"),
            ("a: &a [*a]", "own anchor"),
            ("--- 1\n--- 2\n", "more than one document"),
            ("? [a]\n: 1\n", "key must be a text"),
            ("a: !!int x", "tag"),
            ("a: *nope", ""),
            ("a: [1, 2", ""),
            (&"[".repeat(1_000_000), "recursion limit"),
            (&"[".repeat(70), "levels deep"),
            (&"- ".repeat(500_000), "levels deep"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message.contains(why), "{}", error.message);
            assert!(error.line.is_some());
        }
    }
}
