//! Where output goes and what it looks like.

use std::str::FromStr;

use serde_json::Value;
use supd_api::{Compression, LogSink, OnFull, StdoutForm};

use super::{Count, expected, whole};

field_type!(
    /// A file; `true`: one with the name of the app; `false`: none.
    LogFile(Option<Option<String>>),
    { "type": ["string", "boolean"] }
);

impl TryFrom<Value> for LogFile {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, value.as_str()) {
            (Value::Bool(true), _) | (_, Some("true")) => Ok(Self(Some(None))),
            (Value::Bool(false), _) | (_, Some("false" | "")) => Ok(Self(None)),
            (_, Some(text)) => Ok(Self(Some(Some(text.to_owned())))),
            _ => expected("a file, true or false", &value),
        }
    }
}

field_type!(
    /// Whether lines are objects.
    LogType(bool),
    { "enum": ["json", "raw"] }
);

impl TryFrom<Value> for LogType {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("json") => Ok(Self(true)),
            Some("raw" | "") => Ok(Self(false)),
            _ => expected("\"json\" or \"raw\"", &value),
        }
    }
}

field_type!(
    /// `block`, `drop_oldest` or `drop_newest`.
    Full(OnFull),
    { "enum": ["block", "drop_oldest", "drop_newest"] }
);

impl TryFrom<Value> for Full {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("block") => Ok(Self(OnFull::Block)),
            Some("drop_oldest") => Ok(Self(OnFull::DropOldest)),
            Some("drop_newest") => Ok(Self(OnFull::DropNewest)),
            _ => expected("\"block\", \"drop_oldest\" or \"drop_newest\"", &value),
        }
    }
}

field_type!(
    /// A number of bytes, or a text with a unit: `"500K"`, `"10M"`, `"1.5G"`; `false` or 0: no limit.
    Size(Option<u64>),
    { "type": ["integer", "string", "boolean"], "minimum": 0, "pattern": "^([0-9]+([.][0-9]+)? *[KMGkmg]i?[Bb]?|[0-9]+ *[Bb]?|false)$" }
);

impl TryFrom<Value> for Size {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let bytes = match &value {
            Value::Bool(false) => Some(0),
            Value::String(text) => size(text.trim()),
            other => whole(other).and_then(|number| u64::try_from(number).ok()),
        };
        match bytes {
            Some(0) => Ok(Self(None)),
            Some(bytes) => Ok(Self(Some(bytes))),
            None => expected(
                "a number of bytes or a text such as \"10M\" (units: K, M, G), or false for no limit",
                &value,
            ),
        }
    }
}

/// Bytes, with a unit or without.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start().to_ascii_lowercase());
    let shift = match unit.as_str() {
        "" if digits > 0 => 0,
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "false" => return Some(0),
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(1 << shift),
        Some((whole, part)) if shift > 0 && !whole.is_empty() && !part.is_empty() => {
            let bytes = number.parse::<f64>().ok()? * f64::from(1 << shift);
            // Beyond 2^53 it would be inexact; no machine has so much.
            (bytes < 9_007_199_254_740_992.0).then_some(bytes.round() as u64)
        }
        Some(_) => None,
    }
}

field_type!(
    /// How many are kept; `all` or `false`: all of them.
    Keep(Option<u32>),
    { "type": ["integer", "string", "boolean"], "minimum": 0, "pattern": "^([0-9]+|all|false)$" }
);

impl TryFrom<Value> for Keep {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, value.as_str()) {
            (Value::Bool(false), _) | (_, Some("all" | "false")) => Ok(Self(None)),
            _ => match Count::try_from(value.clone()) {
                Ok(Count(count)) => Ok(Self(Some(count))),
                Err(_) => expected("a whole number from 0, or \"all\"", &value),
            },
        }
    }
}

field_type!(
    /// `hourly`, `daily`, `weekly`, or a cron expression; `false`: not by the clock.
    Schedule(Option<String>),
    { "type": ["string", "boolean"] }
);

