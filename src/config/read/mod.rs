//! From a tree to the fields of each app.
//!
//! Question answered here: *which apps does the document hold, and is each field, taken alone, what it should be?*
//! It collects every fault and stops at none. Whether fields fit together is `resolve`'s question.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::document::{Data, Entry, Node};
use super::fields::{self, AppFields, NAMED};
use super::problem::{Place, Report};
use super::tables;
use super::vocabulary::{NoField, Vocabulary};
use crate::nearest::nearest;

mod table;

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

/// An app as read, with the places of its fields. Members of a table are named as in `ready.http`.
#[derive(Debug)]
pub(super) struct App {
    /// The fields that are sound.
    pub(super) fields: AppFields,
    place: Place,
    places: BTreeMap<String, Place>,
    failed: BTreeSet<String>,
}

impl App {
    /// Where `field` stands, or would stand.
    pub(super) fn at(&self, field: &str) -> Place {
        match (self.places.get(field), field.rsplit_once('.')) {
            (Some(place), _) => place.clone(),
            (None, Some((table, member))) => self.at(table).key(member, None),
            (None, None) => self.place.key(field, None),
        }
    }

    /// Where the app stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether nothing in `fields` has been reported already, so that conclusions may be drawn from them.
    pub(super) fn is_sound(&self, fields: &[&str]) -> bool {
        let within = |failed: &str, field: &str| {
            failed.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.failed.iter().any(|failed| fields.iter().any(|field| within(failed, field)))
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
    let serves = root.entries().is_some_and(|entries| member(entries, "static").is_some());
    if apps.is_empty() && !serves && report.is_clean() {
        report.problem(&Place::default(), "the document declares no app", Some(EXAMPLE.to_owned()));
    }
    apps
}

const EXAMPLE: &str = "`supctl init` writes an example";

/// Top-level members of PM2 files beside `apps`; `supctl deploy` and `serve.rs` read them.
const BESIDE_APPS: [&str; 2] = ["deploy", "static"];

const TOP_LEVEL: [&str; 3] = ["apps", "deploy", "static"];

fn member<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| entry.key == key)
}

fn top_level_only(entries: &[Entry]) -> bool {
    !entries.is_empty() && entries.iter().all(|entry| BESIDE_APPS.contains(&entry.key.as_str()))
}

fn under_apps<'a>(entries: &'a [Entry], top: &Place, report: &mut Report) -> Vec<(Place, &'a Node)> {
    let mut apps = Vec::new();
    for entry in entries {
        let at = top.key(&entry.key, entry.line);
        if entry.key == "apps" {
            apps = one_or_many(&entry.value, &at);
        } else if entry.key == "$schema" || BESIDE_APPS.contains(&entry.key.as_str()) {
            // The former tells editors what the file may hold, the latter are read elsewhere.
        } else {
            let hint = match nearest(&entry.key, TOP_LEVEL) {
                Some(key) => Some(format!("did you mean `{key}`?")),
                None if fields::vocabulary().field(&entry.key).is_ok() => {
                    Some("fields of an app belong below `apps`".to_owned())
                }
                None => None,
            };
            report.unknown(&at, "unknown key; expected `apps`", hint);
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
        if let Some(name) = fields::env_name(&entry.key) {
            named.extend(app.env_named(name, entry, &at, report).map(|value| (name.to_owned(), value)));
            continue;
        }
        if let Some(field) = app.named(fields::vocabulary(), "", entry, &at, report) {
            sound.extend(app.field(field, entry, at, report).map(|value| (field.to_owned(), value)));
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
        if !self.is_first(field, &at, report) {
            return None;
        }
        if let Some(table) = tables::table(field) {
            return self.table(field, &table, entry, &at, report);
        }
        self.value(field, &entry.value, &at, &|value| json!({ field: value }), report)
    }

    /// The variables of `env_NAME`, if they are sound and not null.
    fn env_named(&mut self, name: &str, entry: &Entry, at: &Place, report: &mut Report) -> Option<Value> {
        self.value(NAMED, &entry.value, at, &|value| json!({ NAMED: { name: value } }), report)
    }

    /// Notes where `field` stands; false when it has been given before.
    fn is_first(&mut self, field: &str, at: &Place, report: &mut Report) -> bool {
        if let Some(before) = self.places.get(field) {
            let line = before.line.map(|line| format!(" in line {line}")).unwrap_or_default();
            // The same spelling twice is reported as a duplicate key.
            if before.path != at.path {
                let message = format!("another name of the same field is given{line}: `{}`", before.path);
                report.problem(at, message, None);
            }
            return false;
        }
        self.places.insert(field.to_owned(), at.clone());
        true
    }

    /// One value as [`one_field`] sees it, if it is sound and not null.
    fn value(
        &mut self,
        field: &str,
        node: &Node,
        at: &Place,
        document: &dyn Fn(Value) -> Value,
        report: &mut Report,
    ) -> Option<Value> {
        let value = one_field(node, at, document, report);
        if value.is_none() {
            self.failed.insert(field.to_owned());
        }
        value.filter(|value| !value.is_null())
    }

    /// The field that a key names in the table whose members begin with `prefix`. Reports a key that names none.
    fn named(
        &mut self,
        names: &'static Vocabulary,
        prefix: &str,
        entry: &Entry,
        at: &Place,
        report: &mut Report,
    ) -> Option<&'static str> {
        let (meant, hint) = match names.field(&entry.key) {
            Ok(field) => return Some(field),
            Err(NoField::Inert(why)) => {
                if !is_off(&entry.value.data) {
                    report.warning(at, format!("the field has no effect: {why}"), None);
                }
                return None;
            }
            Err(NoField::Foreign(instead)) => (entry.key.as_str(), Some(instead.to_owned())),
            Err(NoField::Unknown(Some(nearest))) => {
                (names.field(nearest).unwrap_or(nearest), Some(format!("did you mean `{nearest}`?")))
            }
            Err(NoField::Unknown(None)) => (entry.key.as_str(), None),
        };
        if !report.unknown(at, "unknown field", hint) {
            // What was meant is probably not missing, only misspelt.
            self.failed.insert(format!("{prefix}{meant}"));
        }
        None
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
