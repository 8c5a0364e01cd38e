//! The OpenAPI description, made from the same types that travel.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use supd_api::{
    Accepted, AppDifference, AppView, ApplyApps, CompareApps, CrashReport, DaemonView, EnvironmentView,
    Fault, FaultCode, Happening, HealthView, HookView, InputRequest, LogLine, MessageRequest,
    PendingRequests, ReloadRequest, RunRequest, ScaleTo, Settings, SignalRequest, StartApps, TargetRequest,
    TriggerRequest, Triggered, UpgradeBegun, UpgradeRequest, WorkerView,
};

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// Parameters of the query.
    query: &'static [&'static str],
    request: Option<fn(&mut SchemaGenerator) -> Schema>,
    reply: fn(&mut SchemaGenerator) -> Schema,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn ask(
    path: &'static str,
    summary: &'static str,
    query: &'static [&'static str],
    reply: fn(&mut SchemaGenerator) -> Schema,
) -> Operation {
    Operation { method: "get", path, summary, query, request: None, reply }
}

const fn wish(
    path: &'static str,
    summary: &'static str,
    request: Option<fn(&mut SchemaGenerator) -> Schema>,
) -> Operation {
    Operation { method: "post", path, summary, query: &[], request, reply: of::<Accepted> }
}

/// Their replies are one JSON document a line.
const STREAMS: [&str; 2] = ["/v1/events", "/v1/logs"];

/// Their replies are text.
const TEXTS: [&str; 1] = ["/metrics"];
/// Their replies come with 503 too.
const JUDGEMENTS: [&str; 2] = ["/healthz", "/readyz"];

const OPERATIONS: &[Operation] = &[
    ask("/metrics", "Figures for Prometheus, in its text format or as OpenMetrics", &[], of::<String>),
    ask(
        "/healthz",
        "Whether the daemon answers and no worker has failed; 503 with the reasons if not",
        &["app"],
        of::<HealthView>,
    ),
    ask(
        "/readyz",
        "Whether all workers that shall run are ready; 503 with the reasons if not",
        &["app"],
        of::<HealthView>,
    ),
    ask("/v1/openapi.json", "This document", &[], of::<Value>),
    ask("/v1/daemon", "The daemon itself", &[], of::<DaemonView>),
    wish("/v1/daemon/stop", "Stop all workers, then the daemon; the ledger stays", None),
    Operation {
        method: "post",
        path: "/v1/daemon/upgrade",
        summary: "Check a new supd and let it take over; the outcome is in GET /v1/daemon",
        query: &[],
        request: Some(of::<UpgradeRequest>),
        reply: of::<UpgradeBegun>,
    },
    wish(
        "/v1/requests",
        "Wait for the outcome of requests that an upgrade left pending",
        Some(of::<PendingRequests>),
    ),
    ask("/v1/workers", "Workers; unknown targets are a fault", &["target"], of::<Vec<WorkerView>>),
    wish("/v1/workers/start", "Start workers; running ones are left alone", Some(of::<TargetRequest>)),
    wish(
        "/v1/workers/run",
        "Run jobs once, and wait for their end unless no_wait is true",
        Some(of::<RunRequest>),
    ),
    wish("/v1/workers/stop", "Stop workers", Some(of::<TargetRequest>)),
    wish(
        "/v1/workers/restart",
        "Give workers a new process, the old one ended first",
        Some(of::<TargetRequest>),
    ),
    wish(
        "/v1/workers/reload",
        "Replace the workers of apps, each ready before its predecessor goes",
        Some(of::<ReloadRequest>),
    ),
    wish("/v1/workers/rollback", "Move apps to the version before", Some(of::<ReloadRequest>)),
    wish("/v1/workers/delete", "Stop workers and forget them", Some(of::<TargetRequest>)),
    wish("/v1/workers/reset", "Count the restarts of workers anew", Some(of::<TargetRequest>)),
    wish(
        "/v1/workers/unwatch",
        "Watch the files of apps no more, whatever is declared",
        Some(of::<TargetRequest>),
    ),
    wish("/v1/workers/signal", "Send a signal to main processes", Some(of::<SignalRequest>)),
    wish("/v1/workers/input", "Write to the standard input of workers", Some(of::<InputRequest>)),
    wish("/v1/workers/message", "Send a message over IPC channels", Some(of::<MessageRequest>)),
    Operation {
        method: "post",
        path: "/v1/workers/trigger",
        summary: "Have workers carry out an action that they have announced, and wait for their replies",
        query: &[],
        request: Some(of::<TriggerRequest>),
        reply: of::<Triggered>,
    },
    ask(
        "/v1/workers/{id}/env",
        "The environment of a worker, with the origin of each variable",
        &[],
        of::<EnvironmentView>,
    ),
    ask(
        "/v1/apps",
        "Apps with their declarations; values of variables only with values=true",
        &["target", "values"],
        of::<Vec<AppView>>,
    ),
    wish("/v1/apps", "Start apps, or apply new declarations to running ones", Some(of::<StartApps>)),
    Operation {
        method: "post",
        path: "/v1/apps/diff",
        summary: "In what declarations differ from what runs",
        query: &[],
        request: Some(of::<CompareApps>),
        reply: of::<Vec<AppDifference>>,
    },
    wish("/v1/apps/apply", "Make apps as declared, changing only what differs", Some(of::<ApplyApps>)),
    wish("/v1/apps/{name}/scale", "Change the number of workers", Some(of::<ScaleTo>)),
    ask("/v1/hooks", "Who is told of trouble; where they lead is left out", &[], of::<Vec<HookView>>),
    wish("/v1/hooks/{name}/test", "Send a test to a hook, and tell whether it was taken", None),
    ask("/v1/settings", "Settings of the daemon", &[], of::<Settings>),
    Operation {
        method: "put",
        path: "/v1/settings",
        summary: "Add or change settings, all of these or none",
        query: &[],
        request: Some(of::<Settings>),
        reply: of::<Accepted>,
    },
    Operation {
        method: "delete",
        path: "/v1/settings",
        summary: "Remove the settings with these keys; without a key, all",
        query: &["key"],
        request: None,
        reply: of::<Accepted>,
    },
    ask(
        "/v1/crashes",
        "Ends that nobody asked for, the latest first; at most `limit` an app",
        &["target", "limit"],
        of::<Vec<CrashReport>>,
    ),
    ask(
        "/v1/events",
        "What happened, one JSON document a line, or for `Accept: text/event-stream` one an event",
        &["target", "lines", "follow", "messages"],
        of::<Happening>,
    ),
    ask("/v1/logs", "Lines of output, one JSON document a line", &super::log_query::NAMES, of::<LogLine>),
    wish("/v1/logs/flush", "Empty log files", Some(of::<TargetRequest>)),
    wish("/v1/logs/reopen", "Open log files anew, after they were renamed", None),
];

