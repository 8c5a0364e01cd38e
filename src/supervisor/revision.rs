//! One accepted version of an app's declaration, with what was found out when it was accepted.

use std::path::Path;

use serde::{Deserialize, Serialize};
use supd_api::{AppDeclaration, EnvironmentLayer};

use super::pin::Pin;

/// A declaration and what belongs to it. Written into ledger and snapshot: fields may be added with a default only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Revision {
    /// As it came from the client.
    pub(super) declaration: AppDeclaration,
    /// The clean base of its environment.
    pub(super) base: EnvironmentLayer,
    /// Name of the user it runs as.
    pub(super) user: String,
    /// That user's id.
    #[serde(default)]
    pub(super) uid: Option<u32>,
    /// Where the links of its paths lead.
    #[serde(default)]
    pub(super) pin: Option<Pin>,
    /// `version` of the nearest `package.json`, as PM2 shows it.
    pub(super) version: Option<String>,
}

impl Revision {
    /// The working directory of its workers.
    pub(super) fn cwd(&self) -> &Path {
        self.pin.as_ref().map_or(&self.declaration.cwd, |pin| &pin.cwd)
    }
}
