//! The types of the fields of a declaration.
//!
//! Question answered here: *what may one value look like?* Each type takes any value and either understands it
//! or says what it expected and what it found. None of them knows the field it stands in or the other fields.

use std::str::FromStr;

use nix::sys::signal::Signal;
use serde_json::Value;
use supd_api::{ExecMode, Millis};

use super::problem::shown;

/// What a value is, for a message: `the text "x"`, `a list`, …
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {}", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

fn expected<T>(what: &str, value: &Value) -> Result<T, String> {
    Err(format!("expected {what}, found {}", found(value)))
}

/// A field type: documented for the schema, read from any value.
macro_rules! field_type {
    ($(#[$doc:meta])* $name:ident($inner:ty), $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(try_from = "serde_json::Value")]
        pub(in crate::config) struct $name(pub(in crate::config) $inner);

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

mod cgroup;
mod checks;
mod depends;
mod job;
mod lists;
mod logs;
mod process;
mod share;
mod variables;
mod watch;

pub(super) use cgroup::{CpuMax, Share};
pub(super) use checks::{
    Address, Http, Interval, Limit, Part, SHORTEST_INTERVAL, Tcp, Threshold, check_at_least, check_path,
};
pub(super) use depends::Depends;
pub(super) use job::Overlapping;
pub(super) use lists::{Codes, Listen, Texts, Words};
pub(super) use logs::{Compress, Cron, Full, Keep, LogFile, LogType, Schedule, Sink, Size, check_schedule};
pub(super) use process::{Capabilities, Nice, OomScore, Rlimits, Umask};
pub(super) use share::{MOST_PERCENT, Percent};
pub(super) use variables::{Filter, FilterEnv, Variables, check_variable_name};
pub(super) use watch::{WatchOptions, WatchedPaths};

field_type!(
    /// A text.
    Text(String),
    { "type": "string" }
);

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => expected("a text", &other),
        }
    }
}

field_type!(
    /// A truth value, also as text.
    Flag(bool),
    { "type": ["boolean", "string"], "enum": [true, false, "true", "false"] }
);

impl TryFrom<Value> for Flag {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, value.as_str()) {
            (Value::Bool(flag), _) => Ok(Self(*flag)),
            (_, Some("true")) => Ok(Self(true)),
            (_, Some("false")) => Ok(Self(false)),
            _ => expected("true or false", &value),
        }
    }
}

/// A whole number, also as text; `None` for anything else. `2.0` is whole.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Beyond 2^53 a float has no exact neighbours; no field means such a number.
            (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

field_type!(
    /// How many; also as text.
    Count(u32),
    { "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$" }
);

impl TryFrom<Value> for Count {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        const MOST: i64 = 1_000_000_000;
        match whole(&value) {
            Some(number @ 0..=MOST) => Ok(Self(number as u32)),
            _ => expected("a whole number from 0", &value),
        }
    }
}

field_type!(
    /// The number of a TCP port; also as text.
    Port(u16),
    { "type": ["integer", "string"], "minimum": 0, "maximum": 65535, "pattern": "^[0-9]+$" }
);

impl TryFrom<Value> for Port {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match whole(&value).and_then(|number| u16::try_from(number).ok()) {
            Some(port) => Ok(Self(port)),
            None => expected("a port from 0 to 65535", &value),
        }
    }
}

field_type!(
    /// A number of milliseconds, or a text with a unit: `"500ms"`, `"5s"`, `"2m"`, `"1h"`.
    Span(Millis),
    { "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+ *(ms|s|m|h)?$" }
);

/// The longest span a field may have: a longer one is a mistake.
pub(super) const LONGEST: Millis = Millis(366 * 24 * 60 * 60 * 1000);

impl TryFrom<Value> for Span {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let millis = match &value {
            Value::String(text) => with_unit(text.trim()),
            other => whole(other).and_then(|number| u64::try_from(number).ok()),
        };
        match millis {
            Some(millis) if millis <= LONGEST.0 => Ok(Self(Millis(millis))),
            Some(_) => expected("at most a year", &value),
            None => expected("milliseconds or a text such as \"5s\" (units: ms, s, m, h)", &value),
        }
    }
}

fn with_unit(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match text[digits..].trim_start() {
        "" | "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    if digits == 0 { None } else { Some(text[..digits].parse().unwrap_or(u64::MAX).saturating_mul(factor)) }
}

field_type!(
    /// `"max"` or `0`: one worker per processor; `-2`: that many less; else the number itself.
    Instances(supd_api::Instances),
    { "type": ["integer", "string"], "minimum": -1000, "maximum": 1000, "pattern": "^(max|-?[0-9]+)$" }
);

impl TryFrom<Value> for Instances {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        use supd_api::Instances as Api;
        let limit = i64::from(Api::LIMIT);
        if value.as_str() == Some("max") {
            return Ok(Self(Api::AllBut(0)));
        }
        match whole(&value) {
            Some(number) if number.abs() > limit => expected(&format!("at most {limit} workers"), &value),
            Some(number @ ..=0) => Ok(Self(Api::AllBut(number.unsigned_abs() as u32))),
            Some(number) => Ok(Self(Api::Count(number as u32))),
            None => expected("a whole number, \"max\" or 0 (one per processor), or -N (N less)", &value),
        }
    }
}

field_type!(
    /// `fork` or `cluster`.
    Mode(ExecMode),
    { "enum": ["fork", "cluster", "fork_mode", "cluster_mode"] }
);

impl TryFrom<Value> for Mode {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("fork" | "fork_mode") => Ok(Self(ExecMode::Fork)),
            Some("cluster" | "cluster_mode") => Ok(Self(ExecMode::Cluster)),
            _ => expected("\"fork\" or \"cluster\"", &value),
        }
    }
}

