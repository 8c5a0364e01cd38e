use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use supd_api::{AppDeclaration, Environment, FaultCode, Secret};

use super::convert::{Converted, convert};
use super::plan::Plan;
use super::process::{group, parse_dump};
use super::variables::Variables;
use super::{declaration, document, options};

/// A dump as PM2 7 writes it, with made-up values; `@DIR@` is where everything is.
const DUMP: &str = include_str!("testdata/dump.pm2");

/// A directory with all that the dump names, but one script.
fn site() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    for program in ["app.js", "other.js", "tick.sh", "server", "bin/node", "bin/bash"] {
        let file = dir.path().join(program);
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    dir
}

fn caller() -> Variables {
    let own = [("HOME", "/home/u"), ("SHELL", "/bin/bash"), ("LANG", "C.UTF-8"), ("USER", "deploy")];
    let shared = [("CORP_PROXY", "proxy.example.org:3128")];
    own.into_iter().chain(shared).map(|(name, value)| (name.to_owned(), Secret::from(value))).collect()
}

fn plan(dump: &str, directory: &Path) -> Plan {
    let dump = dump.replace("@DIR@", directory.to_str().unwrap());
    let (apps, modules) = group(parse_dump(dump.as_bytes()).unwrap());
    Plan::new(convert(&apps, &caller()), modules, "dump.pm2".to_owned(), None)
}

fn files(plan: &Plan, directory: &Path) -> Vec<document::File> {
    let apps: Vec<&Converted> = plan.apps.iter().map(|planned| &planned.app).collect();
    document::files(&apps, &plan.origin, directory)
}

/// All variables of a declaration, whichever layer they are in.
fn variables(environment: &Environment) -> BTreeMap<&str, &str> {
    let all = environment.layers.iter().flat_map(|layer| &layer.variables);
    all.map(|(name, value)| (name.as_str(), value.reveal())).collect()
}

/// What was written is what was converted, but for where it was declared.
fn same(written: &AppDeclaration, converted: &AppDeclaration) {
    assert_eq!(variables(&written.environment), variables(&converted.environment));
    let mut written = written.clone();
    written.source = None;
    written.environment = converted.environment.clone();
    written.autostart = converted.autostart;
    assert_eq!(&written, converted);
}

#[test]
fn the_plan_names_all_that_changes_and_no_value() {
    let site = site();
    let plan = plan(DUMP, site.path());
    let text = plan.text().replace(site.path().to_str().unwrap(), "@DIR@");
    insta::assert_snapshot!("plan", text);
    let document = plan.document(&[]);
    let names: Vec<&Value> = document["apps"].as_array().unwrap().iter().map(|app| &app["name"]).collect();
    assert_eq!(names, ["web", "tick", "app-7", "web-2"]);
    assert_eq!(document["modules"], json!(["pm2-logrotate"]));
    assert_eq!(document["refused"][0]["name"], "gone");
    for told in [text, document.to_string()] {
        assert!(!told.contains("token'") && !told.contains("made-up"), "{told}");
    }
}

#[test]
fn what_is_written_is_readable_to_people_and_loads() {
    let site = site();
    let plan = plan(DUMP, site.path());
    let out = site.path().join("out");
    fs::create_dir(site.path().join("lib")).unwrap();
    let files = files(&plan, &out);
    let loaded = document::write(&files, false, &options()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let all: String = files
        .iter()
        .map(|file| {
            let mode = fs::metadata(&file.path).unwrap().permissions().mode() & 0o777;
            assert_eq!(fs::read_to_string(&file.path).unwrap(), file.text);
            format!("== {} {mode:o}\n{}", file.path.file_name().unwrap().display(), file.text)
        })
        .collect();
    insta::assert_snapshot!("files", all.replace(site.path().to_str().unwrap(), "@DIR@"));
    assert_eq!(loaded.apps.len(), plan.apps.len());
    for (written, planned) in loaded.apps.iter().zip(&plan.apps) {
        same(written, &declaration(&planned.app).unwrap());
    }
}

#[test]
fn a_name_stays_what_it_is_unless_it_would_be_a_path() {
    let site = site();
    let called = ["@org/api", "@org-api", "../api", "a//b"];
    let record =
        |name: &&str| json!({ "name": name, "pm_exec_path": "@DIR@/server", "env": { "SECRET": "x" } });
    let records: Vec<Value> = called.iter().map(record).collect();
    let plan = plan(&json!(records).to_string(), site.path());
    let names: Vec<&str> = plan.apps.iter().map(|app| app.app.name.as_str()).collect();
    assert_eq!(names, ["@org/api", "@org-api", "..-api", "a--b"]);
    let out = site.path().join("out");
    let files = files(&plan, &out);
    let paths: BTreeSet<_> = files.iter().map(|file| file.path.as_path()).collect();
    assert!(paths.len() == files.len() && paths.contains(out.join("@org%2Fapi.env").as_path()), "{paths:?}");
    assert!(paths.iter().all(|path| path.parent() == Some(&out)), "{paths:?}");
}

#[test]
fn nothing_is_overwritten_unless_told() {
    let site = site();
    let plan = plan(DUMP, site.path());
    let files = files(&plan, site.path());
    let env = site.path().join("web.env");
    fs::write(&env, "MINE=1\n").unwrap();
    let fault = document::write(&files, false, &options()).unwrap_err();
    assert_eq!(fault.code, FaultCode::Conflict);
    assert_eq!(fs::read_to_string(&env).unwrap(), "MINE=1\n");
    assert!(!site.path().join("ecosystem.toml").exists());
    document::write(&files, true, &options()).unwrap();
    assert_eq!(fs::metadata(env).unwrap().permissions().mode() & 0o777, 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn whatever_pm2_has_is_written_as_it_is_converted(
        env in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_.-]{0,8}", "\\PC*|[ -~\\n\\r\\t]*|[0-9a-z:/.]*", 0..8),
        args in proptest::collection::vec("\\PC*|[ -~\\n]*", 0..4),
        name in "\\PC{1,20}",
        count in 1_usize..4,
    ) {
        let site = site();
        let record = json!({
            "name": name, "pm_exec_path": "@DIR@/server", "exec_interpreter": "none", "pm_cwd": "@DIR@",
            "args": args, "env": env, "env_production": env,
        });
        let records: Vec<&Value> = std::iter::repeat_n(&record, count).collect();
        let plan = plan(&json!(records).to_string(), site.path());
        prop_assert_eq!(plan.apps.len(), 1);
        let loaded = document::write(&files(&plan, &site.path().join("out")), false, &options()).unwrap();
        same(&loaded.apps[0], &declaration(&plan.apps[0].app).unwrap());
    }
}
