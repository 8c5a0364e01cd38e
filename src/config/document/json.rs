//! JSON, with what people write into `.json` files, to a tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{DEEPEST, Data, Entry, Lines, Node, SyntaxError, too_deep};

/// Parses JSON5: comments, trailing commas and unquoted keys are allowed.
///
/// The parser tells no positions, but it lends keys and strings from the text: their addresses tell the lines.
pub(in crate::config) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    let mut parser = json5::Deserializer::from_str(text);
    let place = Tree { text, lines: &lines, line: None, depth: 0 };
    let tree = place.deserialize(&mut parser).map_err(|error| syntax_error(&error, &lines))?;
    // Whatever follows the value is found by reading all of it once more, into nothing.
    json5::from_str::<serde::de::IgnoredAny>(text).map_err(|error| syntax_error(&error, &lines))?;
    Ok(tree)
}

fn syntax_error(error: &json5::Error, lines: &Lines) -> SyntaxError {
    let line = error.position().map_or(lines.0.len() + 1, |position| position.line + 1);
    let message = match error.code() {
        Some(code) => format!("not valid JSON: {code}"),
        None if error.to_string().starts_with(TOO_DEEP) => return too_deep(Some(line)),
        None => format!("not valid JSON: {error}"),
    };
    SyntaxError { line: Some(line), message }
}

const TOO_DEEP: &str = "too deep";

/// Builds one node.
#[derive(Clone, Copy)]
struct Tree<'a> {
    text: &'a str,
    lines: &'a Lines,
    line: Option<usize>,
    depth: usize,
}

impl Tree<'_> {
    fn below<E: Error>(self, line: Option<usize>) -> Result<Self, E> {
        if self.depth == DEEPEST {
            return Err(E::custom(TOO_DEEP));
        }
        Ok(Self { line, depth: self.depth + 1, ..self })
    }

    fn line_of(self, part: &str) -> Option<usize> {
        let offset = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        (offset <= self.text.len()).then(|| self.lines.at(offset))
    }

    fn node<E>(self, data: Data) -> Result<Node, E> {
        Ok(Node { line: self.line, data })
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Node, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        self.node(Data::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        self.node(Data::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        self.node(Data::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        self.node(Data::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        self.node(Number::from_f64(value).map_or_else(|| Data::Text(value.to_string()), Data::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Node, E> {
        Ok(Node { line: self.line_of(text).or(self.line), data: Data::Text(text.to_owned()) })
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        self.node(Data::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        let mut line = self.line;
        while let Some(item) = items.next_element_seed(self.below(line)?)? {
            line = item.line;
            list.push(item);
        }
        self.node(Data::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(key) = members.next_key_seed(self.below(self.line)?)? {
            let value = members.next_value_seed(self.below(key.line)?)?;
            let Data::Text(name) = key.data else { return Err(A::Error::custom("a key that is not text")) };
            entries.push(Entry { key: name, line: key.line, value });
        }
        let line = entries.first().and_then(|first| first.line).or(self.line);
        Ok(Node { line, data: Data::Map(entries) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_as_pm2() {
        let tree = parse("// c\n{ apps: [ { 'script': \"a.js\", /* x */\n \"n\": +1.5, }, ], }").unwrap();
        assert_eq!(tree.to_json(), serde_json::json!({"apps": [{"script": "a.js", "n": 1.5}]}));
    }

    #[test]
    fn lines_come_from_addresses() {
        let tree = parse("{\n\"a\": 1,\n\"b\": [\n{\n\"c\": 'x\\n'}]}").unwrap();
        let top = tree.entries().unwrap();
        assert_eq!((top[0].line, top[1].line), (Some(2), Some(3)));
        let Data::List(items) = &top[1].value.data else { panic!("a list") };
        assert_eq!(items[0].line, Some(5));
    }

    #[test]
    fn errors_have_a_line() {
        for (text, line) in [("", 1), ("{\n\"a\": ,}", 2), ("{\n\"a\": 1}\nx", 3), ("\n{\"a\":", 2)] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text:?}: {}", error.message);
        }
    }

    #[test]
    fn depth_is_bounded() {
        for text in
            ["[".repeat(1_000_000), "{a:".repeat(300_000), format!("{}{}", "[".repeat(65), "]".repeat(65))]
        {
            assert!(parse(&text).unwrap_err().message.contains("levels deep"));
        }
        assert!(parse(&format!("{}{}", "[".repeat(60), "]".repeat(60))).is_ok());
    }
}
