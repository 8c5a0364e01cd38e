//! Shares of a processor.

use serde_json::Value;

use super::{expected, whole};

/// A share beyond that of a thousand processors is a mistake.
pub(in crate::config) const MOST_PERCENT: u32 = 100_000;

field_type!(
    /// Percent of one processor, also as text: `60`, `"60%"`.
    Percent(u32),
    { "type": ["integer", "string"], "minimum": 1, "maximum": 100_000, "pattern": "^[0-9]+ *%?$" }
);

impl TryFrom<Value> for Percent {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let bare = value.as_str().map(|text| text.trim().trim_end_matches('%').trim_end().into());
        match whole(bare.as_ref().unwrap_or(&value)).and_then(|number| u32::try_from(number).ok()) {
            Some(percent @ 1..=MOST_PERCENT) => Ok(Self(percent)),
            _ => expected("percent of one processor from 1, such as 60 or \"60%\"", &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn percent() {
        for (value, percent) in
            [(json!(60), 60), (json!("60%"), 60), (json!("150 %"), 150), (json!(80.0), 80)]
        {
            assert_eq!(read::<Percent>(value).map(|it| it.0), Ok(percent));
        }
        for value in [json!(0), json!(0.6), json!("60m"), json!(-1), json!(100_001), json!("%"), json!(true)]
        {
            assert!(read::<Percent>(value.clone()).is_err(), "{value}");
        }
    }
}
