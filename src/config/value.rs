//! The types of the fields of a declaration.
//!
//! Question answered here: *what may one value look like?* Each type takes any value and either understands it
//! or says what it expected and what it found. None of them knows the field it stands in or the other fields.

use std::collections::BTreeMap;
use std::str::FromStr;

use nix::sys::signal::Signal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Number, Value};
use supd_api::{ExecMode, ListenAddress, Millis, Secret};

use super::problem::shown;
use super::words;

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
        #[derive(Clone, Debug, Deserialize)]
        #[serde(try_from = "Value")]
        pub(super) struct $name(pub(super) $inner);

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

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
    /// Arguments: a list, or a text that is split at spaces outside of quotes.
    Words(Vec<String>),
    { "type": ["string", "array"], "items": { "type": ["string", "number", "boolean"] } }
);

impl TryFrom<Value> for Words {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => words::split(&text).map(Self),
            Value::Array(items) => items.into_iter().map(scalar_text).collect::<Result<_, _>>().map(Self),
            other => expected("a list of arguments or a text", &other),
        }
    }
}

fn scalar_text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number_text(&number)),
        Value::Bool(value) => Ok(value.to_string()),
        other => expected("a text", &other),
    }
}

field_type!(
    /// One text or a list of texts.
    Texts(Vec<String>),
    { "type": ["string", "array"], "items": { "type": "string" } }
);

impl TryFrom<Value> for Texts {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => {
                let texts = items.into_iter().map(|item| Text::try_from(item).map(|text| text.0));
                texts.collect::<Result<_, _>>().map(Self)
            }
            other => Text::try_from(other).map(|text| Self(vec![text.0])),
        }
    }
}

field_type!(
    /// Exit codes: one, or a list.
    Codes(Vec<i32>),
    {
        "type": ["integer", "string", "array"], "minimum": 0, "maximum": 255,
        "items": { "type": ["integer", "string"], "minimum": 0, "maximum": 255 }
    }
);

impl TryFrom<Value> for Codes {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let code = |value: &Value| match whole(value) {
            Some(code @ 0..=255) => Ok(code as i32),
            _ => expected("an exit code from 0 to 255", value),
        };
        match &value {
            Value::Array(items) => items.iter().map(code).collect::<Result<_, _>>().map(Self),
            other => code(other).map(|code| Self(vec![code])),
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

field_type!(
    /// Addresses to listen on: one, or a list. A number is a port on every interface.
    Listen(Vec<ListenAddress>),
    { "type": ["string", "integer", "array"], "items": { "type": ["string", "integer"] } }
);

impl TryFrom<Value> for Listen {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let address = |value: Value| {
            let text = match &value {
                Value::String(text) => text.clone(),
                Value::Number(port) => port.to_string(),
                _ => return expected("an address such as \"127.0.0.1:8080\"", &value),
            };
            text.parse::<ListenAddress>().map_err(|error| error.to_string().escape_debug().to_string())
        };
        match value {
            Value::Array(items) => items.into_iter().map(address).collect::<Result<_, _>>().map(Self),
            other => address(other).map(|address| Self(vec![address])),
        }
    }
}

/// Which variables of the caller an app does not get.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    /// `false`: it gets all.
    Nothing,
    /// `true`: it gets none.
    Everything,
    /// One text: the variable of that name.
    Named(String),
    /// A list: variables whose names contain one of these.
    Containing(Vec<String>),
}

field_type!(
    /// Variables of the caller to leave out.
    FilterEnv(Filter),
    { "type": ["boolean", "string", "array"], "items": { "type": "string" } }
);

impl TryFrom<Value> for FilterEnv {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::Bool(all) => Ok(Self(if all { Filter::Everything } else { Filter::Nothing })),
            Value::String(name) => Ok(Self(Filter::Named(name))),
            list @ Value::Array(_) => Texts::try_from(list).map(|texts| Self(Filter::Containing(texts.0))),
            other => expected("true, the name of a variable, or a list of parts of names", &other),
        }
    }
}

