//! Whole declarations, in a directory of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use supd_api::{AppDeclaration, Secret};
use tempfile::TempDir;

use super::{Dialect, Format, Loaded, Options, Rejected, from_fields, load_file, load_text};

mod autoscale;
mod depends;
mod documents;
mod golden;
mod javascript;
mod probes;
mod programs;
mod random;
mod serve;
mod together;

/// A directory with programs that need only exist, and a caller who stands in it.
struct Site {
    directory: TempDir,
    options: Options,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let variables = [
            ("HOME", root.join("home").display().to_string()),
            ("PATH", root.join("bin").display().to_string()),
            ("TOKEN", "hunter2".to_owned()),
        ];
        let options = Options {
            cwd: root.clone(),
            caller: variables.map(|(name, value)| (name.to_owned(), Secret::from(value))).into(),
            inherit_env: false,
            env_name: None,
            supctl: root.join("bin/supctl"),
            only: Vec::new(),
            over: Map::new(),
            dialect: Dialect::Supd,
        };
        let site = Self { directory, options };
        for program in ["node", "bash", "python3", "deno"] {
            site.program(&format!("bin/{program}"), "\0binary");
        }
        site.write("app.js", "");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.options.cwd.join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let file = self.write(name, text);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    /// One app of these fields.
    fn app(&self, fields: Value) -> Result<AppDeclaration, String> {
        let Value::Object(fields) = fields else { panic!("fields") };
        from_fields(fields, &self.options)
            .map(|mut loaded| loaded.apps.remove(0))
            .map_err(|bad| bad.to_string())
    }

    fn text(&self, text: &str, format: Format) -> Result<Loaded, Rejected> {
        load_text(text, format, "input", &self.options)
    }

    fn file(&self, name: &str) -> Result<Loaded, Rejected> {
        load_file(Path::new(name), &self.options)
    }

    /// A text without the name of the directory, which differs each time.
    fn stable(&self, text: &str) -> String {
        text.replace(self.directory.path().canonicalize().unwrap().to_str().unwrap(), "$SITE")
    }
}

fn variables(app: &AppDeclaration) -> BTreeMap<String, String> {
    let layers = app.environment.layers.iter().flat_map(|layer| &layer.variables);
    layers.map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect()
}

/// The declaration as JSON, to look into.
fn json_of(app: &AppDeclaration) -> Value {
    serde_json::to_value(app).unwrap()
}

#[test]
fn defaults() {
    let site = Site::new();
    let app = site.app(json!({"script": "app.js"})).unwrap();
    assert_eq!(
        json_of(&app),
        json!({
            "name": "app",
            "namespace": "default",
            "source": null,
            "program": {"script": site.path("app.js"), "interpreter": "node", "interpreter_args": [], "args": []},
            "cwd": site.options.cwd,
            "user": null,
            "group": null,
            "exec_mode": "fork_mode",
            "instances": {"count": 1},
            "environment": {"layers": [{"layer": "base", "variables": {"PATH": site.options.caller["PATH"]}}], "instance_var": "NODE_APP_INSTANCE", "increment_var": null},
            "listen": [],
            "balance": "shared",
            "stdin": "pipe",
            "ipc": false,
            "autostart": true,
            "restart": {
                "autorestart": true, "stop_exit_codes": [], "min_uptime": null, "max_restarts": null,
                "restart_delay": null, "exp_backoff_restart_delay": null
            },
            "stop": {
                "kill_signal": "SIGINT", "kill_timeout": 10000, "treekill": true, "shutdown_with_message": false,
                "drain_timeout": 30000, "node_preload": true
            },
            "ready": {
                "wait_ready": false, "listen_timeout": 3000, "timeout": 60000, "probe": null, "startup": null
            },
            "live": {"probe": null, "watchdog": null},
            "reload": {"max_surge": 1, "max_parallel": null, "rollback_window": 30000, "reuse_port": false},
            "logs": {
                "out_file": "default", "error_file": "default", "log_file": "discard", "merge_logs": true,
                "form": "plain", "on_full": "drop_oldest",
                "rotation": {}
            }
        })
    );
}

