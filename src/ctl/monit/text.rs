//! How does text fit into cells? Widths are those of a terminal: a letter of East Asia takes two cells, an accent none.

use std::ops::Range;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many cells it takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// At most so many cells of it; what was cut ends with `…`.
pub(super) fn fit(text: &str, cells: usize) -> String {
    if text.width() <= cells {
        return text.to_owned();
    }
    let Some(room) = cells.checked_sub(1) else { return String::new() };
    format!("{}…", &text[..end_of_row(text, room)])
}

/// Where the rows of a text begin and end that has so many cells for each. An empty text is one row.
pub(super) fn wrap(text: &str, cells: usize) -> Vec<Range<usize>> {
    let mut rows = Vec::new();
    let mut begin = 0;
    while begin < text.len() {
        // A letter wider than the row is alone in it.
        let first = text[begin..].chars().next().map_or(1, char::len_utf8);
        let end = begin + end_of_row(&text[begin..], cells).max(first);
        rows.push(begin..end);
        begin = end;
    }
    if rows.is_empty() {
        rows.push(0..0);
    }
    rows
}

/// How many bytes of it fit into so many cells.
fn end_of_row(text: &str, cells: usize) -> usize {
    let mut taken = 0;
    for (at, letter) in text.char_indices() {
        taken += letter.width().unwrap_or(0);
        if taken > cells {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        for (text, cells, shown) in [
            ("web", 3, "web"),
            ("webs", 3, "we…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a\u{301}bc", 3, "a\u{301}bc"),
            ("web", 0, ""),
        ] {
            assert_eq!(fit(text, cells), shown, "{text} {cells}");
        }
    }

    #[test]
    fn rows_hold_everything_once() {
        let rows = |text, cells| wrap(text, cells).into_iter().map(|row| &text[row]).collect::<Vec<&str>>();
        assert_eq!(rows("", 4), [""]);
        assert_eq!(rows("abcdefghi", 4), ["abcd", "efgh", "i"]);
        assert_eq!(rows("日本語", 5), ["日本", "語"]);
        assert_eq!(rows("日本", 1), ["日", "本"]);
        assert_eq!(rows("ab", 0), ["a", "b"]);
    }
}
