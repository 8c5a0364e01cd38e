//! Quantities with their unit in the type.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time in whole milliseconds, PM2's unit for every timeout.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The same span as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for Millis {
    /// Rounds down to whole milliseconds and saturates.
    fn from(span: Duration) -> Self {
        Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// For people, exact: `500 ms`, `10 s`, `1.5 s`.
impl fmt::Display for Millis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (0, millis) => write!(out, "{millis} ms"),
            (seconds, 0) => write!(out, "{seconds} s"),
            (seconds, millis) => write!(out, "{seconds}.{} s", format!("{millis:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_exactly() {
        let texts = [0, 999, 1000, 1500, 10_010, 3_600_000].map(|millis| Millis(millis).to_string());
        assert_eq!(texts, ["0 ms", "999 ms", "1 s", "1.5 s", "10.01 s", "3600 s"]);
    }
}
