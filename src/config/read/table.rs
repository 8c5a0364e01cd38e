//! Tables inside of an app.
//!
//! Question answered here: *is each member of such a table, taken alone, what it should be?*

use serde_json::{Map, Value, json};

use super::super::document::{Data, Entry};
use super::super::problem::{Place, Report};
use super::super::tables::Table;
use super::App;

impl App {
    /// The sound members of the table in `field`, by their proper names.
    pub(super) fn table(
        &mut self,
        field: &'static str,
        table: &Table,
        entry: &Entry,
        at: &Place,
        report: &mut Report,
    ) -> Option<Value> {
        if matches!(entry.value.data, Data::Null) {
            return None;
        }
        let Some(members) = members(table, entry, at) else {
            report.problem(at, table.expected, None);
            self.failed.insert(field.to_owned());
            return None;
        };
        let mut sound = Map::new();
        for (at, entry) in members {
            let Some(name) = self.named(table.names, &format!("{field}."), &entry, &at, report) else {
                continue;
            };
            let full = format!("{field}.{name}");
            if self.is_first(&full, &at, report) {
                let document = |value: Value| json!({ field: { name: value } });
                let value = self.value(&full, &entry.value, &at, &document, report);
                sound.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        Some(sound.into())
    }
}

/// The members of the table, or the one member that a single value stands for.
fn members(table: &Table, entry: &Entry, at: &Place) -> Option<Vec<(Place, Entry)>> {
    let alone = |key: &str| Some(vec![(at.clone(), Entry { key: key.to_owned(), ..entry.clone() })]);
    match &entry.value.data {
        Data::Map(entries) => {
            Some(entries.iter().map(|entry| (at.key(&entry.key, entry.line), entry.clone())).collect())
        }
        Data::Text(_) => alone(table.text),
        Data::Number(_) => alone(table.number?),
        Data::Null | Data::Bool(_) | Data::List(_) => None,
    }
}
