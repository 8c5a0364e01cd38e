//! The time that a line carries.
//!
//! Question answered here: *when was this line written, if it says so itself?* What counts is a date and time at its beginning,
//! as the option `time`, most loggers and ISO 8601 write it, perhaps in brackets; and the field `timestamp` or `time` of a line
//! that is a JSON object. Without a zone it is the local time of this machine. It may not guess.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use regex::bytes::{Captures, Regex};

const STAMP: &str = r"(\d{4}-\d\d-\d\d)[T -](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?";

/// A number of milliseconds is one of the years 2001 to 2286: thirteen digits.
static FIELD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(r#""(?:timestamp|time)"\s*:\s*(?:"{STAMP}|([1-9]\d{{12}})\b)"#)).ok()
});
static BEGINNING: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"^\[?{STAMP}")).ok());

/// Of a longer line only so much is looked at.
const LOOKED_AT: usize = 64 * 1024;

/// In milliseconds since the epoch.
pub(super) fn stamp(line: &[u8]) -> Option<u64> {
    let line = &line[..line.len().min(LOOKED_AT)];
    match line.first()? {
        b'{' => {
            let found = FIELD.as_ref()?.captures(line)?;
            found.get(5).map_or_else(|| moment(&found), |number| text(number.as_bytes())?.parse().ok())
        }
        b'[' | b'0'..=b'9' => moment(&BEGINNING.as_ref()?.captures(line)?),
        _ => None,
    }
}

fn moment(found: &Captures) -> Option<u64> {
    let part = |index| found.get(index).and_then(|part| text(part.as_bytes()));
    let civil: DateTime = format!("{}T{}", part(1)?, part(2)?).parse().ok()?;
    let instant = match part(4) {
        None => TimeZone::system().to_timestamp(civil).ok()?,
        Some(zone) => offset(zone)?.to_timestamp(civil).ok()?,
    };
    // The first three digits of a fraction.
    let fraction = format!("{:0<3.3}", part(3).unwrap_or_default()).parse::<i64>().ok()?;
    u64::try_from(instant.as_millisecond().checked_add(fraction)?).ok()
}

/// `Z`, `+01:00` or `+0100`.
fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let minutes =
        zone.get(1..3)?.parse::<i32>().ok()? * 60 + zone.get(zone.len() - 2..)?.parse::<i32>().ok()?;
    let seconds = minutes * if zone.starts_with('-') { -60 } else { 60 };
    Offset::from_seconds(seconds).ok()
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: u64 = 1_795_168_800_000;

    #[test]
    fn times_with_a_zone() {
        for (line, at) in [
            ("2026-11-20T10:00:00Z hello", TEN),
            ("[2026-11-20T10:00:00.123Z] hello", TEN + 123),
            ("2026-11-20 11:00:00,5 +01:00: hello", TEN + 500),
            ("2026-11-20-05:30:00-04:30 hello", TEN),
            ("2026-11-20 10:00+0000 hello", TEN),
            (r#"{"level":30,"time":1795168800000,"msg":"x"}"#, TEN),
            (r#"{"message":"x","timestamp":"2026-11-20T10:00:00.000Z","type":"out"}"#, TEN),
        ] {
            assert_eq!(stamp(line.as_bytes()), Some(at), "{line}");
        }
    }

    #[test]
    fn times_without_a_zone_are_local() {
        let civil: DateTime = "2026-11-20T10:00:00".parse().unwrap();
        let local = TimeZone::system().to_timestamp(civil).unwrap().as_millisecond();
        assert_eq!(stamp(b"2026-11-20T10:00:00: hello"), u64::try_from(local).ok());
    }

    #[test]
    fn nothing_is_guessed() {
        for line in [
            "",
            "hello",
            "hello 2026-11-20T10:00:00Z",
            "2026-13-20T10:00:00Z",
            "{}",
            r#"{"time":12}"#,
            "10:00:00",
        ] {
            assert_eq!(stamp(line.as_bytes()), None, "{line}");
        }
    }
}
