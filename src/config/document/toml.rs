//! TOML to a tree.

use serde_json::Number;
use toml::de::{DeTable, DeValue};

use super::{Data, Entry, Lines, Node, SyntaxError};

/// Parses TOML. The `toml` crate itself refuses duplicate keys and more than 80 levels.
pub(in crate::config) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| SyntaxError {
        line: error.span().map(|span| lines.at(span.start)),
        message: format!("not valid TOML: {}", error.message()),
    })?;
    Ok(Node { line: None, data: members(table.get_ref(), &lines) })
}

fn members(table: &DeTable<'_>, lines: &Lines) -> Data {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let line = lines.at(key.span().start);
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        Entry { key: name.to_string(), line: Some(line), value: node(value.get_ref(), line, lines) }
    };
    Data::Map(members.into_iter().map(entry).collect())
}

fn node(value: &DeValue<'_>, line: usize, lines: &Lines) -> Node {
    let data = match value {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Data::Number(number.into()),
            Err(_) => Data::Text(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Data::Number(number),
            None => Data::Text(number.to_string()),
        },
        DeValue::Boolean(value) => Data::Bool(*value),
        DeValue::Datetime(time) => Data::Text(time.to_string()),
        DeValue::Array(items) => Data::List(
            items.iter().map(|item| node(item.get_ref(), lines.at(item.span().start), lines)).collect(),
        ),
        DeValue::Table(table) => members(table, lines),
    };
    Node { line: Some(line), data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_lines() {
        let tree = parse("[[apps]]\nz = 1\na = [\n 'x',\n 'y']\n[apps.env]\nB = 1.5\n\n[[apps]]\nn = 'q'\n")
            .unwrap();
        let Data::List(apps) = &tree.entries().unwrap()[0].value.data else { panic!("a list") };
        let fields = apps[0].entries().unwrap();
        let names: Vec<_> = fields.iter().map(|f| (f.key.as_str(), f.line)).collect();
        assert_eq!(names, [("z", Some(2)), ("a", Some(3)), ("env", Some(6))]);
        let Data::List(items) = &fields[1].value.data else { panic!("a list") };
        assert_eq!(items[1].line, Some(5));
        assert_eq!(apps[1].line, Some(9));
    }

    #[test]
    fn what_json_cannot_carry_stays_text() {
        let tree = parse("a = 99999999999999999999\nb = nan\nc = 2024-01-02\nd = 0xff").unwrap();
        assert_eq!(
            tree.to_json(),
            serde_json::json!({"a": "99999999999999999999", "b": "nan", "c": "2024-01-02", "d": 255})
        );
    }

    #[test]
    fn errors_have_a_line() {
        let error = parse("a = 1\nb = \n").unwrap_err();
        assert_eq!(error.line, Some(2), "{}", error.message);
        assert_eq!(parse("a = 1\na = 2\n").unwrap_err().line, Some(2));
        assert!(parse(&format!("a = {}", "[".repeat(200_000))).is_err());
        assert!(parse(&format!("{}a = 1", "a.".repeat(100_000))).is_err());
        assert!(parse(&format!("a = {}1{}", "{a=".repeat(500), "}".repeat(500))).is_err());
    }
}
