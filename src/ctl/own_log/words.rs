//! How does a line of the daemon's log read, for a person and for a program? It may have been written in either form.

use serde_json::{Map, Value, json};

use crate::ctl::cells::harmless;

/// As a person reads it.
pub(super) fn readable(line: &[u8]) -> String {
    let text = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => told(&object),
        Ok(_) | Err(_) => String::from_utf8_lossy(line).into_owned(),
    };
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

fn told(object: &Map<String, Value>) -> String {
    let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let none = Map::new();
    let fields = object.get("fields").and_then(Value::as_object).unwrap_or(&none);
    let message = fields.get("message").and_then(Value::as_str).unwrap_or_default();
    let others = fields.iter().filter(|(name, _)| *name != "message");
    let others: String = others.map(|(name, value)| format!(" {name}={value}")).collect();
    // The supervisor's are named by their module, which the text form leaves out too.
    let who =
        Some(word("target")).filter(|who| *who == "keeper").map_or(String::new(), |who| format!("{who}: "));
    format!("{} {:>5} {who}{message}{others}", word("timestamp"), word("level"))
}

/// As a program reads it: an object.
pub(super) fn object(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    if serde_json::from_slice::<Map<String, Value>>(line).is_ok() {
        return text.into_owned();
    }
    let dated = || {
        let (time, rest) = text.split_once(' ')?;
        let (level, message) = rest.trim_start().split_once(' ')?;
        let is_level = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
        let is_time = time.ends_with('Z') && time.contains('T');
        (is_time && is_level)
            .then(|| json!({ "timestamp": time, "level": level, "fields": { "message": message } }))
    };
    dated().unwrap_or_else(|| json!({ "fields": { "message": text } })).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_understood() {
        let plain = b"2026-11-21T02:38:18.000042Z  WARN keeper: the supervisor has ended";
        let known = json!({
            "timestamp": "2026-11-21T02:38:18.000042Z", "level": "WARN",
            "fields": { "message": "the supervisor has ended" }, "target": "keeper",
        })
        .to_string();
        assert_eq!(readable(plain), String::from_utf8_lossy(plain));
        assert_eq!(readable(known.as_bytes()), String::from_utf8_lossy(plain));
        assert_eq!(object(known.as_bytes()), known);
        let value: Value = serde_json::from_str(&object(plain)).expect("an object");
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["fields"]["message"], "keeper: the supervisor has ended");
        assert_eq!(object(b"   0: frame"), "{\"fields\":{\"message\":\"   0: frame\"}}");
        let more =
            br#"{"timestamp":"t","level":"INFO","fields":{"message":"m\nn","run":3},"target":"supd::x"}"#;
        assert_eq!(readable(more), "t  INFO m\nn run=3");
        assert_eq!(readable(b"\x1b[1m"), "\\u{1b}[1m");
    }
}
