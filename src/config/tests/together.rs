//! Several apps, environments, files beside the document.

use serde_json::json;
use supd_api::{Check, Layer, Millis, Probe};

use super::{Format, Site, variables};
use crate::config::validate;

#[test]
fn layers_in_rising_precedence() {
    let mut site = Site::new();
    let file = site.write("conf/.env", "A=file\nB=file # note\n");
    site.options.inherit_env = true;
    site.options.env_name = Some("production".to_owned());
    let app = site
        .app(json!({
            "script": "app.js", "env_file": "conf/.env", "port": 80, "filter_env": ["TOK"],
            "env": {"A": "env", "PORT": 1}, "env_production": {"A": "named"}, "env_other": {"A": "other"}
        }))
        .unwrap();
    let layers: Vec<_> = app.environment.layers.iter().map(|layer| layer.layer.clone()).collect();
    assert_eq!(
        layers,
        [
            Layer::Base,
            Layer::Caller,
            Layer::EnvFile(file),
            Layer::Env,
            Layer::EnvNamed("production".to_owned())
        ]
    );
    let merged = variables(&app);
    assert_eq!(
        (merged["A"].as_str(), merged["B"].as_str(), merged["PORT"].as_str()),
        ("named", "file", "80")
    );
    assert!(merged.contains_key("HOME") && !merged.contains_key("TOKEN"));
    assert_eq!(validate(&app), []);
}

#[test]
fn the_callers_environment_only_when_asked() {
    let site = Site::new();
    let app = site.app(json!({"script": "app.js"})).unwrap();
    assert_eq!(variables(&app).into_keys().collect::<Vec<_>>(), ["PATH"]);
}

#[test]
fn a_bad_env_file_is_told_line_by_line() {
    let site = Site::new();
    site.write("a.env", "A=1\nnonsense\n\nB='x\n");
    let bad = site.app(json!({"script": "app.js", "env_file": ["a.env", "bin"]})).unwrap_err();
    let bad = site.stable(&bad);
    assert!(
        bad.contains("$SITE/a.env:2: expected KEY=VALUE\n  help: the file is named by `env_file[0]`"),
        "{bad}"
    );
    assert!(bad.contains("$SITE/a.env:4: the quote ' is not closed"), "{bad}");
    assert!(bad.contains("env_file[1]: \"$SITE/bin\": it is a directory"), "{bad}");
}

#[test]
fn an_undefined_env_name_warns() {
    let mut site = Site::new();
    site.options.env_name = Some("prodution".to_owned());
    let text = "[[apps]]\nscript = 'app.js'\n[apps.env_production]\nA = 1\n";
    let loaded = site.text(text, Format::Toml).unwrap();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "input:1: apps[0]: the app has no variables for `--env prodution`; it gets those of `env`\n  \
         help: did you mean `--env production`?"
    );
}

#[test]
fn only_some() {
    let mut site = Site::new();
    let text = "apps: [{name: a, script: app.js}, {name: b, script: gone.js}, {name: c, script: app.js}]\n";
    site.options.only = vec!["c".to_owned(), "a".to_owned()];
    let names: Vec<_> =
        site.text(text, Format::Yaml).unwrap().apps.into_iter().map(|app| app.name.to_string()).collect();
    assert_eq!(names, ["a", "c"], "b is not looked at closely");
    site.options.only = vec!["a".to_owned(), "cc".to_owned()];
    let bad = site.text(text, Format::Yaml).unwrap_err().to_string();
    assert_eq!(bad, "input: no app is named \"cc\"\n  help: did you mean `c`?");
}

#[test]
fn names_are_unique() {
    let site = Site::new();
    let text = "[[apps]]\nscript = 'app.js'\n[[apps]]\nname = 'app'\nscript = 'app.js'\n";
    let bad = site.text(text, Format::Toml).unwrap_err().to_string();
    assert_eq!(
        bad,
        "input:4: apps[1].name: `app` is already the name of `apps[0]` in line 1\n  \
         help: names are unique; for several workers write `instances`"
    );
}

#[test]
fn features_that_are_off_do_not_warn() {
    let site = Site::new();
    let quiet = "{script: 'app.js', watch: false, time: false, pmx: false, cron_restart: '', max_memory_restart: null}";
    assert_eq!(site.text(quiet, Format::Json).unwrap().warnings, []);
    let loud = "{script: 'app.js', watch: ['gone'], watch_options: {usePolling: true}, windowsHide: true}";
    let warnings = site.text(loud, Format::Json).unwrap().warnings;
    let paths: Vec<_> = warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(paths, ["windowsHide", "watch", "watch_options.usePolling"]);
    assert!(warnings[0].message.starts_with("the field has no effect: "));
}

