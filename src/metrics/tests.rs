//! The page in both forms, against a copy and against the grammar.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;

fn worker(app: &str, id: u32, status: &str) -> Worker {
    let up = status == "online";
    let stream =
        |written: u64, lost: u64| json!({ "written": written, "lost_lines": lost, "lost_bytes": 10 * lost });
    let view = json!({
        "id": id, "app": app, "namespace": "default", "instance": 0, "exec_mode": "cluster_mode",
        "pid": up.then_some(4000 + id), "status": status, "reason": "", "remaining": null,
        "uptime": up.then_some(7_200_500), "restarts": 3, "unstable_restarts": 1, "cpu": 0.3, "cpu_time": 1_500,
        "memory": 53_792_000, "user": "deploy", "version": "1.2.3", "created_at": 0, "started_at": null,
        "last_exit": null, "out_file": null, "error_file": null, "pid_file": "/p",
        "logs": { "out": stream(1_000, 2), "error": stream(500, 0) },
    });
    Worker {
        view: serde_json::from_value(view).expect("a worker"),
        crashes: 2,
        open_files: up.then_some(21),
        cgroup: None,
        pressure: up.then_some(PressureView { cpu: 12.5, memory: 0.0, io: 0.5 }),
    }
}

/// Between two runs.
fn job(app: &str, id: u32) -> Worker {
    let last = json!({ "result": "failed", "exit": { "code": 1 }, "at": 90_000, "took": 1_500 });
    let runs = json!({ "completed": 4, "failed": 1, "timed_out": 0, "skipped": 2, "completed_at": 60_500 });
    let mut worker = worker(app, id, "idle");
    worker.view.job = serde_json::from_value(json!({ "last": last, "runs": runs })).expect("a job");
    worker
}

fn app(name: &str, version: Option<&str>) -> App {
    App {
        name: AppName::new(name).expect("a name"),
        namespace: "default".to_owned(),
        exec_mode: ExecMode::Cluster,
        version: version.map(str::to_owned),
        revision: 4,
        wanted: 2,
        ready: 1,
        reloads: Reloads { done: 5, failed: 1, rolled_back: 0 },
        autoscale: Some(AutoscaleView {
            min: 2,
            max: 8,
            workers: 2,
            since: 1,
            cpu: Some(91.2),
            memory: None,
            wanted: Some(4),
            held: None,
        }),
    }
}

fn scene() -> Scene {
    let own = |name, pid| Own {
        name,
        pid,
        cpu_time: Duration::from_millis(250),
        memory: 4_096_000,
        open_files: Some(9),
    };
    Scene {
        version: "0.1.0".to_owned(),
        uptime: Duration::from_millis(90_500),
        supervisor_restarts: 1,
        own: vec![own("keeper", 1), own("supervisor", 2)],
        apps: vec![app("web", Some("1.2.3"))],
        workers: vec![worker("web", 0, "online"), worker("web", 1, "waiting restart"), job("backup", 2)],
    }
}

#[test]
fn what_everybody_reads() {
    insta::assert_snapshot!(page(&scene(), Form::Prometheus));
}

#[test]
fn open_metrics() {
    insta::assert_snapshot!(page(&scene(), Form::OpenMetrics));
}

#[test]
fn the_form_that_is_asked_for() {
    // What Prometheus 2.42 sends.
    let scraper = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Form::accepted(Some(scraper)), Form::OpenMetrics);
    for accept in [None, Some("*/*"), Some("text/plain"), Some("text/html,application/xml;q=0.9")] {
        assert_eq!(Form::accepted(accept), Form::Prometheus, "{accept:?}");
    }
}

#[test]
fn the_grammar_holds_whatever_things_are_called() {
    let mut scene = scene();
    for (id, name) in (7..).zip(["a\"b", "back\\slash", "naïve 🚀", "{x=\"1\"} 2", "a,b=c", "# TYPE"]) {
        scene.apps.push(app(name, Some("\"1\n\\2\"\n# EOF\n")));
        scene.workers.push(worker(name, id, "errored"));
    }
    for form in [Form::Prometheus, Form::OpenMetrics] {
        let text = page(&scene, form);
        let families = read(&text, form);
        let named = families.values().flatten().filter(|labels| labels.contains_key("version"));
        assert_eq!(named.filter(|labels| labels["version"] == "\"1\n\\2\"\n# EOF\n").count(), 6, "{text}");
        let apps: BTreeSet<_> = families.values().flatten().filter_map(|labels| labels.get("app")).collect();
        assert_eq!(apps.len(), 8);
    }
}

