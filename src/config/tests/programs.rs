//! Scripts and interpreters.

use serde_json::json;
use supd_api::{ExecMode, Layer, Program};

use super::{Site, json_of};

fn program(script: &str, interpreter: Option<&str>, first: &[&str], args: &[&str]) -> Program {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Program {
        script: script.to_owned(),
        interpreter: interpreter.map(str::to_owned),
        interpreter_args: owned(first),
        args: owned(args),
    }
}

#[test]
fn scripts_and_their_interpreters() {
    let site = Site::new();
    for name in ["a.mjs", "a.cjs", "a.ts", "a.py", "plain", "my app.js"] {
        site.write(name, "x");
    }
    site.write("perlish", "#!/usr/bin/perl -w\n");
    site.write("nodish", "#!/usr/bin/env node\n");
    site.program("runs", "#!/usr/bin/perl\n");
    site.program("binary", "\x7fELF\0");
    site.program("bin/tool", "#!/usr/bin/env node\n");
    let at = |name: &str| site.path(name).display().to_string();
    for (fields, expected) in [
        (json!({"script": "app.js"}), program(&at("app.js"), Some("node"), &[], &[])),
        (json!({"script": "./a.mjs"}), program(&at("a.mjs"), Some("node"), &[], &[])),
        (json!({"script": "a.cjs"}), program(&at("a.cjs"), Some("node"), &[], &[])),
        (json!({"script": "a.ts"}), program(&at("a.ts"), Some("node"), &[], &[])),
        (json!({"script": "a.py"}), program(&at("a.py"), Some("python3"), &[], &[])),
        (json!({"script": "plain"}), program(&at("plain"), Some("node"), &[], &[])),
        (json!({"script": "perlish"}), program(&at("perlish"), Some("/usr/bin/perl"), &["-w"], &[])),
        (
            json!({"script": "nodish", "node_args": "-r x"}),
            program(&at("nodish"), Some("node"), &["-r", "x"], &[]),
        ),
        (json!({"script": "runs"}), program(&at("runs"), None, &[], &[])),
        (json!({"script": "binary", "args": "a"}), program(&at("binary"), None, &[], &["a"])),
        (json!({"script": "tool"}), program("tool", None, &[], &[])),
        (json!({"script": "tool", "interpreter": "node"}), program(&at("bin/tool"), Some("node"), &[], &[])),
        (json!({"script": "runs", "interpreter": "none"}), program(&at("runs"), None, &[], &[])),
        (
            json!({"script": "app.js", "interpreter": "bin/deno"}),
            program(&at("app.js"), Some(&at("bin/deno")), &[], &[]),
        ),
        (json!({"script": "my app.js"}), program(&at("my app.js"), Some("node"), &[], &[])),
        (json!({"script": "tool --x | cat"}), program("bash", None, &[], &["-c", "tool --x | cat"])),
    ] {
        let name = json!("x");
        let mut fields = fields;
        fields["name"] = name;
        let app = site.app(fields.clone()).unwrap_or_else(|bad| panic!("{fields}: {bad}"));
        assert_eq!(app.program, expected, "{fields}");
    }
}

#[test]
fn a_newer_runtime_is_preferred_where_there_is_one() {
    let site = Site::new();
    site.write("a.ts", "");
    site.program("bin/bun", "\0");
    assert_eq!(site.app(json!({"script": "a.ts"})).unwrap().program.interpreter.as_deref(), Some("bun"));
}

