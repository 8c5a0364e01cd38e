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
/// A key with a point and no colon is kept under [`Settings::key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Values by key.
    pub settings: BTreeMap<String, Secret>,
}

impl Settings {
    /// The key under which this one is kept: pm2 takes a point for the colon too. Of several the last one counts, for names of apps
    /// have points more often than those of variables.
    pub fn key(typed: &str) -> String {
        match typed.rsplit_once('.') {
            Some((owner, name)) if !typed.contains(':') => format!("{owner}:{name}"),
            _ => typed.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_colon_where_there_is_none() {
        for (typed, key) in [
            ("web.A", "web:A"),
            ("my.app.A", "my.app:A"),
            ("my.app:A", "my.app:A"),
            ("supd:hook.ops", "supd:hook.ops"),
            ("plain", "plain"),
        ] {
            assert_eq!(Settings::key(typed), key);
        }
    }
}
