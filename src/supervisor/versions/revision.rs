//! One accepted version of an app's declaration, with what was found out when it was accepted.

use std::path::Path;

use serde::{Deserialize, Serialize};
use supd_api::{AppDeclaration, EnvironmentLayer};

use crate::supervisor::versions::pin::Pin;

/// A declaration and what belongs to it. Written into ledger and snapshot: fields may be added with a default only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revision {
    /// As it came from the client.
    pub(crate) declaration: AppDeclaration,
    /// The clean base of its environment.
    pub(crate) base: EnvironmentLayer,
    /// Name of the user it runs as.
    pub(crate) user: String,
    /// That user's id.
    #[serde(default)]
    pub(crate) uid: Option<u32>,
    /// Where the links of its paths lead.
    #[serde(default)]
    pub(crate) pin: Option<Pin>,
    /// `version` of the nearest `package.json`, as PM2 shows it.
    pub(crate) version: Option<String>,
}

impl Revision {
    /// The working directory of its workers.
    pub(crate) fn cwd(&self) -> &Path {
        self.pin.as_ref().map_or(&self.declaration.cwd, |pin| &pin.cwd)
    }
}