#[test]
fn labels_are_few() {
    let known = [
        "app",
        "exec_mode",
        "namespace",
        "outcome",
        "process",
        "resource",
        "result",
        "status",
        "stream",
        "version",
        "worker",
    ];
    let families = read(&page(&scene(), Form::OpenMetrics), Form::OpenMetrics);
    let labels: BTreeSet<_> = families.values().flatten().flat_map(BTreeMap::keys).cloned().collect();
    assert_eq!(labels.iter().map(String::as_str).collect::<Vec<_>>(), known);
}

#[test]
fn the_documentation_names_them_all() {
    let documentation = include_str!("../../packaging/docs/metrics.md");
    let dashboard = include_str!("../../packaging/grafana/supd.json");
    let families = read(&page(&scene(), Form::Prometheus), Form::Prometheus);
    for name in families.keys() {
        assert!(documentation.contains(&format!("`{name}`")), "{name} is not documented");
    }
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    for name in
        documentation.split(word).chain(dashboard.split(word)).filter(|word| word.starts_with("supd_"))
    {
        assert!(families.contains_key(name), "there is no {name}");
    }
    serde_json::from_str::<serde_json::Value>(dashboard).expect("a dashboard");
}

// ---- the grammar ---------------------------------------------------------------------------------------------

type Labels = BTreeMap<String, String>;

/// The samples by name. Panics where a page is not as its form wants it.
fn read(text: &str, form: Form) -> BTreeMap<String, Vec<Labels>> {
    let body = match form {
        Form::OpenMetrics => text.strip_suffix("# EOF\n").expect("an end"),
        Form::Prometheus => text,
    };
    assert!(body.ends_with('\n') && !body.contains("\n\n"));
    let mut found: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
    let (mut seen, mut family, mut kind, mut helped) = (BTreeSet::new(), "", "", "");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a text");
            assert!(help.ends_with('.') && !help.contains(['\\', '"']), "{line}");
            assert!(seen.insert(name), "{name} comes twice");
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').expect("a kind");
            assert_eq!(family, helped);
            assert!(["gauge", "counter", "info"].contains(&kind), "{line}");
            assert!(kind != "info" || form == Form::OpenMetrics);
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            assert_eq!(form, Form::OpenMetrics);
            let (name, unit) = rest.split_once(' ').expect("a unit");
            assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            let expected = match (form, kind) {
                (Form::OpenMetrics, "counter") => format!("{family}_total"),
                (Form::OpenMetrics, "info") => format!("{family}_info"),
                _ => family.to_owned(),
            };
            assert_eq!(name, expected);
            assert!(kind != "counter" || (name.ends_with("_total") && value >= 0.0), "{line}");
            let before = found.entry(name.to_owned()).or_default();
            assert!(!before.contains(&labels), "{line} comes twice");
            before.push(labels);
        }
    }
    found
}

fn sample(line: &str) -> (&str, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
    let mut labels = Labels::new();
    while let Some(more) = rest.strip_prefix(['{', ',']) {
        let (label, value) = more.split_once("=\"").expect("a label");
        assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        let (mut text, mut letters) = (String::new(), value.char_indices());
        let end = loop {
            match letters.next().expect("the end of a label") {
                (at, '"') => break at,
                (_, '\\') => text.push(match letters.next().expect("what is escaped").1 {
                    'n' => '\n',
                    letter @ ('\\' | '"') => letter,
                    other => panic!("\\{other} in {line}"),
                }),
                (_, letter) => text.push(letter),
            }
        };
        assert_eq!(labels.insert(label.to_owned(), text), None, "{line}");
        rest = &value[end + 1..];
    }
    let value = rest.strip_prefix('}').unwrap_or(rest).strip_prefix(' ').expect("a value");
    (name, labels, value.parse().expect("a number"))
}