#[test]
fn each_field_arrives() {
    let site = Site::new();
    for (field, value, pointer, arrives) in [
        ("name", json!("web"), "/name", json!("web")),
        ("namespace", json!("shop"), "/namespace", json!("shop")),
        ("args", json!("-p 'a b'"), "/program/args", json!(["-p", "a b"])),
        ("node_args", json!(["--inspect"]), "/program/interpreter_args", json!(["--inspect"])),
        ("interpreterArgs", json!("--a --b"), "/program/interpreter_args", json!(["--a", "--b"])),
        ("interpreter", json!("deno"), "/program/interpreter", json!("deno")),
        ("exec_mode", json!("cluster"), "/exec_mode", json!("cluster_mode")),
        ("instances", json!("max"), "/instances", json!({"all_but": 0})),
        ("instances", json!(-1), "/instances", json!({"all_but": 1})),
        ("env", json!({"A": 1}), "/environment/layers/1", json!({"layer": "env", "variables": {"A": "1"}})),
        ("instance_var", json!("N"), "/environment/instance_var", json!("N")),
        ("increment_var", json!("PORT"), "/environment/increment_var", json!("PORT")),
        ("port", json!("80"), "/environment/layers/1/variables/PORT", json!("80")),
        ("uid", json!(33), "/user", json!("33")),
        ("user", json!("www-data"), "/user", json!("www-data")),
        ("gid", json!("www-data"), "/group", json!("www-data")),
        ("listen", json!("localhost:80"), "/listen", json!(["127.0.0.1:80"])),
        ("balance", json!("reuseport"), "/balance", json!("reuseport")),
        ("stdin", json!("null"), "/stdin", json!("null")),
        ("ipc", json!(true), "/ipc", json!(true)),
        ("autostart", json!(false), "/autostart", json!(false)),
        ("autorestart", json!("false"), "/restart/autorestart", json!(false)),
        ("stop_exit_codes", json!(0), "/restart/stop_exit_codes", json!([0])),
        ("minUptime", json!("5s"), "/restart/min_uptime", json!(5000)),
        ("max_restarts", json!("10"), "/restart/max_restarts", json!(10)),
        ("restart_delay", json!(100), "/restart/restart_delay", json!(100)),
        ("exp_backoff_restart_delay", json!(100), "/restart/exp_backoff_restart_delay", json!(100)),
        ("kill_timeout", json!(1600), "/stop/kill_timeout", json!(1600)),
        ("kill_signal", json!("term"), "/stop/kill_signal", json!("SIGTERM")),
        ("treekill", json!(false), "/stop/treekill", json!(false)),
        ("shutdown_with_message", json!(true), "/stop/shutdown_with_message", json!(true)),
        ("wait_ready", json!(true), "/ready/wait_ready", json!(true)),
        ("listen_timeout", json!("1m"), "/ready/listen_timeout", json!(60000)),
        ("drain_timeout", json!("1m"), "/stop/drain_timeout", json!(60000)),
        ("drainTimeout", json!(0), "/stop/drain_timeout", json!(0)),
        ("node_preload", json!(false), "/stop/node_preload", json!(false)),
        ("ready_timeout", json!("5m"), "/ready/timeout", json!(300_000)),
        ("max_surge", json!(2), "/reload/max_surge", json!(2)),
        ("max_parallel", json!("3"), "/reload/max_parallel", json!(3)),
        ("rollbackWindow", json!(0), "/reload/rollback_window", json!(0)),
        ("reuse_port", json!(true), "/reload/reuse_port", json!(true)),
        ("out_file", json!("/dev/null"), "/logs/out_file", json!("discard")),
        ("output", json!("NULL"), "/logs/out_file", json!("discard")),
        ("err_log", json!("/x/e.log"), "/logs/error_file", json!({"file": "/x/e.log"})),
        ("out", json!("o.log"), "/logs/out_file", json!({"file": site.path("o.log")})),
        ("error_file", json!("~/e.log"), "/logs/error_file", json!({"file": site.path("home/e.log")})),
        ("combine_logs", json!(false), "/logs/merge_logs", json!(false)),
        ("log", json!(true), "/logs/log_file", json!("default")),
        ("log_file", json!(false), "/logs/log_file", json!("discard")),
        ("log_file", json!("NULL"), "/logs/log_file", json!("discard")),
        ("log_file", json!("/var/log/a.log"), "/logs/log_file", json!({"file": "/var/log/a.log"})),
        ("time", json!(true), "/logs/form", json!({"dated": "YYYY-MM-DDTHH:mm:ss"})),
        ("log_date_format", json!("HH:mm"), "/logs/form", json!({"dated": "HH:mm"})),
        ("log_date_format", json!(""), "/logs/form", json!("plain")),
        ("rotate_size", json!("2k"), "/logs/rotation/size", json!(2048)),
        ("rotate_size", json!(false), "/logs/rotation/size", json!(null)),
        ("max_total", json!("3 GB"), "/logs/rotation/max_total", json!(3_u64 << 30)),
        ("min_free", json!(0), "/logs/rotation/min_free", json!(null)),
        ("rotateInterval", json!("daily"), "/logs/rotation/interval", json!("0 0 * * *")),
        ("rotate_interval", json!("*/5 3 * * 1-5"), "/logs/rotation/interval", json!("*/5 3 * * 1-5")),
        ("keep", json!("all"), "/logs/rotation/keep", json!(null)),
        ("keep_days", json!(7), "/logs/rotation/keep_days", json!(7)),
        ("compress", json!(true), "/logs/rotation/compress", json!("gzip")),
        ("compress", json!("zstd"), "/logs/rotation/compress", json!("zstd")),
        ("logType", json!("json"), "/logs/form", json!({"json": null})),
        ("onFull", json!("block"), "/logs/on_full", json!("block")),
        ("on_full", json!("drop_newest"), "/logs/on_full", json!("drop_newest")),
        ("log_sink", json!("journald"), "/logs/sink", json!("journald")),
        ("log_sink", json!("stdout-json"), "/logs/sink", json!({ "stdout": "json" })),
        ("pid", json!("/run/x.pid"), "/pid_file", json!("/run/x.pid")),
        ("append_env_to_name", json!(true), "/name", json!("app")),
        ("disable_logs", json!(true), "/logs/error_file", json!("discard")),
        ("kill_timeout", json!(null), "/stop/kill_timeout", json!(10000)),
    ] {
        let app = site.app(json!({"script": "app.js", field: value})).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(json_of(&app).pointer(pointer), Some(&arrives), "{field}");
    }
}

