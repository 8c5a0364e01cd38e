//! Files of `KEY=VALUE` lines (`env_file`, often named `.env`).

use std::collections::BTreeMap;

use supd_api::Secret;

use super::problem::shown;

/// A line that is not understood. Never holds a value: values are secrets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) message: String,
}

/// Reads `KEY=VALUE` lines: `#` comments, an optional `export `, values bare, in `'…'` (taken literally) or in
/// `"…"` (with `\n`, `\r`, `\t`, `\"`, `\\`, `\$`). Quoted values may span lines. Nothing is interpolated. A later
/// line wins.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Secret>, Vec<BadLine>> {
    let mut variables = BTreeMap::new();
    let mut bad = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let after = match statement(rest) {
            Ok((variable, after)) => {
                variables.extend(variable);
                after
            }
            Err(message) => {
                bad.push(BadLine { line, message });
                next_line(rest)
            }
        };
        line += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
    }
    if bad.is_empty() { Ok(variables) } else { Err(bad) }
}

type Statement<'a> = (Option<(String, Secret)>, &'a str);

/// One statement and what follows it.
fn statement(text: &str) -> Result<Statement<'_>, String> {
    let line = text.split('\n').next().unwrap_or_default();
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok((None, next_line(text)));
    }
    let Some(key) = line.split('=').next().filter(|key| key.len() < line.len()) else {
        return Err("expected KEY=VALUE".to_owned());
    };
    let value = text[key.len() + 1..].trim_start_matches([' ', '\t']);
    let key = key.trim();
    let key = key.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(key).trim();
    let name_like = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if key.is_empty() || !key.chars().all(name_like) {
        return Err(format!("{} is not the name of a variable", shown(key)));
    }
    let (value, after) = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(&value[1..], quote)?,
        _ => (bare(value), next_line(value)),
    };
    if value.contains('\0') {
        return Err(format!("the value of {key} contains a NUL byte"));
    }
    Ok((Some((key.to_owned(), Secret::from(value))), after))
}

fn next_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// Up to the end of the line, or to a comment: a `#` after a space.
fn bare(text: &str) -> String {
    let line = text.split('\n').next().unwrap_or_default();
    let comment =
        line.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || line[..*at].ends_with([' ', '\t'])));
    line[..comment.map_or(line.len(), |(at, _)| at)].trim().to_owned()
}

/// Up to the closing quote, after which only a comment may follow.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                let after = &text[at + 1..];
                let trailing = after.split('\n').next().unwrap_or_default().trim();
                return match trailing {
                    "" => Ok((value, next_line(after))),
                    comment if comment.starts_with('#') => Ok((value, next_line(after))),
                    _ => Err(format!("text after the closing {quote}")),
                };
            }
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(format!("the quote {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let variables = parse(text).unwrap();
        variables.into_iter().map(|(name, value)| (name, value.reveal().to_owned())).collect()
    }

    #[test]
    fn values() {
        for (text, value) in [
            ("A=1", "1"),
            ("A = 1 \r\n", "1"),
            ("export A=1", "1"),
            ("export\tA=x # comment", "x"),
            ("A=x#y", "x#y"),
            ("A=# nothing", ""),
            ("A=", ""),
            ("A=a b  c ", "a b  c"),
            ("A='a # $B \\n'", "a # $B \\n"),
            ("A=\"a\\n\\\"b\\\" \\$ \\x\" # c", "a\n\"b\" $ \\x"),
            ("A=\"two\nlines\"\nB=2", "two\nlines"),
            ("A=x=y", "x=y"),
            ("A=$HOME", "$HOME"),
            ("A=1\nA=2", "2"),
            ("# c\n\n  \nA=1", "1"),
        ] {
            assert_eq!(read(text)[0], ("A".to_owned(), value.to_owned()), "{text}");
        }
        assert_eq!(read("exported=1")[0].0, "exported");
        assert_eq!(read(""), []);
    }

    #[test]
    fn every_bad_line_is_told_without_values() {
        let bad = parse("A=1\nhunter2\n1 x=hunter2\nB=\"hunter2\nC='x' hunter2\n").unwrap_err();
        let lines: Vec<_> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        assert!(!format!("{bad:?}").contains("hunter2"));
        assert!(parse("A=a\0b").is_err());
    }
}
