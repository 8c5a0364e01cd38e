//! How does Node show a value? `prettylist` is what `util.inspect(list, { depth: null })` returns, and scripts search it line by line.
//!
//! The rules are those of Node 20 (`lib/internal/util/inspect.js`: `formatValue`, `reduceToSingleString`, `groupArrayElements`), for
//! values that JSON can hold.

use serde_json::Value;

/// A line longer than that is broken, if it can be.
const BREAK: usize = 80;
/// So many levels of nesting may share a line.
const COMPACT: usize = 3;
/// So many elements of a list are shown.
const MOST: usize = 100;
/// A list of more elements is arranged in columns.
const COLUMNS_FROM: usize = 6;
/// No text is broken at its newlines that is not longer.
const SHORT: usize = 16;

/// The value as Node shows it.
pub(super) fn inspect(value: &Value) -> String {
    Inspector { depth: 0, indentation: 0 }.value(value, 0)
}

struct Inspector {
    /// Of the container that was begun last.
    depth: usize,
    /// In columns.
    indentation: usize,
}

impl Inspector {
    fn value(&mut self, value: &Value, depth: usize) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => spelled(number),
            Value::String(text) => self.text(text),
            Value::Array(items) if items.is_empty() => "[]".to_owned(),
            Value::Object(members) if members.is_empty() => "{}".to_owned(),
            Value::Array(items) => {
                self.depth = depth + 1;
                let mut shown: Vec<String> =
                    items.iter().take(MOST).map(|item| self.inner(item, depth + 1)).collect();
                let more = items.len().saturating_sub(MOST);
                if more > 0 {
                    shown.push(format!("... {more} more item{}", if more > 1 { "s" } else { "" }));
                }
                let numbers = items.iter().all(Value::is_number) && more == 0;
                self.enclosed(shown, ('[', ']'), depth + 1, Some((more > 0, numbers)))
            }
            Value::Object(members) => {
                self.depth = depth + 1;
                let shown = members.iter().map(|(name, value)| {
                    let shown = self.inner(value, depth + 1);
                    format!("{}: {shown}", if is_plain(name) { name.clone() } else { quoted(name) })
                });
                let shown = shown.collect();
                self.enclosed(shown, ('{', '}'), depth + 1, None)
            }
        }
    }

    fn inner(&mut self, value: &Value, depth: usize) -> String {
        self.indentation += 2;
        let shown = self.value(value, depth);
        self.indentation -= 2;
        shown
    }

    /// Between braces: on one line where that is short enough, else one line each. `list`: whether the last entry counts what is left
    /// out, and whether all are numbers.
    fn enclosed(
        &self,
        mut entries: Vec<String>,
        braces: (char, char),
        depth: usize,
        list: Option<(bool, bool)>,
    ) -> String {
        let count = entries.len();
        if let Some((cut, numbers)) = list.filter(|_| count > COLUMNS_FROM) {
            entries = self.in_columns(entries, cut, numbers);
        }
        let (open, close) = braces;
        if self.depth - depth < COMPACT && entries.len() == count {
            let total: usize = entries.iter().map(|entry| width(entry)).sum();
            let start = count + self.indentation + 1 + 10;
            let joined = entries.join(", ");
            if total + count + start <= BREAK && !joined.contains('\n') {
                return format!("{open} {joined} {close}");
            }
        }
        let indentation = " ".repeat(self.indentation);
        let lines = entries.join(&format!(",\n{indentation}  "));
        format!("{open}\n{indentation}  {lines}\n{indentation}{close}")
    }

    /// Short elements next to each other, as many as make about a square.
    fn in_columns(&self, entries: Vec<String>, cut: bool, numbers: bool) -> Vec<String> {
        let count = entries.len() - usize::from(cut);
        let widths: Vec<usize> = entries[..count].iter().map(|entry| width(entry)).collect();
        let longest = widths.iter().copied().max().unwrap_or(0);
        let (total, most) = (widths.iter().sum::<usize>() + 2 * count, longest + 2);
        let even = total as f64 / most as f64 > 5.0 || longest <= 6;
        if most * 3 + self.indentation >= BREAK || !even {
            return entries;
        }
        let bias = (most as f64 - total as f64 / entries.len() as f64).sqrt();
        let biased = (most as f64 - 3.0 - bias).max(1.0);
        let square = ((2.5 * biased * count as f64).sqrt() / biased).round() as usize;
        let columns = square.min((BREAK - self.indentation) / most).min(COMPACT * 4).min(15);
        if columns <= 1 {
            return entries;
        }
        let column = |at: usize| widths.iter().skip(at).step_by(columns).copied().max().unwrap_or(0) + 2;
        let mut rows: Vec<String> = entries[..count]
            .chunks(columns)
            .map(|row| {
                let last = row.len() - 1;
                let cells = row.iter().enumerate().map(|(at, entry)| match (numbers, at == last) {
                    (true, true) => format!("{entry:>0$}", column(at) - 2),
                    (true, false) => format!("{:>1$}", format!("{entry}, "), column(at)),
                    (false, true) => entry.clone(),
                    (false, false) => format!("{:<1$}", format!("{entry}, "), column(at)),
                });
                cells.collect()
            })
            .collect();
        rows.extend(entries.into_iter().skip(count));
        rows
    }

    fn text(&self, text: &str) -> String {
        let long = width(text) > SHORT && width(text) + self.indentation + 4 > BREAK;
        if !long {
            return quoted(text);
        }
        let lines: Vec<String> = text.split_inclusive('\n').map(quoted).collect();
        lines.join(&format!(" +\n{}", " ".repeat(self.indentation + 2)))
    }
}