#[test]
fn bad_values_are_named() {
    let site = Site::new();
    for (field, value, part) in [
        ("name", json!("../b"), "name: `../b` cannot name an app"),
        ("name", json!(["x"]), "name: expected a text, found a list"),
        ("namespace", json!("a\nb"), "namespace: a namespace has"),
        ("args", json!("it's"), "args: the quote ' is not closed"),
        ("args", json!(["a", {"b": 1}]), "args[1]: expected a text, found a table"),
        ("args", json!("a\0b"), "args: it contains a NUL byte"),
        ("instances", json!("50%"), "instances: expected a whole number"),
        ("instances", json!(1001), "instances: expected at most 1000 workers"),
        ("env", json!({"A": null, "B": "x"}), "env.A: nothing is not a value"),
        ("env_x", json!({"A=": "hunter2"}), "env_x.\"A=\": the name of a variable contains"),
        ("env", json!("A=hunter2"), "env: expected a table of variables"),
        ("instance_var", json!("A=B"), "instance_var: the name of a variable"),
        ("listen", json!([":1", "example.com:1"]), "listen[1]: `example.com:1` is not an address"),
        ("listen", json!([":1", ":1"]), "listen: \"[::]:1\" is given twice"),
        ("listen", json!((1..=65).collect::<Vec<_>>()), "listen: more than 64 addresses"),
        ("stop_exit_codes", json!([1, 300]), "stop_exit_codes[1]: expected an exit code"),
        ("kill_signal", json!("SIGNOPE"), "kill_signal: expected the name of a signal"),
        ("kill_timeout", json!(-1), "kill_timeout: expected milliseconds"),
        ("max_surge", json!(0), "max_surge: expected a whole number from 1"),
        ("max_parallel", json!(1001), "max_parallel: expected 1 to 1000 workers"),
        ("ready_timeout", json!(0), "ready_timeout: expected at least 1 ms"),
        ("drain_timeout", json!("10d"), "drain_timeout: expected milliseconds"),
        ("livenessProbe", json!({}), "Kubernetes' `livenessProbe` is `live` here"),
        ("out_file", json!("bin"), "out_file: expected a file for the log, found the directory"),
        ("log_sink", json!("splunk"), "log_sink: expected \"journald\", \"syslog\""),
        ("cwd", json!("nowhere"), "cwd: no such directory"),
        ("cwd", json!(5), "cwd: expected a text, found the number 5"),
        ("interpreter", json!("pyhton"), "interpreter: the interpreter \"pyhton\" is not in PATH"),
        ("interpreter", json!("node@18"), "versions are not chosen by name"),
        ("interpreter", json!("./venv/bin/python"), "is not an executable file"),
        ("env_file", json!("none.env"), "none.env\": no such file"),
        ("scirpt", json!("x"), "did you mean `script`?"),
        ("exec", json!("b.js"), "exec: another name of the same field is given: `script`"),
        ("kill_signal", json!("\u{1b}[31m"), "\\u{1b}"),
    ] {
        let bad = site.app(json!({"script": "app.js", field: value})).expect_err(field);
        assert!(bad.contains(part), "{field}: {bad}");
        assert!(!bad.contains("hunter2"), "{bad}");
        assert!(bad.starts_with("command line: "), "{bad}");
    }
}