field_type!(
    /// Environment variables. Numbers and truth values become text, lists and tables JSON.
    Variables(BTreeMap<String, Secret>),
    { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "object", "array"] } }
);

impl TryFrom<Value> for Variables {
    type Error = String;

    /// No message repeats a value: values are secrets.
    fn try_from(value: Value) -> Result<Self, String> {
        let Value::Object(members) = value else {
            return Err("expected a table of variables".to_owned());
        };
        let variable = |(name, value): (String, Value)| {
            check_variable_name(&name)?;
            let text = variable_text(value)?;
            match text.contains('\0') {
                true => Err("the value contains a NUL byte".to_owned()),
                false => Ok((name, Secret::from(text))),
            }
        };
        members.into_iter().map(variable).collect::<Result<_, _>>().map(Self)
    }
}

/// Whether the kernel and getenv(3) can tell such a name from its value.
pub(super) fn check_variable_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("the name of a variable is empty".to_owned()),
        name if name.contains(['=', '\0']) => {
            Err(format!("the name of a variable contains `=` or a NUL byte: {}", shown(name)))
        }
        _ => Ok(()),
    }
}

fn variable_text(value: Value) -> Result<String, String> {
    match value {
        Value::Null => Err("nothing is not a value; leave the variable out, or set it to \"\"".to_owned()),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number_text(&number)),
        Value::Bool(value) => Ok(value.to_string()),
        value @ (Value::Array(_) | Value::Object(_)) => Ok(value.to_string()),
    }
}

/// A number as JavaScript writes it, as PM2 users expect: `1.0` is `1`.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
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
    fn lists() {
        assert_eq!(read::<Words>(json!("-p 'a b'")).unwrap().0, ["-p", "a b"]);
        assert_eq!(read::<Words>(json!(["-p", 80, true])).unwrap().0, ["-p", "80", "true"]);
        assert!(read::<Words>(json!([["x"]])).is_err());
        assert_eq!(read::<Codes>(json!([0, "3"])).unwrap().0, [0, 3]);
        assert_eq!(read::<Codes>(json!(1)).unwrap().0, [1]);
        assert!(read::<Codes>(json!([256])).is_err());
        assert_eq!(read::<Texts>(json!("a")).unwrap().0, ["a"]);
        assert!(read::<Texts>(json!([1])).is_err());
        assert_eq!(read::<Listen>(json!(8080)).unwrap().0[0].to_string(), "[::]:8080");
        assert_eq!(read::<Listen>(json!([":1", "/run/a"])).unwrap().0.len(), 2);
        assert!(read::<Listen>(json!(["example.com:1"])).is_err());
    }

    #[test]
    fn variables_become_text_as_in_pm2() {
        let given =
            json!({"S": "x", "N": 1, "F": 1.0, "G": 1.5, "B": true, "L": [1, "a"], "O": {"b": 1, "a": 2}});
        let variables = read::<Variables>(given).unwrap().0;
        let revealed: Vec<_> =
            variables.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(
            revealed,
            [
                ("B", "true"),
                ("F", "1"),
                ("G", "1.5"),
                ("L", "[1,\"a\"]"),
                ("N", "1"),
                ("O", "{\"b\":1,\"a\":2}"),
                ("S", "x")
            ]
        );
    }

    #[test]
    fn bad_variables_are_refused_without_their_value() {
        for value in [json!({"A": null}), json!({"": "x"}), json!({"A=B": "x"}), json!({"A": "hunter2\0"})] {
            assert!(!read::<Variables>(value).unwrap_err().contains("hunter2"));
        }
        assert!(!read::<Variables>(json!("hunter2")).unwrap_err().contains("hunter2"));
        assert!(!read::<Variables>(json!(["hunter2"])).unwrap_err().contains("hunter2"));
    }

    #[test]
    fn a_message_is_fit_for_a_terminal() {
        let error = read::<Mode>(json!(format!("\u{1b}[31m{}", "x".repeat(500)))).unwrap_err();
        assert!(!error.contains('\u{1b}') && error.len() < 200, "{error}");
    }
}