/// As JavaScript spells it: `22`, where Rust says `22.0`.
fn spelled(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float.to_string(),
        Some(_) | None => number.to_string(),
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let starts = |first: char| first.is_ascii_alphabetic() || first == '_';
    name.starts_with(starts) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// In single quotes, or in those that need no escape.
fn quoted(text: &str) -> String {
    let quote = match (text.contains('\''), text.contains('"'), text.contains('`') || text.contains("${")) {
        (false, ..) | (true, true, true) => '\'',
        (true, false, _) => '"',
        (true, true, false) => '`',
    };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\u{8}' => shown.push_str("\\b"),
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\u{c}' => shown.push_str("\\f"),
            '\r' => shown.push_str("\\r"),
            '\\' => shown.push_str("\\\\"),
            '\'' if quote == '\'' => shown.push_str("\\'"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => shown.push_str(&format!("\\x{:02X}", u32::from(letter))),
            _ => shown.push(letter),
        }
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each text was printed by Node 20.
    #[test]
    fn as_node_shows_it() {
        let pairs = [
            (json!([]), "[]"),
            (json!({ "node_args": [], "e": {} }), "{ node_args: [], e: {} }"),
            (
                json!({ "ignore_watch": ["node_modules", "client/img"] }),
                "{ ignore_watch: [ 'node_modules', 'client/img' ] }",
            ),
            (
                json!({ "s": "it's", "q": "a\"b'c`", "u": "é\u{7}\n", "k-1": null, "f": 1.5, "z": 22.0 }),
                "{ s: \"it's\", q: 'a\"b\\'c`', u: 'é\\x07\\n', 'k-1': null, f: 1.5, z: 22 }",
            ),
            (
                json!({ "a": { "b": { "c": { "d": { "e": 1 } } } } }),
                "{\n  a: {\n    b: { c: { d: { e: 1 } } }\n  }\n}",
            ),
            (
                json!((1..=27).collect::<Vec<_>>()),
                "[\n   1,  2,  3,  4,  5,  6,  7,  8,\n   9, 10, 11, 12, 13, 14, 15, 16,\n  17, 18, 19, 20, 21, 22, 23, 24,\n  25, 26, 27\n]",
            ),
            (
                json!(["alpha", "beta", "gamma", "delta", "epsi", "zeta", "eta", "theta"]),
                "[\n  'alpha', 'beta',\n  'gamma', 'delta',\n  'epsi',  'zeta',\n  'eta',   'theta'\n]",
            ),
            (
                json!({ "args": ["--port", "8080", "--name", "x y", "--very-long-option-name", "value", "--another-one"] }),
                "{\n  args: [\n    '--port',\n    '8080',\n    '--name',\n    'x y',\n    '--very-long-option-name',\n    'value',\n    '--another-one'\n  ]\n}",
            ),
        ];
        for (value, shown) in pairs {
            assert_eq!(inspect(&value), shown);
        }
    }

    #[test]
    fn long_things_are_broken_as_node_breaks_them() {
        let multi = format!("{}\n{}\n{}", "a".repeat(51), "b".repeat(41), "c".repeat(25));
        let shown = format!(
            "{{\n  multi: '{}\\n' +\n    '{}\\n' +\n    '{}'\n}}",
            "a".repeat(51),
            "b".repeat(41),
            "c".repeat(25)
        );
        assert_eq!(inspect(&json!({ "multi": multi })), shown);
        let many = inspect(&json!((0..120).collect::<Vec<_>>()));
        assert!(many.ends_with("  96, 97, 98, 99,\n  ... 20 more items\n]"), "{many}");
        assert_eq!(inspect(&json!({ "x": "a".repeat(90) })), format!("{{\n  x: '{}'\n}}", "a".repeat(90)));
    }
}
