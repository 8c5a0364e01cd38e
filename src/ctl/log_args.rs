//! Which flags does `logs` take, and which moment does `--since` mean?

use clap::Args;
use jiff::civil::DateTime;
use jiff::{Timestamp, Zoned};
use supd_api::Millis;

use super::args::OptionalTargets;
use crate::config;

/// PM2's.
const STAMP: &str = "YYYY-MM-DD-HH:mm:ss";

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Of which.
    #[command(flatten)]
    pub(crate) of: OptionalTargets,
    /// How many of the last lines of each log to show first [default: 15; all with --since, --until and --this-run]
    #[arg(long, value_name = "N")]
    pub(crate) lines: Option<u32>,
    /// Show the last lines and end
    #[arg(long, overrides_with = "follow")]
    pub(crate) nostream: bool,
    /// Follow (the default)
    #[arg(short, long, overrides_with = "nostream", conflicts_with_all = ["until", "previous"])]
    pub(crate) follow: bool,
    /// Which lines.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// How they read.
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Which lines are shown.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Which lines")]
pub(crate) struct Choice {
    /// Only standard error
    #[arg(long, conflicts_with = "out")]
    pub(crate) err: bool,
    /// Only standard output
    #[arg(long)]
    pub(crate) out: bool,
    /// Only lines in which this regular expression is found
    #[arg(long, value_name = "REGEX")]
    pub(crate) grep: Option<String>,
    /// Only lines from then on: 10m, 2h, 3d ago, or 2026-11-20T10:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<u64>,
    /// Only lines up to then; does not follow
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<u64>,
    /// Only what the present run of each worker has written, and what follows
    #[arg(long, conflicts_with = "previous")]
    pub(crate) this_run: bool,
    /// How the last run that ended has ended; does not follow
    #[arg(long)]
    pub(crate) previous: bool,
}

/// How lines read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Form")]
pub(crate) struct Form {
    /// The bytes as the app wrote them, without prefixes and titles
    #[arg(long, conflicts_with_all = ["format", "timestamp"])]
    pub(crate) raw: bool,
    /// timestamp=… app=… id=… type=out|error message=…
    #[arg(long)]
    pub(crate) format: bool,
    /// Begin with the time where it is known, in the tokens of log_date_format
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = STAMP)]
    pub(crate) timestamp: Option<String>,
    /// Show this text inverted, on a terminal
    #[arg(long, value_name = "TEXT")]
    pub(crate) highlight: Option<String>,
    /// Say from which log the lines come, also where that is no terminal
    #[arg(long)]
    pub(crate) titles: bool,
}

impl LogArgs {
    pub(crate) fn follows(&self) -> bool {
        !self.nostream && self.choice.until.is_none() && !self.choice.previous
    }
}

/// Milliseconds since the epoch: a span before now, or a date, local where it names no zone.
fn moment(text: &str) -> Result<u64, String> {
    before(text, &Zoned::now())
}

fn before(text: &str, now: &Zoned) -> Result<u64, String> {
    let expected = || format!("`{text}` is no time: expected 90s, 10m, 2h or 3d ago, or 2026-11-20T10:00");
    let instant = if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        ago(now, days.saturating_mul(86_400_000)).ok_or_else(expected)?
    } else if text.ends_with(['s', 'm', 'h']) {
        let Millis(span) = config::span(text).map_err(|_| expected())?;
        ago(now, span).ok_or_else(expected)?
    } else if let Ok(instant) = text.parse::<Timestamp>() {
        instant
    } else {
        let civil: DateTime = text.parse().map_err(|_| expected())?;
        now.time_zone().to_timestamp(civil).map_err(|_| expected())?
    };
    Ok(u64::try_from(instant.as_millisecond()).unwrap_or_default())
}

fn ago(now: &Zoned, span: u64) -> Option<Timestamp> {
    let then = now.timestamp().as_millisecond().checked_sub(i64::try_from(span).ok()?)?;
    Timestamp::from_millisecond(then).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now: Zoned = "2026-11-20T12:00:00+01:00[Europe/Berlin]".parse().expect("a time");
        let ten = 1_795_168_800_000;
        for (text, at) in [
            ("1h", ten),
            ("90s", ten + 3_510_000),
            ("500ms", ten + 3_599_500),
            ("3d", ten + 3_600_000 - 3 * 86_400_000),
            ("2026-11-20T11:00", ten),
            ("2026-11-20 11:00:00", ten),
            ("2026-11-20T10:00:00Z", ten),
            ("2026-11-20", ten - 11 * 3_600_000),
        ] {
            assert_eq!(before(text, &now), Ok(at), "{text}");
        }
        for text in ["", "10", "m", "-5m", "10:00", "2026-13-01", "99999999999999999999d", "999999999999999d"]
        {
            assert!(before(text, &now).is_err(), "{text}");
        }
    }
}