#[test]
fn arguments_and_variables_are_bounded() {
    let site = Site::new();
    let long = "x".repeat(200_000);
    assert!(site.app(json!({"script": "app.js", "args": [long]})).unwrap_err().contains("128 KiB"));
    assert!(site.app(json!({"script": "app.js", "env": {"A": long}})).unwrap_err().contains("128 KiB"));
    let many: Vec<String> = (0..20).map(|_| "x".repeat(100_000)).collect();
    assert!(site.app(json!({"script": "app.js", "args": many})).unwrap_err().contains("larger than 1 MiB"));
}

#[test]
fn the_sample_and_the_projects_own_file_are_sound() {
    let site = Site::new();
    site.write("server.js", "");
    let mut options = site.options.clone();
    for env_name in [None, Some("production".to_owned())] {
        options.env_name = env_name;
        let loaded = load_text(super::sample(), Format::Toml, "sample", &options)
            .unwrap_or_else(|bad| panic!("{bad}"));
        let names: Vec<_> = loaded.apps.iter().map(|app| app.name.as_str()).collect();
        assert_eq!(names, ["web", "api"]);
    }
    site.program("target/release/examples/hello", "\0");
    let own = include_str!("../../../ecosystem.toml");
    let loaded = site.text(own, Format::Toml).unwrap_or_else(|bad| panic!("{bad}"));
    assert_eq!(loaded.apps[0].listen[0].to_string(), "127.0.0.1:8175");
    assert_eq!(loaded.warnings, []);
}
