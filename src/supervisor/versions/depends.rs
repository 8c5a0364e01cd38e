//! The order among apps, where they are declared and where they come back. That it is kept is the core's business.

use supd_api::{Fault, FaultCode};

use crate::config::{self, Order};
use crate::nearest::nearest;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::revision::Revision;

impl Shell {
    /// Whether these, beside all that there are, depend on apps that exist, and not on each other in a circle.
    ///
    /// # Errors
    /// `Invalid` names the app and what it waits for.
    pub(crate) fn check_order<'a>(
        &self,
        revisions: impl Iterator<Item = &'a Revision> + Clone,
    ) -> Result<(), Fault> {
        let known = self.core.entrusted().filter_map(|(app, ..)| {
            let revision = self.revision(app, self.core.revision(app)?)?;
            Some(&revision.declaration)
        });
        let new = revisions.clone().map(|revision| &revision.declaration);
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
