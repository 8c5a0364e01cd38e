//! Which key does what? One table for the keys themselves, for the hints at the foot and for the help.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use KeyCode::{BackTab, Char, Delete, Down, End, Enter, Esc, Home, Left, PageDown, PageUp, Right, Tab, Up};

/// What a key does when nothing is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Previous,
    Next,
    First,
    Last,
    Fold,
    Unfold,
    FoldAll,
    Start,
    Stop,
    Restart,
    Reload,
    Scale,
    Delete,
    Filter,
    Search,
    Older,
    Newer,
    Hold,
    PageUp,
    PageDown,
    Begin,
    Follow,
    Swap,
    Help,
    Cancel,
    Quit,
}

/// A row of the table.
pub(super) struct Key {
    pub(super) codes: &'static [KeyCode],
    /// How the keys read.
    pub(super) shown: &'static str,
    /// At the foot, in a word.
    pub(super) hint: &'static str,
    /// In the help.
    pub(super) help: &'static str,
    pub(super) command: Command,
}

const fn key(
    codes: &'static [KeyCode],
    shown: &'static str,
    hint: &'static str,
    help: &'static str,
    command: Command,
) -> Key {
    Key { codes, shown, hint, help, command }
}

/// In the order in which a narrow foot has room for them; what has no hint is in the help only.
pub(super) const KEYS: [Key; 26] = [
    key(&[Char('?'), Char('h')], "?", "help", "this help", Command::Help),
    key(&[Char('q')], "q", "quit", "quit, as Ctrl-C does", Command::Quit),
    key(&[Char('r')], "r", "restart", "restart; asks", Command::Restart),
    key(&[Char('l')], "l", "reload", "reload the whole app; asks", Command::Reload),
    key(&[Char('x')], "x", "stop", "stop; asks", Command::Stop),
    key(&[Char('s')], "s", "start", "start", Command::Start),
    key(&[Char('d'), Tab, BackTab], "d", "details", "details or log", Command::Swap),
    key(&[Char('/')], "/", "search", "search the log, newest first", Command::Search),
    key(&[Char('f')], "f", "filter", "filter by name or status", Command::Filter),
    key(&[Char('p'), Char(' ')], "p", "pause", "hold the log, or follow it", Command::Hold),
    key(&[Char('c')], "c", "scale", "scale to 4, by +1, by -1", Command::Scale),
    key(&[Char('D'), Delete], "D", "delete", "stop and forget; asks", Command::Delete),
    key(&[Up, Char('k')], "↑ k", "", "select the one above", Command::Previous),
    key(&[Down, Char('j')], "↓ j", "", "select the one below", Command::Next),
    key(&[Char('g')], "g", "", "select the first", Command::First),
    key(&[Char('G')], "G", "", "select the last", Command::Last),
    key(&[Left], "←", "", "fold the app", Command::Fold),
    key(&[Right, Enter], "→", "", "unfold it", Command::Unfold),
    key(&[Char('z')], "z", "", "fold or unfold all apps", Command::FoldAll),
    key(&[Char('n')], "n", "", "next older line found", Command::Older),
    key(&[Char('N')], "N", "", "next newer line found", Command::Newer),
    key(&[PageUp], "PgUp", "", "earlier in the log; up", Command::PageUp),
    key(&[PageDown], "PgDn", "", "later in the log; down", Command::PageDown),
    key(&[Home], "Home", "", "the first line of the log", Command::Begin),
    key(&[End], "End", "", "the last line; follow it", Command::Follow),
    key(&[Esc], "Esc", "", "drop search and filter", Command::Cancel),
];

/// What this key does.
pub(super) fn command(key: KeyEvent) -> Option<Command> {
    if is_interrupt(key) {
        return Some(Command::Quit);
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return None;
    }
    KEYS.iter().find(|known| known.codes.contains(&key.code)).map(|known| known.command)
}

/// Ctrl-C: in raw mode it is a key and no signal.
pub(super) fn is_interrupt(key: KeyEvent) -> bool {
    key.code == Char('c') && key.modifiers.contains(KeyModifiers::CONTROL)
}

/// What is typed into a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    Letter(char),
    Back,
    Clear,
    Done,
    Cancel,
}

/// What this key does while a line is being typed.
pub(super) fn edit(key: KeyEvent) -> Option<Edit> {
    if is_interrupt(key) {
        return Some(Edit::Cancel);
    }
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (Char('u'), true) => Some(Edit::Clear),
        (Char(letter), false) if !letter.is_control() => Some(Edit::Letter(letter)),
        (KeyCode::Backspace, _) => Some(Edit::Back),
        (Enter, _) => Some(Edit::Done),
        (Esc, _) => Some(Edit::Cancel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_does_one_thing() {
        let codes: Vec<KeyCode> = KEYS.iter().flat_map(|key| key.codes).copied().collect();
        for (at, code) in codes.iter().enumerate() {
            assert!(!codes[at + 1..].contains(code), "{code:?} is there twice");
        }
        assert_eq!(command(KeyEvent::new(Char('c'), KeyModifiers::CONTROL)), Some(Command::Quit));
        assert_eq!(command(KeyEvent::new(Char('r'), KeyModifiers::CONTROL)), None);
        assert_eq!(command(KeyEvent::new(Char('D'), KeyModifiers::SHIFT)), Some(Command::Delete));
    }
}
