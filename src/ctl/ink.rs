//! In which colour is a piece of text? The few that a plain terminal has, as PM2 uses them.

/// A colour of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Green,
    Red,
    Yellow,
    Grey,
    /// Other colours, which mean nothing by themselves.
    Label(u8),
}

/// Cyan, blue, magenta, yellow, and the same bright.
const LABELS: [u8; 8] = [36, 34, 35, 33, 96, 94, 95, 93];

impl Ink {
    /// Always the same for the same name (FNV-1a).
    pub(crate) fn of_name(name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self::Label((hash >> 16) as u8)
    }

    /// The text in this colour, or as it is when no colours are wanted.
    pub(crate) fn on(self, text: &str, wanted: bool) -> String {
        let code = match self {
            Self::Green => 32,
            Self::Red => 31,
            Self::Yellow => 33,
            Self::Grey => 90,
            Self::Label(number) => LABELS[usize::from(number) % LABELS.len()],
        };
        if wanted { format!("\x1b[{code}m{text}\x1b[39m") } else { text.to_owned() }
    }
}
