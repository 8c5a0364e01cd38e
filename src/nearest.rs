//! Misspelt names.
//!
//! Question answered here: *which known name was probably meant?*

/// A longer word is no slip of the pen, and comparing it would take long.
const LONGEST: usize = 64;

/// The known name nearest to `word`, if it is within one slip for every three letters. Two letters swapped are one slip.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let tolerated = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_mended_and_other_words_are_not() {
        assert_eq!(nearest("wbe", ["api", "web"]), Some("web"));
        assert_eq!(nearest("exec_moed", ["exec_mode", "env"]), Some("exec_mode"));
        assert_eq!(nearest("database", ["api", "web"]), None);
        assert_eq!(nearest(&"x".repeat(65), ["x"]), None);
    }
}
