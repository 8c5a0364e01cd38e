//! In which colour is a piece of text? The few that a plain terminal has, as PM2 uses them.

/// A colour of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Green,
    Red,
    Yellow,
    Grey,
}

impl Ink {
    /// The text in this colour, or as it is when no colours are wanted.
    pub(crate) fn on(self, text: &str, wanted: bool) -> String {
        let code = match self {
            Self::Green => 32,
            Self::Red => 31,
            Self::Yellow => 33,
            Self::Grey => 90,
        };
        if wanted { format!("\x1b[{code}m{text}\x1b[39m") } else { text.to_owned() }
    }
}
