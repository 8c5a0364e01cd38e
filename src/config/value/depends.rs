//! What an app waits for.

use std::collections::BTreeMap;

use serde_json::Value;
use supd_api::{AppName, Condition};

use super::super::problem::printable;
use super::expected;

field_type!(
    /// Names of apps: one, a list, or a table from name to condition.
    Depends(BTreeMap<AppName, Condition>),
    {
        "type": ["string", "array", "object"], "items": { "type": "string" },
        "additionalProperties": { "enum": ["started", "ready", "completed"] }
    }
);

impl TryFrom<Value> for Depends {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let by_itself = |value: Value| match value {
            Value::String(text) => Ok((name(text)?, Condition::default())),
            other => expected("the name of an app", &other),
        };
        let depends = match value {
            Value::Array(items) => items.into_iter().map(by_itself).collect::<Result<_, _>>(),
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| Ok((name(key)?, condition(&value)?))).collect()
            }
            one @ Value::String(_) => by_itself(one).map(|one| BTreeMap::from([one])),
            other => {
                expected("a list of names such as [\"db\"], or a table such as { db = \"ready\" }", &other)
            }
        };
        depends.map(Self)
    }
}

fn name(text: String) -> Result<AppName, String> {
    AppName::new(text).map_err(|error| printable(&error.to_string()))
}

fn condition(value: &Value) -> Result<Condition, String> {
    match value.as_str() {
        Some("started") => Ok(Condition::Started),
        Some("ready") => Ok(Condition::Ready),
        Some("completed") => Ok(Condition::Completed),
        _ => expected("\"started\", \"ready\" or \"completed\"", value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn what_an_app_waits_for() {
        let read_as = |value: Value| {
            let Depends(found) = read(value).unwrap();
            found.into_iter().map(|(name, condition)| format!("{name} {condition:?}")).collect::<Vec<_>>()
        };
        assert_eq!(read_as(json!("db")), ["db Ready"]);
        assert_eq!(read_as(json!(["db", "cache"])), ["cache Ready", "db Ready"]);
        assert_eq!(
            read_as(json!({ "db": "started", "migrate": "completed", "q": "ready" })),
            ["db Started", "migrate Completed", "q Ready"]
        );
        assert_eq!(read_as(json!([])), [""; 0]);
        for (value, part) in [
            (json!(["all"]), "means every app"),
            (json!([1]), "expected the name of an app"),
            (json!({ "db": "healthy" }), "expected \"started\", \"ready\" or \"completed\""),
            (json!(1), "expected a list of names"),
        ] {
            let error = read::<Depends>(value.clone()).map(|it| it.0).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }
}
