//! A command line written as one text, split into its words as PM2 splits `args`.

/// Splits at whitespace. A word in `"` or `'` may contain whitespace and loses the quotes; quotes inside of a word
/// (`k='a b'`) keep it together and stay, as in PM2. Nothing is escaped, expanded or substituted.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '"' | '\'' => {
                let keep = word.is_some();
                let word = word.get_or_insert_default();
                let quoted = until(&mut chars, c)?;
                if keep {
                    word.extend([c].into_iter().chain(quoted.chars()).chain([c]));
                } else {
                    word.push_str(&quoted);
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn until(chars: &mut std::str::Chars<'_>, quote: char) -> Result<String, String> {
    let mut quoted = String::new();
    for c in chars.by_ref() {
        if c == quote {
            return Ok(quoted);
        }
        quoted.push(c);
    }
    Err(format!("the quote {quote} is not closed; write the arguments as a list if it is meant literally"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_pm2_splits() {
        for (text, words) in [
            ("", &[][..]),
            ("  a   b ", &["a", "b"]),
            ("-p 'a b' \"c d\"", &["-p", "a b", "c d"]),
            ("k='a b' x", &["k='a b'", "x"]),
            ("''", &[""]),
            ("\"it's\"", &["it's"]),
            ("a\\ b", &["a\\", "b"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        assert!(split("it's").is_err());
    }
}
