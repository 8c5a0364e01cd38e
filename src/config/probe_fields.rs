//! The tables `[apps.ready]`, `[apps.startup]` and `[apps.live]` as users write them.
//!
//! Question answered here: *which members have they, what are their types, and what are they called?*

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::value::{Http, Interval, Limit, Span, Tcp, Threshold, Words};
use super::vocabulary::Vocabulary;

/// A repeated check of one worker, as Kubernetes defines probes. A text in its place is its `http`, a number its `tcp`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct ProbeFields {
    /// Passes when a GET is answered with a status from 200 to 399: `/health` asks the worker itself,
    /// `127.0.0.1:8080/health` or `http://127.0.0.1:${PORT}/health` whoever is there.
    pub(super) http: Option<Http>,
    /// Passes when a connection is accepted: `8080`, `host:8080`, `${PORT}`.
    pub(super) tcp: Option<Tcp>,
    /// Passes when this command returns 0: a list, or a text that is split at spaces outside of quotes.
    pub(super) exec: Option<Words>,
    /// From the start of the process to the first check. Milliseconds, or a text such as `5s`. Default: 0.
    pub(super) initial_delay: Option<Span>,
    /// From one check to the next. At least 100 milliseconds, or a text. Default: 1 s for `ready` and `startup`, 10 s for `live`.
    pub(super) interval: Option<Interval>,
    /// A check that takes longer has failed. Milliseconds, or a text. Default: 1 s.
    pub(super) timeout: Option<Limit>,
    /// So many in a row must pass. Default: 1; for `startup` and `live` it is always 1.
    pub(super) success_threshold: Option<Threshold>,
    /// So many in a row must fail until it counts. Default: 3; for `startup` 60.
    pub(super) failure_threshold: Option<Threshold>,
}

/// A probe, a watchdog, or both.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct LiveFields {
    #[serde(flatten)]
    pub(super) probe: ProbeFields,
    /// The worker is broken when it has not sent `WATCHDOG=1` to `NOTIFY_SOCKET` for so long. Milliseconds, or a text.
    /// 0: none.
    pub(super) watchdog: Option<Span>,
}

/// Kubernetes' word.
const ALIASES: &[(&str, &str)] = &[("period", "interval")];

/// Names of Kubernetes and systemd. Their spans are in seconds, so that a silent alias would be wrong by a thousand.
const FOREIGN: &[(&str, &str)] = &[
    ("http_get", "Kubernetes' `httpGet` is `http = \":8080/health\"` here"),
    ("tcp_socket", "Kubernetes' `tcpSocket` is `tcp = 8080` here"),
    ("grpc", "write `exec` with a client such as grpc_health_probe"),
    ("path", "write address and path in one: `http = \":8080/health\"`"),
    ("port", "write `tcp = 8080` or `http = \":8080/health\"`"),
    ("host", "write host and port in one: `tcp = \"127.0.0.1:8080\"` or `http = \"127.0.0.1:8080/health\"`"),
    ("command", "write `exec` with the list of words"),
    (
        "initial_delay_seconds",
        "write `initial_delay`, and seconds as in `\"5s\"`: a bare number means milliseconds",
    ),
    ("period_seconds", "write `interval`, and seconds as in `\"5s\"`: a bare number means milliseconds"),
    ("timeout_seconds", "write `timeout`, and seconds as in `\"5s\"`: a bare number means milliseconds"),
    ("termination_grace_period_seconds", "write `kill_timeout` for the app"),
    (
        "watchdog_sec",
        "write `watchdog` in `live`, and seconds as in `\"5s\"`: a bare number means milliseconds",
    ),
];

static PROBE: LazyLock<Vocabulary> = LazyLock::new(vocabulary::<ProbeFields>);
static LIVE: LazyLock<Vocabulary> = LazyLock::new(vocabulary::<LiveFields>);

fn vocabulary<T: JsonSchema>() -> Vocabulary {
    Vocabulary { aliases: ALIASES, foreign: FOREIGN, ..Vocabulary::of::<T>() }
}

/// The names in the table of that field; `None`: the field is no table.
pub(super) fn table(field: &str) -> Option<&'static Vocabulary> {
    match field {
        "ready" | "startup" => Some(&PROBE),
        "live" => Some(&LIVE),
        _ => None,
    }
}

/// The schema of a field that is a table `T` or its `http` or `tcp` alone.
pub(super) fn table_or_check<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        generator.subschema_for::<Http>(),
        { "type": "integer", "minimum": 1, "maximum": 65535 },
        { "type": "null" },
        generator.subschema_for::<T>(),
    ] })
}

#[cfg(test)]
mod tests {
    use super::super::vocabulary::NoField;
    use super::*;

    #[test]
    fn members_have_the_names_of_their_table() {
        let ready = table("ready").unwrap();
        let live = table("live").unwrap();
        assert_eq!((ready.names().count(), live.names().count()), (8, 9));
        assert_eq!(ready.field("initialDelay"), Ok("initial_delay"));
        assert_eq!(ready.field("period"), Ok("interval"));
        assert_eq!(ready.field("intervall"), Err(NoField::Unknown(Some("interval"))));
        assert_eq!(ready.field("watchdog"), Err(NoField::Unknown(None)));
        assert_eq!(live.field("watchdog"), Ok("watchdog"));
        assert!(
            matches!(live.field("periodSeconds"), Err(NoField::Foreign(hint)) if hint.contains("`interval`"))
        );
        for vocabulary in [ready, live] {
            for (_, field) in vocabulary.aliases {
                assert!(vocabulary.names().any(|name| name == *field), "{field}");
            }
            for (name, _) in FOREIGN {
                assert!(matches!(vocabulary.field(name), Err(NoField::Foreign(_))), "{name}");
            }
        }
    }
}
