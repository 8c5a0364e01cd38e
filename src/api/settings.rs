//! Settings of the daemon.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// Answer of `GET /v1/settings`, and body of `PUT /v1/settings`, which adds these to those that are there, all of them or none.
///
/// `pm2-logrotate:OPTION` and `supd:FIELD` say how the output of apps is rotated that do not declare it, and act at once.
/// `supd:metrics_listen` and `supd:metrics_token` say where figures and health are told over TCP, and to whom.
/// `supd:hook.NAME` says who is told of trouble.
/// `APP:VARIABLE` is a variable that the workers of this app get from their next start on. Other keys have no meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Values by key.
    pub settings: BTreeMap<String, Secret>,
}
