//! The order among apps, as declared.
//!
//! Question answered here: *can there be such an order?* Of one document in the client; the daemon asks it again about all
//! apps that it has, for they may come from several files.

use std::collections::{BTreeMap, BTreeSet};

use supd_api::{AppDeclaration, AppName, Condition};

use super::problem::{Place, Report, shown};
use super::read::App;

/// Names that depend on names.
pub type Order<'a> = BTreeMap<&'a AppName, Vec<&'a AppName>>;

/// A way that leads from an app back to it, with that app at both ends, if there is one.
pub fn circle<'a>(order: &Order<'a>) -> Option<Vec<&'a AppName>> {
    // Whoever is done leads to no circle.
    let mut done = BTreeSet::new();
    order.keys().find_map(|name| search(order, name, &mut Vec::new(), &mut done))
}

fn search<'a>(
    order: &Order<'a>,
    name: &'a AppName,
    path: &mut Vec<&'a AppName>,
    done: &mut BTreeSet<&'a AppName>,
) -> Option<Vec<&'a AppName>> {
    if let Some(start) = path.iter().position(|before| *before == name) {
        path.push(name);
        return Some(path[start..].to_vec());
    }
    if !done.contains(name) {
        path.push(name);
        for next in order.get(name).into_iter().flatten() {
            let found = search(order, next, path, done);
            if found.is_some() {
                return found;
            }
        }
        path.pop();
        done.insert(name);
    }
    None
}

/// What others depend on first, else as it was.
pub fn in_order<T>(items: Vec<T>, declaration: impl Fn(&T) -> &AppDeclaration) -> Vec<T> {
    let mut left: BTreeMap<usize, T> = items.into_iter().enumerate().collect();
    let mut sorted = Vec::with_capacity(left.len());
    while let Some((&first, _)) = left.first_key_value() {
        let waits = |item: &T| {
            let awaited = &declaration(item).depends_on;
            left.values().any(|other| awaited.contains_key(&declaration(other).name))
        };
        // In a circle nobody comes first.
        let next = left.iter().find(|(_, item)| !waits(item)).map_or(first, |(at, _)| *at);
        sorted.extend(left.remove(&next));
    }
    sorted
}

/// `web -> api -> web`.
pub fn spelled(path: &[&AppName]) -> String {
    path.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" -> ")
}

/// What one document says about its order.
#[derive(Default)]
pub(super) struct Ordered {
    /// Each app with what it is called without `append_env_to_name`, and the place of its field.
    apps: Vec<(AppName, String, Place)>,
    depends_on: BTreeMap<AppName, Vec<AppName>>,
}

impl Ordered {
    pub(super) fn note(&mut self, app: &App, name: &AppName, declared: String) {
        let on = app.fields.depends_on.as_ref().map(|depends| depends.0.keys().cloned().collect());
        self.depends_on.insert(name.clone(), on.unwrap_or_default());
        self.apps.push((name.clone(), declared, app.at("depends_on")));
    }

    /// Names mean the apps of this document by what they are called here; then reports what cannot be.
    pub(super) fn check(mut self, declarations: &mut [AppDeclaration], report: &mut Report) {
        let called = |name: &AppName| {
            let found = self.apps.iter().find(|(_, declared, _)| declared == name.as_str());
            found.map_or_else(|| name.clone(), |(name, ..)| name.clone())
        };
        for on in self.depends_on.values_mut() {
            on.iter_mut().for_each(|name| *name = called(name));
        }
        for declaration in &mut *declarations {
            let declared = std::mem::take(&mut declaration.depends_on);
            declaration.depends_on =
                declared.into_iter().map(|(name, condition)| (called(&name), condition)).collect();
        }
        self.unknown(report);
        self.endless(declarations, report);
        self.fleeting(declarations, report);
        let order: Order<'_> = self.depends_on.iter().map(|(name, on)| (name, on.iter().collect())).collect();
        if let Some(path) = circle(&order) {
            let place = self.apps.iter().find(|(name, ..)| Some(&name) == path.first());
            let place = place.map(|(_, _, place)| place.clone()).unwrap_or_default();
            report.problem(&place, format!("apps wait for each other in a circle: {}", spelled(&path)), None);
        }
    }

    /// What is started again after each exit is never completed.
    fn endless(&self, declarations: &[AppDeclaration], report: &mut Report) {
        let never = |on: &AppName| {
            let on = declarations.iter().find(|app| app.name == *on);
            on.is_some_and(|app| app.restart.autorestart && !app.restart.stop_exit_codes.contains(&0))
        };
        for (name, _, place) in &self.apps {
            let declaration = declarations.iter().find(|app| app.name == *name);
            let completed = declaration.into_iter().flat_map(|app| &app.depends_on);
            for (on, _) in
                completed.filter(|(on, condition)| **condition == Condition::Completed && never(on))
            {
                let message = format!("{on} is never completed: it is started again after each exit");
                let hint = format!("`autorestart = false` for {on}, or wait until it is `ready`");
                report.problem(place, message, Some(hint));
            }
        }
    }

    /// A job is there only while a run of it goes on.
    fn fleeting(&self, declarations: &[AppDeclaration], report: &mut Report) {
        let is_job = |on: &AppName| declarations.iter().any(|app| app.name == *on && app.job.is_some());
        for (name, _, place) in &self.apps {
            let declaration = declarations.iter().find(|app| app.name == *name);
            let awaited = declaration.into_iter().flat_map(|app| &app.depends_on);
            for (on, _) in awaited.filter(|(on, condition)| **condition != Condition::Completed && is_job(on))
            {
                let message = format!("{on} is a job, and there only while a run of it goes on");
                report.warning(place, message, Some(format!("`depends_on = {{ {on} = \"completed\" }}`")));
            }
        }
    }

    /// Another file may have declared it.
    fn unknown(&self, report: &mut Report) {
        for (name, _, place) in &self.apps {
            let unknown = self.depends_on.get(name).into_iter().flatten();
            for on in unknown.filter(|on| !self.depends_on.contains_key(*on)) {
                let nearest =
                    crate::nearest::nearest(on.as_str(), self.depends_on.keys().map(AppName::as_str));
                let hint = nearest.map(|name| format!("did you mean `{name}`?"));
                let message = format!(
                    "no app here is named {}: it has to be declared elsewhere, and before this one",
                    shown(on.as_str())
                );
                report.warning(place, message, hint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_with_its_way() {
        let names: BTreeMap<&str, AppName> =
            ["a", "b", "c", "d"].into_iter().map(|name| (name, AppName::new(name).unwrap())).collect();
        for (edges, way) in [
            (vec![("a", "b"), ("b", "c"), ("a", "c"), ("d", "a")], None),
            (vec![("a", "a")], Some("a -> a")),
            (vec![("a", "b"), ("b", "a")], Some("a -> b -> a")),
            (vec![("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")], Some("b -> c -> d -> b")),
            (vec![("a", "x")], None),
        ] {
            let x = AppName::new("x").unwrap();
            let mut order = Order::new();
            for (from, to) in edges {
                order.entry(&names[from]).or_default().push(names.get(to).unwrap_or(&x));
            }
            assert_eq!(circle(&order).map(|path| spelled(&path)).as_deref(), way);
        }
    }
}