/// The whole document.
pub(super) fn document() -> Value {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let fault = of::<Fault>(&mut generator);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method] = describe(operation, &mut generator, &fault);
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "supd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Served over the Unix socket `$SUPD_HOME/supd.sock`, for the daemon's own user and root.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://supd" }],
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator, fault: &Schema) -> Value {
    let named = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = named
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let media = match operation.path {
        path if STREAMS.contains(&path) => "application/x-ndjson",
        path if TEXTS.contains(&path) => "text/plain",
        _ => "application/json",
    };
    let reply = json!({ media: { "schema": (operation.reply)(generator) } });
    let mut responses = json!({ "200": { "description": "Done", "content": reply } });
    for code in FaultCode::ALL {
        let content = json!({ "application/json": { "schema": fault } });
        responses[code.http_status().to_string()] = json!({ "description": "A fault", "content": content });
    }
    if JUDGEMENTS.contains(&operation.path) {
        responses["503"] = json!({ "description": "It is not so", "content": reply });
    }
    let mut described =
        json!({ "summary": operation.summary, "parameters": parameters, "responses": responses });
    if let Some(request) = operation.request {
        let content = json!({ "application/json": { "schema": request(generator) } });
        described["requestBody"] = json!({ "required": true, "content": content });
    }
    described
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;

    /// What is described is served, by that method and no other.
    #[tokio::test]
    async fn every_operation_has_a_route() {
        for operation in OPERATIONS {
            let (calls, loop_is_gone) = mpsc::channel(1);
            drop(loop_is_gone);
            let router = super::super::routes::router(calls);
            let path = operation.path.replace("{id}", "0").replace("{name}", "web");
            let method = operation.method.to_uppercase();
            let request =
                Request::builder().method(method.as_str()).uri(&path).body(Body::empty()).expect("a request");
            let status = router.oneshot(request).await.expect("an answer").status();
            assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        }
    }

    #[test]
    fn the_document_refers_only_to_what_it_defines() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name: String = reference.chars().take_while(|c| *c != '"').collect();
            assert!(document["components"]["schemas"].get(&name).is_some(), "{name} is not defined");
        }
    }
}
