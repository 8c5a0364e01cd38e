//! Who is told of trouble.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of `GET /v1/hooks`. Where it leads is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookView {
    /// Its name.
    pub name: String,
    /// `webhook`, `slack`, `discord`, `pagerduty`, `mail` or `exec`.
    pub kind: String,
    /// Of which apps it is told; absent: of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apps: Option<Vec<String>>,
}
