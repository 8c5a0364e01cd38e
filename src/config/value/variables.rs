//! Environment variables.

use std::collections::BTreeMap;

use serde_json::{Number, Value};
use supd_api::Secret;

use super::super::problem::shown;
use super::{Texts, expected};

/// Which variables of the caller an app does not get.
#[derive(Clone, Debug)]
pub(in crate::config) enum Filter {
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
pub(in crate::config) fn check_variable_name(name: &str) -> Result<(), String> {
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
pub(super) fn number_text(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

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
}
