//! Does this version understand what earlier ones said?

use std::path::Path;

use serde_json::Value;
use supd_keeper::can_take_over;
use supd_keeper::protocol::{Order, Report};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v0.1").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Every message is understood, and nothing that was said is lost on the way.
fn understood<T: serde::Serialize + serde::de::DeserializeOwned>(name: &str) -> usize {
    let messages: Vec<Value> = serde_json::from_str(&document(name)).unwrap();
    for said in &messages {
        let heard: T = serde_json::from_value(said.clone()).unwrap_or_else(|error| panic!("{said}: {error}"));
        assert!(holds(&serde_json::to_value(&heard).unwrap(), said), "{said}");
    }
    messages.len()
}

/// Whether everything in `part` is in `whole`, which may have more fields.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| holds(whole, part))
        }
        _ => whole == part,
    }
}

#[test]
fn messages_of_version_0_1() {
    assert_eq!(understood::<Order>("orders.json"), 11);
    assert_eq!(understood::<Report>("reports.json"), 16);
}

#[test]
fn the_table_of_version_0_1() {
    assert_eq!(can_take_over(document("keeper-table.json").as_bytes()), Ok(()));
}
