//! Apps that scale themselves.

use serde_json::{Value, json};
use supd_api::{AutoscalePolicy, ExecMode, Instances, Millis};

use super::{Format, Site};

#[test]
fn every_member_and_every_default() {
    let site = Site::new();
    let declared = |table: Value| site.app(json!({"script": "app.js", "autoscale": table})).unwrap();
    let app = declared(json!({"cpu": 60}));
    let default = AutoscalePolicy {
        min: 1,
        max: Instances::AllBut(0),
        cpu: Some(60),
        memory: None,
        stabilization: Millis(300_000),
    };
    assert_eq!((app.autoscale, app.instances), (Some(default), Instances::Count(1)));
    assert_eq!((app.exec_mode, app.logs.merge_logs), (ExecMode::Cluster, false), "there may be several");
    let app = declared(json!({"min": 2, "max": 8, "cpu": "75%", "memory": "300M", "stabilization": "10m"}));
    let policy = AutoscalePolicy {
        min: 2,
        max: Instances::Count(8),
        cpu: Some(75),
        memory: Some(300 << 20),
        stabilization: Millis(600_000),
    };
    assert_eq!((app.autoscale, app.instances), (Some(policy), Instances::Count(2)));
    let app = declared(json!({"max": 1, "memory": "1G", "stabilization": 0}));
    assert_eq!((app.exec_mode, app.logs.merge_logs), (ExecMode::Fork, false));
    assert_eq!(
        declared(json!({"max": "max", "cpu": 1})).autoscale.map(|it| it.max),
        Some(Instances::AllBut(0))
    );
    assert_eq!(declared(Value::Null).autoscale, None);
    let app = json!({"script": "app.js", "instances": 3, "autoscale": {"min": 2, "max": 4, "cpu": 60}});
    assert_eq!(site.app(app).unwrap().instances, Instances::Count(3));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let site = Site::new();
    for (fields, message) in [
        (json!({"autoscale": {"min": 2, "max": 4}}), "autoscale: neither `cpu` nor `memory` says"),
        (json!({"autoscale": {}}), "autoscale: neither `cpu` nor `memory` says"),
        (json!({"autoscale": {"cpu": 60, "memory": 0}}), ""),
        (json!({"autoscale": {"memory": false}}), "autoscale: neither `cpu` nor `memory` says"),
        (
            json!({"autoscale": {"min": 5, "max": 4, "cpu": 60}}),
            "autoscale.max: 4 is less than `min`, which is 5",
        ),
        (
            json!({"autoscale": {"min": 0, "cpu": 60}}),
            "autoscale.min: expected a whole number from 1, found the number 0",
        ),
        (json!({"autoscale": {"min": 1001, "cpu": 60}}), "autoscale.min: expected 1 to 1000 workers"),
        (json!({"autoscale": {"cpu": 0.6}}), "autoscale.cpu: expected percent of one processor from 1"),
        (
            json!({"autoscale": {"cpu": 60, "stabilization": "2h"}}),
            "autoscale.stabilization: expected at most an hour",
        ),
        (
            json!({"autoscale": {"cpu": 60, "target": 1}}),
            "autoscale.target: unknown field `target`, expected one of `min`",
        ),
        (json!({"autoscale": 60}), "autoscale: "),
        (
            json!({"autoscale": {"min": 2, "max": 4, "cpu": 60}, "instances": 5}),
            "instances: 5 workers to begin with, yet `autoscale` allows 2 to 4\n  help: leave it out: it begins with `min`",
        ),
        (json!({"autoscale": {"cpu": 60}, "autorestart": false}), "autoscale: an app whose exits are final"),
    ] {
        let mut whole = json!({"script": "app.js"});
        whole.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        match site.app(whole) {
            Ok(_) => assert_eq!(message, "", "{fields} is accepted"),
            Err(error) => assert!(!message.is_empty() && error.contains(message), "{fields}: {error}"),
        }
    }
}

#[test]
fn a_fault_has_its_line() {
    let text = "[[apps]]\nscript = 'app.js'\n[apps.autoscale]\nmax = 4\ncpu = 'much'\n";
    let bad = Site::new().text(text, Format::Toml).unwrap_err().to_string();
    assert!(bad.starts_with("input:5: apps[0].autoscale.cpu: expected percent"), "{bad}");
}
