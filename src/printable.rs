//! Text of strangers.
//!
//! Question answered here: *what of it may be shown to people, in one line?*

/// At most `max` characters of what these bytes say, on one line: what is no text becomes `�`, and control characters,
/// line breaks and those that turn the direction of writing become single spaces. A text that was cut ends with `…`.
pub fn printable(bytes: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control() || turns(letter));
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= max {
        return line;
    }
    line.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// Formatting characters of Unicode's bidirectional algorithm (UAX #9).
fn turns(letter: char) -> bool {
    matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown() {
        assert_eq!(printable(b"  two\r\nlines\t\x1b[31mred\x00 ", 100), "two lines [31mred");
        assert_eq!(printable("Grüße \u{202e}nov".as_bytes(), 100), "Grüße nov");
        assert_eq!(printable(b"a\xff\xfeb", 100), "a��b");
        assert_eq!(printable(b"\n\x07", 100), "");
    }

    #[test]
    fn it_is_cut_by_characters() {
        assert_eq!(printable("äöüß".as_bytes(), 4), "äöüß");
        assert_eq!(printable("äöüßa".as_bytes(), 4), "äöü…");
        let long = "🦀".repeat(100_000);
        assert_eq!(printable(long.as_bytes(), 200).chars().count(), 200);
    }
}
