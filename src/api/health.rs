//! Whether the daemon and its apps are well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppName, Status};

/// Answer of `GET /healthz` and `GET /readyz`, with status 200 when `ok`, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthView {
    /// Whether it is as was asked.
    pub ok: bool,
    /// So many workers shall run.
    pub wanted: u32,
    /// So many of them are ready.
    pub ready: u32,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<HealthReason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthReason {
    /// The app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// The worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// Its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// In words.
    pub reason: String,
}
