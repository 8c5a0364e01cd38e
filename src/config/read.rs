//! From a tree to the fields of each app.
//!
//! Question answered here: *which apps does the document hold, and is each field, taken alone, what it should be?*
//! It collects every fault and stops at none. Whether fields fit together is `resolve`'s question.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::document::{Data, Entry, Node};
use super::fields::{AppFields, Meaning, NAMED, meaning};
use super::problem::{Place, Report};
use crate::nearest::nearest;

/// Which shapes of a document are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[[apps]]` and nothing else.
    Strict,
    /// All that PM2 takes: `apps`, `pm2`, a list, or one app.
    Pm2,
    /// One app.
    Single,
}

/// An app as read, with the places of its fields.
#[derive(Debug)]
pub(super) struct App {
    /// The fields that are sound.
    pub(super) fields: AppFields,
    place: Place,
    places: BTreeMap<&'static str, Place>,
    failed: BTreeSet<&'static str>,
}

impl App {
    /// Where `field` stands, or would stand.
    pub(super) fn at(&self, field: &str) -> Place {
        self.places.get(field).cloned().unwrap_or_else(|| self.place.key(field, None))
    }

    /// Where the app stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether none of `fields` has been reported already, so that conclusions may be drawn from them.
    pub(super) fn is_sound(&self, fields: &[&str]) -> bool {
        !fields.iter().any(|field| self.failed.contains(field))
    }

    /// Whether no field at all has been reported.
    pub(super) fn is_all_sound(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Finds the apps of a document.
pub(super) fn apps<'a>(root: &'a Node, layout: Layout, report: &mut Report) -> Vec<(Place, &'a Node)> {
    let top = Place { line: root.line, path: String::new() };
    let apps = match (layout, &root.data) {
        (Layout::Single, _) => vec![(top, root)],
        (_, Data::Null) => {
            report.problem(&Place::default(), "the document is empty", Some(EXAMPLE.to_owned()));
            return Vec::new();
        }
        (Layout::Strict, Data::Map(entries)) => under_apps(entries, &top, report),
        (Layout::Pm2, Data::Map(entries)) => match member(entries, "pm2") {
            Some(entry) if member(entries, "apps").is_none() => inside_pm2(entry, &top, report),
            _ if member(entries, "apps").is_some() || top_level_only(entries) => {
                under_apps(entries, &top, report)
            }
            _ if entries.is_empty() => Vec::new(),
            _ => vec![(top, root)],
        },
        (_, Data::List(_)) => one_or_many(root, &top),
        (_, Data::Bool(_) | Data::Number(_) | Data::Text(_)) => {
            report.problem(
                &top,
                "expected a table with `apps`, found a single value",
                Some(EXAMPLE.to_owned()),
            );
            return Vec::new();
        }
    };
    if apps.is_empty() && report.is_clean() {
        report.problem(&Place::default(), "the document declares no app", Some(EXAMPLE.to_owned()));
    }
    apps
}

const EXAMPLE: &str = "`supctl init` writes an example";

/// Top-level members of PM2 files that describe no app.
const BESIDE_APPS: [(&str, &str); 2] =
    [("deploy", "supd does not deploy"), ("static", "supd does not serve files")];

const TOP_LEVEL: [&str; 3] = ["apps", "deploy", "static"];

fn member<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == key)
}

fn top_level_only(entries: &[Entry]) -> bool {
    !entries.is_empty() && entries.iter().all(|entry| BESIDE_APPS.iter().any(|(key, _)| *key == entry.key))
}

fn under_apps<'a>(entries: &'a [Entry], top: &Place, report: &mut Report) -> Vec<(Place, &'a Node)> {
    let mut apps = Vec::new();
    for entry in entries {
        let at = top.key(&entry.key, entry.line);
        if entry.key == "apps" {
            apps = one_or_many(&entry.value, &at);
        } else if entry.key == "$schema" {
            // It tells editors, not supd, what the file may hold.
        } else if let Some((_, why)) = BESIDE_APPS.iter().find(|(key, _)| *key == entry.key) {
            report.warning(&at, format!("`{}` has no effect: {why}", entry.key), None);
        } else {
            let hint = match (nearest(&entry.key, TOP_LEVEL), meaning(&entry.key)) {
                (Some(key), _) => Some(format!("did you mean `{key}`?")),
                (None, Meaning::Field(_)) => Some("fields of an app belong below `apps`".to_owned()),
                (None, Meaning::EnvNamed(_) | Meaning::Inert(_) | Meaning::Unknown(_)) => None,
            };
            report.problem(&at, "unknown key; expected `apps`", hint);
        }
    }
    apps
}

fn inside_pm2<'a>(entry: &'a Entry, top: &Place, report: &mut Report) -> Vec<(Place, &'a Node)> {
    let at = top.key(&entry.key, entry.line);
    match &entry.value.data {
        Data::Map(entries) if member(entries, "apps").is_some() => under_apps(entries, &at, report),
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => {
            one_or_many(&entry.value, &at)
        }
    }
}

