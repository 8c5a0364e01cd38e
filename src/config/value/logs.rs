//! Where output goes and what it looks like.

use serde_json::Value;

use super::expected;

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