#[test]
fn what_cannot_run_is_told() {
    let site = Site::new();
    site.write("elf", "\x7fELF\0");
    site.write("a.rb", "");
    site.program("native", "\0");
    for (fields, parts) in [
        (json!({}), &["`script` is missing"][..]),
        (json!({"script": " "}), &["`script` is empty"]),
        (json!({"script": "no.js"}), &["no such file", "/no.js", "no program of that name in PATH", "cwd"]),
        (json!({"script": "./no.js"}), &["no such file", "/no.js\"\n"]),
        (json!({"script": "bin"}), &["is a directory"]),
        (json!({"script": "elf"}), &["is not executable", "chmod +x"]),
        (json!({"script": "app.js", "interpreter": "none"}), &["is not executable"]),
        (json!({"script": "a.rb"}), &["needs `ruby`, which is not in PATH"]),
        (json!({"script": "native", "node_args": "-x"}), &["node_args: the script is executed itself"]),
        (json!({"script": "sleep 1", "args": "x"}), &["args: `args` cannot be combined"]),
        (json!({"script": "sleep 1", "interpreter": "node"}), &["interpreter: `interpreter` cannot"]),
        (json!({"script": "42", "name": null}), &["no such file", "only digits", "write `name`"]),
    ] {
        let bad = site.app(fields.clone()).expect_err(&fields.to_string());
        for part in parts {
            assert!(bad.contains(part), "{fields}: {bad}");
        }
    }
}

#[test]
fn programs_are_looked_up_in_the_path_of_the_app() {
    let site = Site::new();
    site.write("a.rb", "");
    site.program("opt/ruby", "\0");
    let path = site.path("opt").display().to_string();
    let app = site.app(json!({"script": "a.rb", "env": {"PATH": path}})).unwrap();
    assert_eq!(app.program.interpreter.as_deref(), Some("ruby"));
}

#[test]
fn modes() {
    let site = Site::new();
    site.write("a.py", "");
    for (fields, mode) in [
        (json!({"script": "app.js"}), ExecMode::Fork),
        (json!({"script": "app.js", "instances": 1}), ExecMode::Fork),
        (json!({"script": "app.js", "instances": 2}), ExecMode::Cluster),
        (json!({"script": "app.js", "instances": "max"}), ExecMode::Cluster),
        (json!({"script": "app.js", "instances": 0}), ExecMode::Cluster),
        (json!({"script": "app.js", "instances": -1}), ExecMode::Cluster),
        (json!({"script": "app.js", "instances": 2, "exec_mode": "fork"}), ExecMode::Fork),
        (json!({"script": "app.js", "exec_mode": "cluster"}), ExecMode::Cluster),
        (json!({"script": "app.js", "instances": 2, "listen": ":80"}), ExecMode::Fork),
        (json!({"script": "a.py", "instances": 2}), ExecMode::Fork),
    ] {
        assert_eq!(site.app(fields.clone()).unwrap().exec_mode, mode, "{fields}");
    }
    let both = site.app(json!({"script": "app.js", "exec_mode": "cluster", "listen": ":80"})).unwrap_err();
    assert!(both.contains("exec_mode: `cluster` and `listen` are two ways"), "{both}");
    let python = site.app(json!({"script": "a.py", "exec_mode": "cluster"})).unwrap_err();
    assert!(python.contains("Node's own protocol") && python.contains("help: write `listen = "), "{python}");
}

#[test]
fn what_follows_from_the_interpreter() {
    let site = Site::new();
    site.write("a.py", "");
    let python = site.app(json!({"script": "a.py"})).unwrap();
    assert_eq!(python.environment.layers[0].layer, Layer::Base);
    assert_eq!(python.environment.layers[0].variables["PYTHONUNBUFFERED"].reveal(), "1");
    for (fields, signal) in [
        (json!({"script": "app.js"}), "SIGINT"),
        (json!({"script": "app.js", "interpreter": "deno"}), "SIGINT"),
        (json!({"script": "a.py"}), "SIGTERM"),
        (json!({"script": "node", "name": "x"}), "SIGINT"),
        (json!({"script": "bash", "name": "x"}), "SIGTERM"),
    ] {
        assert_eq!(site.app(fields).unwrap().stop.kill_signal, signal);
    }
    for (fields, merged) in [
        (json!({"script": "app.js"}), true),
        (json!({"script": "app.js", "exec_mode": "cluster"}), false),
        (json!({"script": "app.js", "instances": 1}), false),
        (json!({"script": "a.py", "instances": 2}), false),
        (json!({"script": "a.py", "instances": 2, "merge_logs": true}), true),
    ] {
        assert_eq!(
            json_of(&site.app(fields.clone()).unwrap())["logs"]["merge_logs"],
            json!(merged),
            "{fields}"
        );
    }
}