#[test]
fn a_limit_of_memory_in_bytes_that_was_meant_in_larger_units() {
    let site = Site::new();
    let limited = |limit: &str| {
        site.text(&format!("{{script: 'app.js', maxMemoryRestart: {limit}}}"), Format::Json).unwrap()
    };
    let loaded = limited("'1.5G'");
    assert_eq!((loaded.apps[0].restart.max_memory_restart, loaded.warnings), (Some(3 << 29), vec![]));
    let loaded = limited("300");
    assert_eq!(loaded.apps[0].restart.max_memory_restart, Some(300));
    assert!(loaded.warnings[0].message.starts_with("less than any program takes"));
    assert_eq!(limited("false").apps[0].restart.max_memory_restart, None);
}

fn tcp(address: &str) -> Probe {
    Probe {
        check: Check::Tcp { address: address.to_owned() },
        initial_delay: Millis(0),
        interval: Millis(1000),
        timeout: Millis(1000),
        success_threshold: 1,
        failure_threshold: 1,
    }
}

#[test]
fn the_daemon_checks_what_it_is_sent() {
    let site = Site::new();
    let good = site.app(json!({"script": "app.js", "listen": ":80", "env": {"A": "1"}})).unwrap();
    assert_eq!(validate(&good), []);
    type Spoil = fn(&mut supd_api::AppDeclaration);
    let spoils: [(&str, Spoil); 36] = [
        ("cwd", |app| app.cwd = "relative".into()),
        ("cwd", |app| app.cwd = "/a\0".into()),
        ("script", |app| app.program.script.clear()),
        ("script", |app| app.program.script = "a/b".to_owned()),
        ("interpreter", |app| app.program.interpreter = Some(String::new())),
        ("instances", |app| app.instances = supd_api::Instances::Count(0)),
        ("instances", |app| app.instances = supd_api::Instances::Count(5000)),
        ("kill_signal", |app| app.stop.kill_signal = "9".to_owned()),
        ("out_file", |app| app.logs.out_file = supd_api::LogTarget::File("x".into())),
        ("log_file", |app| app.logs.log_file = supd_api::LogTarget::File("x".into())),
        ("log_date_format", |app| app.logs.form = supd_api::LogForm::Dated("YYYY\n".to_owned())),
        ("rotate_size", |app| app.logs.rotation.size = Some(Some(10))),
        ("rotate_interval", |app| app.logs.rotation.interval = Some(Some("often".to_owned()))),
        ("rotate_date_format", |app| app.logs.rotation.date_format = Some("YYYY/MM".to_owned())),
        ("rotate_date_format", |app| app.logs.rotation.date_format = Some("HH".to_owned())),
        ("kill_timeout", |app| app.stop.kill_timeout = Millis(u64::MAX)),
        ("stop_exit_codes", |app| app.restart.stop_exit_codes = vec![-1]),
        ("exec_mode", |app| app.exec_mode = supd_api::ExecMode::Cluster),
        ("uid", |app| app.user = Some("a\n".to_owned())),
        ("drain_timeout", |app| app.stop.drain_timeout = Millis(u64::MAX)),
        ("rollback_window", |app| app.reload.rollback_window = Millis(u64::MAX)),
        ("max_surge", |app| app.reload.max_surge = 0),
        ("max_parallel", |app| app.reload.max_parallel = Some(u32::MAX)),
        ("reuse_port", |app| app.reload.reuse_port = true),
        ("ready_timeout", |app| app.ready.timeout = Millis(0)),
        ("live.watchdog", |app| app.live.watchdog = Some(Millis(99))),
        ("wait_ready", |app| (app.ready.probe, app.ready.wait_ready) = (Some(tcp("80")), true)),
        ("ready.tcp", |app| app.ready.probe = Some(tcp("host"))),
        ("startup.tcp", |app| app.ready.startup = Some(tcp("${GONE}"))),
        ("live.success_threshold", |app| app.live.probe = Some(Probe { success_threshold: 2, ..tcp("80") })),
        ("ready.failure_threshold", |app| {
            app.ready.probe = Some(Probe { failure_threshold: 0, ..tcp("80") })
        }),
        ("ready.interval", |app| app.ready.probe = Some(Probe { interval: Millis(99), ..tcp("80") })),
        ("ready.http", |app| {
            let check =
                Check::Http { address: Some("host:80".to_owned()), path: "/ HTTP/1.1\r\nX: y".to_owned() };
            app.ready.probe = Some(Probe { check, ..tcp("80") });
        }),
        ("ready.exec", |app| {
            app.ready.probe = Some(Probe { check: Check::Exec { command: Vec::new() }, ..tcp("80") })
        }),
        ("live.exec", |app| {
            let check = Check::Exec { command: vec!["./check".to_owned()] };
            app.live.probe = Some(Probe { check, ..tcp("80") });
        }),
        ("env", |app| {
            app.environment.layers[0].variables.insert("B".to_owned(), supd_api::Secret::from("hunter2\0"));
        }),
    ];
    for (path, spoil) in spoils {
        let mut app = good.clone();
        spoil(&mut app);
        let problems = validate(&app);
        assert_eq!(problems.len(), 1, "{path}: {problems:?}");
        assert_eq!((problems[0].path.as_str(), problems[0].origin.as_str()), (path, "app app"));
        assert!(!format!("{problems:?}").contains("hunter2"));
    }
}
