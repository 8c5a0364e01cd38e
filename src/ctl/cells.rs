//! How does one value read in a table? PM2's spellings where PM2 has one.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use supd_api::{ExecMode, LogTrouble, Millis};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// A span as PM2 shows it: a larger unit is used only from two of it on (`119s`, `2m`, `47h`, `2D`, `2M`, `2Y`).
pub(crate) fn span(span: Millis) -> String {
    let seconds = span.0 / 1000;
    [(YEAR, 'Y'), (MONTH, 'M'), (DAY, 'D'), (HOUR, 'h'), (MINUTE, 'm')]
        .into_iter()
        .find(|(unit, _)| seconds >= 2 * unit)
        .map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

/// How long ago that was.
pub(crate) fn since(unix_millis: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(Millis::from).unwrap_or_default();
    span(Millis(now.0.saturating_sub(unix_millis)))
}

/// Which file cannot be written, why, and for how long now.
pub(crate) fn trouble(trouble: &LogTrouble) -> String {
    let LogTrouble { path, text, since: begun } = trouble;
    format!("{} cannot be written for {}: {text}", path.display(), since(*begun))
}

/// How long it has been up; `0` when it is not.
pub(crate) fn uptime(uptime: Option<Millis>) -> String {
    uptime.map_or_else(|| "0".to_owned(), span)
}

/// Bytes as PM2 shows them: `0b`, `132.0kb`, `51.3mb`, `1.2gb`.
pub(crate) fn memory(bytes: u64) -> String {
    let mut amount = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes}b");
    }
    for unit in ["kb", "mb"] {
        amount /= 1024.0;
        // 1023.96 would round to 1024.0.
        if amount < 1023.95 {
            return format!("{amount:.1}{unit}");
        }
    }
    format!("{:.1}gb", amount / 1024.0)
}

/// Percent of one processor: `0%`, `12.3%`, `187.0%`.
pub(crate) fn cpu(percent: f64) -> String {
    if percent < 0.05 { "0%".to_owned() } else { format!("{percent:.1}%") }
}

/// PM2's short names of the two modes.
pub(crate) fn mode(mode: ExecMode) -> &'static str {
    match mode {
        ExecMode::Fork => "fork",
        ExecMode::Cluster => "cluster",
    }
}

/// A path, or `N/A` as PM2 says.
pub(crate) fn path(path: Option<&Path>) -> String {
    path.map_or_else(|| "N/A".to_owned(), |path| path.display().to_string())
}

/// `0, 2, 3`.
pub(crate) fn numbers(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// A setting in words: `500 ms`, `1.6 s`, `10 s`, `2 min`, `1 h`.
pub(crate) fn duration(span: Millis) -> String {
    match span.0 {
        0..1000 => format!("{} ms", span.0),
        ms if ms.is_multiple_of(3_600_000) => format!("{} h", ms / 3_600_000),
        ms if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        // A float shows no more digits than it needs.
        ms => format!("{} s", ms as f64 / 1000.0),
    }
}

/// A metric of PM2's agent: its value with its unit.
pub(crate) fn metric(metric: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (metric.get("value"), metric.get("unit")) {
        (Some(value), Some(unit)) if !unit.is_null() => format!("{} {}", text(value), text(unit)),
        (Some(value), _) => text(value),
        (None, _) => text(metric),
    }
}

/// Text that can do nothing to a terminal: control characters are shown escaped.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, letter| {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_change_their_unit_at_two() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (119 * 60 + 59, "119m"),
            (2 * HOUR, "2h"),
            (47 * HOUR, "47h"),
            (2 * DAY, "2D"),
            (59 * DAY, "59D"),
            (60 * DAY, "2M"),
            (2 * YEAR, "2Y"),
        ] {
            assert_eq!(span(Millis(seconds * 1000 + 999)), shown);
        }
        assert_eq!(uptime(None), "0");
    }

    #[test]
    fn durations_are_exact() {
        for (millis, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (1600, "1.6 s"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(duration(Millis(millis)), shown);
        }
    }

    #[test]
    fn memory_and_cpu() {
        for (bytes, shown) in [
            (0, "0b"),
            (1023, "1023b"),
            (132 << 10, "132.0kb"),
            ((1 << 20) - 1, "1.0mb"),
            (53_792_000, "51.3mb"),
            (1_288_490_189, "1.2gb"),
            (2 << 40, "2048.0gb"),
        ] {
            assert_eq!(memory(bytes), shown);
        }
        assert_eq!([cpu(0.0), cpu(12.34), cpu(187.0)], ["0%", "12.3%", "187.0%"]);
    }

    #[test]
    fn escape_sequences_are_defused() {
        assert_eq!(harmless("a\x1b[31mé\n"), "a\\u{1b}[31mé\\n");
    }
}
