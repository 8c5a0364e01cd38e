//! The order among apps, where they are declared and where they come back. That it is kept is the core's business.

use std::collections::BTreeMap;

use supd_api::{Fault, FaultCode};

use super::revision::Revision;
use super::turn::Shell;
use crate::config::{self, Order};
use crate::nearest::nearest;

impl Shell {
    /// Whether these, beside all that there are, depend on apps that exist, and not on each other in a circle.
    ///
    /// # Errors
    /// `Invalid` names the app and what it waits for.
    pub(super) fn check_order(&self, revisions: &[Revision]) -> Result<(), Fault> {
        let known = self.core.entrusted().filter_map(|(app, ..)| {
            let revision = self.revision(app, self.core.revision(app)?)?;
            Some(&revision.declaration)
        });
        let new = revisions.iter().map(|revision| &revision.declaration);
        let order: Order<'_> =
            known.chain(new).map(|app| (&app.name, app.depends_on.keys().collect())).collect();
        for revision in revisions {
            let name = &revision.declaration.name;
            let missing = revision.declaration.depends_on.keys().find(|on| !order.contains_key(on));
            if let Some(on) = missing {
                let text = format!("{name} depends on {on}, and there is no such app");
                let similar = nearest(on.as_str(), order.keys().map(|name| name.as_str()));
                let hint = similar.map_or_else(
                    || format!("start {on} first, or declare it in the same file"),
                    |similar| format!("did you mean `{similar}`?"),
                );
                return Err(Fault::new(FaultCode::Invalid, text).hint(hint));
            }
        }
        match config::circle(&order) {
            Some(path) => {
                let text = format!("apps would wait for each other in a circle: {}", config::spelled(&path));
                Err(Fault::new(FaultCode::Invalid, text))
            }
            None => Ok(()),
        }
    }
}

/// What others depend on first, else as it was.
pub(super) fn in_order<T>(items: Vec<T>, revision: impl Fn(&T) -> &Revision) -> Vec<T> {
    let mut left: BTreeMap<usize, T> = items.into_iter().enumerate().collect();
    let mut sorted = Vec::with_capacity(left.len());
    while let Some((&first, _)) = left.first_key_value() {
        let waits = |item: &T| {
            let awaited = &revision(item).declaration.depends_on;
            left.values().any(|other| awaited.contains_key(&revision(other).declaration.name))
        };
        // In a circle nobody comes first.
        let next = left.iter().find(|(_, item)| !waits(item)).map_or(first, |(at, _)| *at);
        sorted.extend(left.remove(&next));
    }
    sorted
}

#[cfg(test)]
mod tests {
    use supd_api::AppName;

    use super::*;
    use crate::supervisor::ledger::Ledger;

    #[test]
    fn what_others_wait_for_comes_first() {
        let ledger =
            Ledger::parse(include_bytes!("../../tests/fixtures/v0.1/ledger.json")).expect("a ledger");
        let like = &ledger.apps.first().expect("an app").revision;
        let app = |name: &str, on: &[&str]| {
            let mut revision = Revision::clone(like);
            let called = |name: &str| AppName::new(name).expect("a name");
            revision.declaration.name = called(name);
            revision.declaration.depends_on = on.iter().map(|on| (called(on), Default::default())).collect();
            revision
        };
        let sorted = |apps: Vec<Revision>| {
            let sorted = in_order(apps, |revision| revision);
            sorted.iter().map(|revision| revision.declaration.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            sorted(vec![app("a", &["c"]), app("b", &[]), app("c", &["d"]), app("d", &["x"])]),
            ["b", "d", "c", "a"]
        );
        assert_eq!(sorted(vec![app("a", &["b"]), app("b", &["a"])]), ["a", "b"]);
    }
}