impl TryFrom<Value> for Schedule {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let expression = match (&value, value.as_str().map(str::trim)) {
            (Value::Bool(false), _) | (_, Some("" | "false")) => return Ok(Self(None)),
            (_, Some("hourly")) => "0 * * * *",
            (_, Some("daily")) => "0 0 * * *",
            (_, Some("weekly")) => "0 0 * * 0",
            (_, Some(text)) => text,
            _ => return expected("hourly, daily, weekly or a cron expression such as \"0 3 * * *\"", &value),
        };
        check_schedule(expression)?;
        Ok(Self(Some(expression.to_owned())))
    }
}

field_type!(
    /// As [`Schedule`]; 0 too: never, as PM2's command line has it.
    Cron(Option<String>),
    { "type": ["string", "boolean", "integer"] }
);

impl TryFrom<Value> for Cron {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match whole(&value) {
            Some(0) => Ok(Self(None)),
            _ => Schedule::try_from(value).map(|Schedule(expression)| Self(expression)),
        }
    }
}

/// What this means as a cron expression; if it is none, why.
pub(in crate::config) fn check_schedule(expression: &str) -> Result<croner::Cron, String> {
    let shown = super::super::problem::shown(expression);
    if expression.len() > 256 {
        return Err("longer than any cron expression".to_owned());
    }
    croner::Cron::from_str(expression).map_err(|error| format!("{shown} is no cron expression: {error}"))
}

field_type!(
    /// `gzip` (or `true`, as in pm2-logrotate), `zstd`, or `false`.
    Compress(Option<Compression>),
    { "enum": ["gzip", "zstd", false, true, "true", "false"] }
);

impl TryFrom<Value> for Compress {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, value.as_str()) {
            (Value::Bool(true), _) | (_, Some("gzip" | "true")) => Ok(Self(Some(Compression::Gzip))),
            (_, Some("zstd")) => Ok(Self(Some(Compression::Zstd))),
            (Value::Bool(false), _) | (_, Some("false" | "")) => Ok(Self(None)),
            _ => expected("\"gzip\", \"zstd\" or false", &value),
        }
    }
}

field_type!(
    /// Where output goes, other than to files; `false`: nowhere.
    Sink(Option<LogSink>),
    { "enum": ["journald", "syslog", "stdout", "stdout-prefixed", "stdout-json", "stdout-format", false, "false"] }
);

impl TryFrom<Value> for Sink {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        Ok(Self(match (&value, value.as_str()) {
            (Value::Bool(false), _) | (_, Some("false" | "")) => None,
            (_, Some("journald")) => Some(LogSink::Journald),
            (_, Some("syslog")) => Some(LogSink::Syslog),
            (_, Some("stdout")) => Some(LogSink::Stdout(StdoutForm::Raw)),
            (_, Some("stdout-prefixed")) => Some(LogSink::Stdout(StdoutForm::Prefixed)),
            (_, Some("stdout-json")) => Some(LogSink::Stdout(StdoutForm::Json)),
            (_, Some("stdout-format")) => Some(LogSink::Stdout(StdoutForm::Format)),
            _ => {
                return expected(
                    "\"journald\", \"syslog\", \"stdout\", \"stdout-prefixed\", \"stdout-json\" or \"stdout-format\"",
                    &value,
                );
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::Size;

    #[test]
    fn sizes() {
        let good = [
            (json!(300), Some(300)),
            (json!("300"), Some(300)),
            (json!("300M"), Some(300 << 20)),
            (json!("300m"), Some(300 << 20)),
            (json!("512 MB"), Some(512 << 20)),
            (json!("1.5G"), Some(3 << 29)),
            (json!("0.5 KiB"), Some(512)),
            (json!("12b"), Some(12)),
            (json!(0), None),
            (json!("0"), None),
            (json!(false), None),
        ];
        for (value, bytes) in good {
            assert_eq!(read::<Size>(value.clone()).unwrap().0, bytes, "{value}");
        }
        let bad =
            ["1.5", "1.", ".5G", "1.2.3M", "M", "", "10X", "-1M", "9999999999999G", "99999999999999.5G"];
        for value in bad {
            assert!(read::<Size>(json!(value)).is_err(), "{value}");
        }
    }
}
