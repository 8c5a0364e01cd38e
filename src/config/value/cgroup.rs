//! What a control group may use.

use serde_json::Value;
use supd_api::{Milliprocessors, Weight};

use super::{expected, whole};

/// More processors than any machine has.
const MOST_PROCESSORS: f64 = 100_000.0;
/// Less the kernel does not keep apart from nothing, in thousandths of a processor.
const LEAST: u32 = 10;

field_type!(
    /// Processors: a number such as `1.5`, or percent of one in a text such as `"150%"`.
    CpuMax(Milliprocessors),
    { "type": ["number", "string"], "exclusiveMinimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?%?$" }
);

impl TryFrom<Value> for CpuMax {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number = |text: &str| text.parse::<f64>().ok().filter(|_| digits(text));
        let processors = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match text.trim().strip_suffix('%') {
                Some(percent) => number(percent.trim_end()).map(|percent| percent / 100.0),
                None => number(text.trim()),
            },
            _ => None,
        };
        let in_range = processors.filter(|processors| (0.0..=MOST_PROCESSORS).contains(processors));
        match in_range.map(|processors| (processors * 1000.0).round() as u32) {
            Some(thousandths) if thousandths >= LEAST => Ok(Self(Milliprocessors(thousandths))),
            _ => expected("a number of processors such as 1.5, or \"150%\", at least \"1%\"", &value),
        }
    }
}

field_type!(
    /// A share against those beside it: 1 to 10000; also as text.
    Share(Weight),
    { "type": ["integer", "string"], "minimum": 1, "maximum": 10000, "pattern": "^[0-9]+$" }
);

impl TryFrom<Value> for Share {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let weight = whole(&value).and_then(|number| u16::try_from(number).ok());
        match weight.filter(|weight| Weight::RANGE.contains(weight)) {
            Some(weight) => Ok(Self(Weight(weight))),
            None => expected("a whole number from 1 to 10000 (all others have 100)", &value),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::read;
    use super::*;

    #[test]
    fn processors_as_a_number_or_in_percent() {
        for (value, thousandths) in [
            (json!(1), 1000),
            (json!(1.5), 1500),
            (json!("1.5"), 1500),
            (json!("150%"), 1500),
            (json!(" 7.5 % "), 75),
            (json!("1%"), 10),
            (json!(0.01), 10),
            (json!(100_000), 100_000_000),
        ] {
            assert_eq!(
                read::<CpuMax>(value.clone()).map(|it| it.0),
                Ok(Milliprocessors(thousandths)),
                "{value}"
            );
        }
        for value in [
            json!(0),
            json!(-1),
            json!("0.5%"),
            json!("150 percent"),
            json!(""),
            json!("%"),
            json!("1e3"),
            json!("inf"),
            json!("NaN"),
            json!(1e9),
            json!(true),
            json!([1]),
        ] {
            let error = read::<CpuMax>(value.clone()).expect_err("no number of processors");
            assert!(error.starts_with("expected a number of processors"), "{value}: {error}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(read::<Share>(json!(1)).map(|it| it.0), Ok(Weight(1)));
        assert_eq!(read::<Share>(json!("10000")).map(|it| it.0), Ok(Weight(10_000)));
        for value in [json!(0), json!(10_001), json!(-5), json!(1.5), json!("much"), json!(true)] {
            assert!(read::<Share>(value.clone()).is_err(), "{value}");
        }
    }
}
