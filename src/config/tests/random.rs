//! Whatever comes in, there is an answer: no panic, and either apps or at least one problem.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{Format, Site};
use crate::config::{from_fields, load_text, validate};

const KEYS: &[&str] = &[
    "script",
    "apps",
    "env",
    "args",
    "instances",
    "kill_timeout",
    "listen",
    "env_x",
    "name",
    "port",
    "exec_mode",
    "increment_var",
    "ready",
    "startup",
    "live",
    "http",
    "tcp",
    "exec",
    "interval",
    "period",
    "initialDelay",
    "timeout",
    "success_threshold",
    "failure_threshold",
    "watchdog",
    "httpGet",
    "wait_ready",
    "drain_timeout",
    "ready_timeout",
    "node_preload",
    "max_surge",
    "max_parallel",
    "rollback_window",
    "reuse_port",
    "stdin",
    "ipc",
    "log_file",
    "log_date_format",
    "log_type",
    "log_sink",
    "time",
    "rotate_size",
    "rotate_interval",
    "keep",
    "max_total",
    "compress",
    "rotate_date_format",
];

const TEXTS: &[&str] = &[
    "app.js",
    "max",
    "cluster",
    "/health",
    ":80/x",
    "http://[::1]:${PORT}/",
    "${PORT}",
    "${",
    "host:1",
    "5s",
    "10M",
    "* * * * *",
    "zstd",
    "node -v",
];

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![3 => prop::sample::select(KEYS).prop_map(str::to_owned), 1 => "\\PC{0,12}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..2000_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn answers(site: &Site, text: &str) {
    for format in [Format::Toml, Format::Json, Format::Yaml] {
        match load_text(text, format, "input", &site.options) {
            Ok(loaded) => {
                assert!(!loaded.apps.is_empty() && loaded.apps.iter().all(|app| validate(app).is_empty()))
            }
            Err(rejected) => assert!(!rejected.problems.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_text(text in "[\\PC\\n\\t\\[\\]{}:&*!|>'\"%@`,#=-]{0,200}") {
        answers(&Site::new(), &text);
    }

    #[test]
    fn random_trees(tree in any_json()) {
        let site = Site::new();
        answers(&site, &tree.to_string());
        if let Value::Object(fields) = tree {
            match from_fields(fields, &site.options) {
                Ok(loaded) => prop_assert!(!loaded.apps.is_empty()),
                Err(rejected) => prop_assert!(!rejected.problems.is_empty()),
            }
        }
    }

    #[test]
    fn random_fields(fields in prop::collection::vec((prop::sample::select(KEYS), any_json()), 0..8)) {
        let site = Site::new();
        let mut document: Map<_, _> = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        document.insert("script".to_owned(), Value::from("app.js"));
        match from_fields(document, &site.options) {
            Ok(loaded) => prop_assert!(loaded.apps.iter().all(|app| validate(app).is_empty())),
            Err(rejected) => prop_assert!(!rejected.problems.is_empty()),
        }
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let site = Site::new();
        for name in ["r.toml", "r.json", "r.yaml"] {
            site.write(name, &bytes);
            if let Err(rejected) = site.file(name) {
                prop_assert!(!rejected.problems.is_empty());
            }
        }
    }
}