fn one_or_many<'a>(node: &'a Node, at: &Place) -> Vec<(Place, &'a Node)> {
    match &node.data {
        Data::Null => Vec::new(),
        Data::List(items) => {
            items.iter().enumerate().map(|(index, item)| (at.index(index, item.line), item)).collect()
        }
        Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Map(_) => vec![(at.clone(), node)],
    }
}

/// Reads one app, field by field: each is given to [`AppFields`] in a document of its own, so that its types stay
/// the only description and one fault hides no other.
pub(super) fn app(node: &Node, place: Place, report: &mut Report) -> Option<App> {
    let Some(entries) = node.entries() else {
        report.problem(&place, "expected a table of fields", None);
        return None;
    };
    let mut app =
        App { fields: AppFields::default(), place, places: BTreeMap::new(), failed: BTreeSet::new() };
    let mut sound = Map::new();
    let mut named = Map::new();
    for entry in entries {
        if report.is_full() {
            return None;
        }
        let at = app.place.key(&entry.key, entry.line);
        match meaning(&entry.key) {
            Meaning::Field(field) => {
                if let Some(value) = app.field(field, entry, at, report) {
                    sound.insert(field.to_owned(), value);
                }
            }
            Meaning::EnvNamed(name) => {
                let document = |value| json!({ NAMED: { name: value } });
                match one_field(&entry.value, &at, &document, report) {
                    Some(Value::Null) => {}
                    Some(value) => {
                        named.insert(name.to_owned(), value);
                    }
                    None => {
                        app.failed.insert(NAMED);
                    }
                }
            }
            Meaning::Inert(why) => {
                if !is_off(&entry.value.data) {
                    report.warning(&at, format!("the field has no effect: {why}"), None);
                }
            }
            Meaning::Unknown(nearest) => {
                // That field is probably not missing, only misspelt.
                if let Some(Meaning::Field(field)) = nearest.map(meaning) {
                    app.failed.insert(field);
                }
                report.problem(&at, "unknown field", nearest.map(|name| format!("did you mean `{name}`?")));
            }
        }
    }
    sound.insert(NAMED.to_owned(), named.into());
    match serde_json::from_value(Value::Object(sound)) {
        Ok(fields) => Some(App { fields, ..app }),
        Err(error) => {
            report.problem(&app.place, error.to_string(), None);
            None
        }
    }
}

impl App {
    /// The value of `field`, if it is sound and not null.
    fn field(&mut self, field: &'static str, entry: &Entry, at: Place, report: &mut Report) -> Option<Value> {
        if let Some(before) = self.places.get(field) {
            let line = before.line.map(|line| format!(" in line {line}")).unwrap_or_default();
            // The same spelling twice is reported as a duplicate key.
            if before.path != at.path {
                report.problem(
                    &at,
                    format!("another name of the same field is given{line}: `{}`", before.path),
                    None,
                );
            }
            return None;
        }
        self.places.insert(field, at.clone());
        let value = one_field(&entry.value, &at, &|value| json!({ field: value }), report);
        if value.is_none() {
            self.failed.insert(field);
        }
        value.filter(|value| !value.is_null())
    }
}

/// Checks one value inside of the document that `document` builds around it; blames single elements and members
/// where they are at fault. Null means that the field is not given.
fn one_field(
    node: &Node,
    at: &Place,
    document: &dyn Fn(Value) -> Value,
    report: &mut Report,
) -> Option<Value> {
    let check = |value: Value| serde_json::from_value::<AppFields>(document(value)).map(drop);
    let whole = node.to_json();
    if whole.is_null() {
        return Some(whole);
    }
    let Err(error) = check(whole.clone()) else { return Some(whole) };
    let mut blamed = false;
    for (place, part) in parts(node, at, &|empty| check(empty).is_ok()) {
        if let Err(error) = check(part) {
            report.problem(&place, error.to_string(), None);
            blamed = true;
        }
    }
    if !blamed {
        report.problem(at, error.to_string(), None);
    }
    None
}

/// The elements or members of a container, each in a container of its own; nothing if the field does not accept
/// such a container at all, even empty.
fn parts(node: &Node, at: &Place, accepts: &dyn Fn(Value) -> bool) -> Vec<(Place, Value)> {
    match &node.data {
        Data::List(items) if accepts(json!([])) => {
            let part = |(index, item): (usize, &Node)| (at.index(index, item.line), json!([item.to_json()]));
            items.iter().enumerate().map(part).collect()
        }
        Data::Map(entries) if accepts(json!({})) => {
            let part = |entry: &Entry| {
                (at.key(&entry.key, entry.line), json!({ &entry.key: entry.value.to_json() }))
            };
            entries.iter().map(part).collect()
        }
        Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => {
            Vec::new()
        }
    }
}

/// Whether a value switches a feature off.
fn is_off(data: &Data) -> bool {
    match data {
        Data::Null => true,
        Data::Bool(on) => !on,
        Data::Number(number) => number.as_f64() == Some(0.0),
        Data::Text(text) => matches!(text.as_str(), "" | "false" | "0"),
        Data::List(items) => items.is_empty(),
        Data::Map(entries) => entries.is_empty(),
    }
}
