//! Fields with several values.

use serde_json::Value;
use supd_api::ListenAddress;

use super::super::problem::printable;
use super::super::words;
use super::variables::number_text;
use super::{Text, expected, whole};

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
            text.parse::<ListenAddress>().map_err(|error| printable(&error.to_string()))
        };
        match value {
            Value::Array(items) => items.into_iter().map(address).collect::<Result<_, _>>().map(Self),
            other => address(other).map(|address| Self(vec![address])),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

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
}