field_type!(
    /// How workers share a socket.
    Balance(supd_api::Balance),
    { "enum": ["shared", "reuseport"] }
);

impl TryFrom<Value> for Balance {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("shared") => Ok(Self(supd_api::Balance::Shared)),
            Some("reuseport") => Ok(Self(supd_api::Balance::Reuseport)),
            _ => expected("\"shared\" or \"reuseport\"", &value),
        }
    }
}

field_type!(
    /// What is read from standard input.
    Stdin(supd_api::Stdin),
    { "enum": ["pipe", "null"] }
);

impl TryFrom<Value> for Stdin {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("pipe") => Ok(Self(supd_api::Stdin::Pipe)),
            Some("null") => Ok(Self(supd_api::Stdin::Null)),
            _ => expected("\"pipe\" or \"null\"", &value),
        }
    }
}

field_type!(
    /// The name or the number of a user or a group.
    Account(String),
    { "type": ["string", "integer"], "minimum": 0 }
);

impl TryFrom<Value> for Account {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match (&value, whole(&value)) {
            (_, Some(id)) if u32::try_from(id).is_ok() => Ok(Self(id.to_string())),
            (Value::String(name), None) if !name.is_empty() => Ok(Self(name.clone())),
            _ => expected("a name or a numeric id", &value),
        }
    }
}

field_type!(
    /// The name of a signal, with or without `SIG`.
    SignalName(String),
    { "type": "string", "pattern": "^(SIG)?[A-Z0-9]+$" }
);

impl TryFrom<Value> for SignalName {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let upper = value.as_str().unwrap_or_default().to_ascii_uppercase();
        let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        match Signal::from_str(&name) {
            Ok(signal) => Ok(Self(signal.as_str().to_owned())),
            Err(_) => expected("the name of a signal such as \"SIGTERM\"", &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    pub(super) fn read<T: for<'de> serde::Deserialize<'de>>(value: Value) -> Result<T, String> {
        from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn spans() {
        let good = [
            (json!(0), 0),
            (json!("1500"), 1500),
            (json!("500ms"), 500),
            (json!("5s"), 5000),
            (json!(" 2 m"), 120_000),
            (json!("1h"), 3_600_000),
            (json!(3.0), 3),
        ];
        for (value, millis) in good {
            assert_eq!(read::<Span>(value.clone()).unwrap().0, Millis(millis), "{value}");
        }
        let bad =
            [json!(-1), json!("5x"), json!(""), json!("s"), json!(1.5), json!(true), json!([]), json!(1e300)];
        for value in bad {
            let error = read::<Span>(value.clone()).unwrap_err();
            assert!(error.starts_with("expected milliseconds"), "{value}: {error}");
        }
        for value in [json!(i64::MAX), json!("99999999999999999999h")] {
            assert!(read::<Span>(value).unwrap_err().starts_with("expected at most a year"));
        }
    }

    #[test]
    fn instances() {
        use supd_api::Instances as Api;
        let good = [
            (json!("max"), Api::AllBut(0)),
            (json!(0), Api::AllBut(0)),
            (json!(-2), Api::AllBut(2)),
            (json!("-1"), Api::AllBut(1)),
            (json!(4), Api::Count(4)),
            (json!("4"), Api::Count(4)),
            (json!(1000), Api::Count(1000)),
        ];
        for (value, instances) in good {
            assert_eq!(read::<Instances>(value.clone()).unwrap().0, instances, "{value}");
        }
        for value in
            [json!("50%"), json!("abc"), json!(1001), json!(-1001), json!(1.5), json!(true), json!("")]
        {
            assert!(read::<Instances>(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn flags_counts_and_ports() {
        assert!(read::<Flag>(json!("true")).unwrap().0 && read::<Flag>(json!(true)).unwrap().0);
        assert!(!read::<Flag>(json!("false")).unwrap().0);
        for value in [json!("yes"), json!(1), json!([])] {
            assert!(read::<Flag>(value).is_err());
        }
        assert_eq!(read::<Count>(json!("16")).unwrap().0, 16);
        for value in [json!(-1), json!("x"), json!(2_000_000_000), json!(0.5)] {
            assert!(read::<Count>(value).is_err());
        }
        assert_eq!(read::<Port>(json!("8080")).unwrap().0, 8080);
        assert!(read::<Port>(json!(65536)).is_err());
    }

    #[test]
    fn modes_signals_and_accounts() {
        assert_eq!(read::<Mode>(json!("cluster_mode")).unwrap().0, ExecMode::Cluster);
        assert!(read::<Mode>(json!("clusters")).is_err());
        for name in ["SIGUSR2", "usr2", "USR2"] {
            assert_eq!(read::<SignalName>(json!(name)).unwrap().0, "SIGUSR2");
        }
        for name in ["SIGNOPE", "", "SIG"] {
            assert!(read::<SignalName>(json!(name)).is_err());
        }
        assert_eq!(read::<Account>(json!(1000)).unwrap().0, "1000");
        assert_eq!(read::<Account>(json!("www-data")).unwrap().0, "www-data");
        assert!(read::<Account>(json!(-1)).is_err());
        assert!(read::<Account>(json!("")).is_err());
    }

    #[test]
    fn a_message_is_fit_for_a_terminal() {
        let error = read::<Mode>(json!(format!("\u{1b}[31m{}", "x".repeat(500)))).unwrap_err();
        assert!(!error.contains('\u{1b}') && error.len() < 200, "{error}");
    }
}
