//! Files and the shapes of documents.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::{Dialect, Format, Site, load_file};

fn names(site: &Site, text: &str, format: Format) -> Vec<String> {
    let loaded = site.text(text, format).unwrap_or_else(|bad| panic!("{text}: {bad}"));
    loaded.apps.into_iter().map(|app| app.name.to_string()).collect()
}

#[test]
fn shapes_that_pm2_takes() {
    let site = Site::new();
    for (text, expected) in [
        ("{apps: [{script: 'app.js'}, {name: 'b', script: 'app.js'}]}", &["app", "b"][..]),
        ("{apps: {script: 'app.js'}}", &["app"]),
        ("[{script: 'app.js'}]", &["app"]),
        ("{script: 'app.js'}", &["app"]),
        ("{name: 'package', version: '1', pm2: [{script: 'app.js'}]}", &["app"]),
        ("{pm2: {script: 'app.js'}}", &["app"]),
        ("{pm2: {apps: [{script: 'app.js'}]}}", &["app"]),
        ("{$schema: 'x', apps: [{script: 'app.js'}]}", &["app"]),
    ] {
        assert_eq!(names(&site, text, Format::Json), expected, "{text}");
    }
    assert_eq!(names(&site, "apps:\n  - script: app.js\n", Format::Yaml), ["app"]);
    assert_eq!(names(&site, "- script: app.js\n", Format::Yaml), ["app"]);
}

#[test]
fn shapes_that_are_refused() {
    let site = Site::new();
    for (text, format, part) in [
        ("", Format::Toml, "input: the document declares no app"),
        ("", Format::Yaml, "the document is empty"),
        ("# nothing\n", Format::Yaml, "the document is empty"),
        ("", Format::Json, "EOF"),
        ("null", Format::Json, "the document is empty"),
        ("{}", Format::Json, "declares no app"),
        ("[]", Format::Json, "declares no app"),
        ("{apps: []}", Format::Json, "declares no app"),
        ("{apps: null}", Format::Json, "declares no app"),
        ("5", Format::Json, "found a single value"),
        ("{apps: [5]}", Format::Json, "apps[0]: expected a table of fields"),
        ("{apps: 'x'}", Format::Json, "apps: expected a table of fields"),
        (
            "[[app]]\nscript = 'x'\n",
            Format::Toml,
            "input:1: app: unknown key; expected `apps`\n  help: did you mean `apps`?",
        ),
        ("script = 'app.js'\n", Format::Toml, "help: fields of an app belong below `apps`"),
        ("{apps: [{script: 'app.js'}], color: 1}", Format::Json, "color: unknown key"),
        ("[[apps]]\nscript = \n", Format::Toml, "input:2: "),
        (
            "{apps: [{script: 'app.js', script: 'app.js'}]}",
            Format::Json,
            "apps[0].script: the key \"script\" is given twice; first in line 1",
        ),
        (
            "apps:\n- script: a\n  script: b\n",
            Format::Yaml,
            "input:3: apps[0].script: the key \"script\" is given twice",
        ),
        ("{apps: [{script: 'app.js'}]}\0", Format::Json, "input:1: it contains a NUL byte"),
    ] {
        let bad = site.text(text, format).expect_err(text).to_string();
        assert!(bad.contains(part), "{text:?}: {bad}");
    }
    let deploy = site.text("{apps: [{script: 'app.js'}], deploy: {production: {}}}", Format::Json).unwrap();
    assert_eq!((deploy.apps.len(), deploy.warnings.len()), (1, 0));
}

#[test]
fn files_that_are_refused() {
    let site = Site::new();
    site.write("latin.toml", b"# caf\xc3\xa9\n# caf\xe9\n");
    site.write("nul.json", "{}\n\0");
    site.write("big.yaml", vec![b' '; (1 << 20) + 1]);
    site.write("notes.txt", "");
    site.write("secret.toml", "");
    std::fs::create_dir(site.path("dir.json")).unwrap();
    mkfifo(&site.path("pipe.json"), Mode::S_IRWXU).unwrap();
    mkfifo(&site.path("pipe.config.js"), Mode::S_IRWXU).unwrap();
    for (name, part) in [
        ("latin.toml", "latin.toml:2: it is not UTF-8 text"),
        ("nul.json", "nul.json:2: it contains a NUL byte"),
        ("big.yaml", "big.yaml: it is larger than 1 MiB"),
        ("notes.txt", "the name does not tell the format"),
        ("dir.json", "dir.json: it is a directory"),
        ("pipe.json", "it is a named pipe"),
        ("pipe.config.js", "it is a named pipe"),
        ("gone.toml", "gone.toml: no such file"),
        ("gone.config.js", "gone.config.js: no such file"),
    ] {
        let bad = site.file(name).expect_err(name).to_string();
        assert!(bad.contains(part), "{name}: {bad}");
    }
    let odd = std::ffi::OsStr::from_bytes(b"\xff.toml");
    assert!(load_file(Path::new(odd), &site.options).is_err());
}

#[test]
fn paths_begin_at_the_directory_of_the_file_and_keep_links() {
    let site = Site::new();
    site.write("releases/1/app.js", "");
    site.write("releases/1/sub/x.js", "");
    site.write(
        "releases/1/eco.toml",
        "[[apps]]\nscript = 'app.js'\n[[apps]]\ncwd = 'sub'\nscript = './x.js'\n",
    );
    std::os::unix::fs::symlink("releases/1", site.path("current")).unwrap();
    let apps = site.file("current/eco.toml").unwrap().apps;
    assert_eq!(apps[0].cwd, site.path("current"));
    assert_eq!(apps[0].program.script, site.path("current/app.js").to_str().unwrap());
    assert_eq!(apps[0].source.as_ref().unwrap().file, site.path("current/eco.toml"));
    assert_eq!(apps[1].cwd, site.path("current/sub"));
    assert_eq!(apps[1].program.script, site.path("current/sub/x.js").to_str().unwrap());
}

#[test]
fn the_examples_of_the_reference_are_sound() {
    let site = Site::new();
    for (name, text) in [("server.js", ""), ("consume.py", ""), ("tunnel.sh", ""), ("backup.sh", "")] {
        site.write(name, text);
    }
    site.program("bin/pg_isready", "\0binary");
    let reference = include_str!("../../../packaging/docs/ecosystem.md");
    let examples: Vec<_> =
        reference.split("```toml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(examples.len() > 5);
    for example in examples {
        let head =
            if example.starts_with("[[apps]]") { "" } else { "[[apps]]\nscript = 'server.js'\nport = 80\n" };
        let loaded = site
            .text(&format!("{head}{example}"), Format::Toml)
            .unwrap_or_else(|bad| panic!("{example}{bad}"));
        assert_eq!(loaded.warnings, [], "{example}");
    }
}

#[test]
fn pm2_reads_more_leniently_and_from_where_one_stands() {
    let site = Site::new();
    site.write("config/eco.json", "{ apps: [{ script: 'app.js', mine: 1, max_restart: 2 }], mine: 1 }");
    assert!(site.file("config/eco.json").is_err());
    let mut site = site;
    site.options.dialect = Dialect::Pm2;
    let loaded = site.file("config/eco.json").unwrap();
    let app = &loaded.apps[0];
    assert_eq!(app.program.script, site.options.cwd.join("app.js").display().to_string());
    assert_eq!(app.source.as_ref().unwrap().base.as_ref(), Some(&site.options.cwd));
    let warned: Vec<&str> = loaded.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["mine", "apps[0].mine", "apps[0].max_restart"]);
    assert_eq!(loaded.warnings[2].hint.as_deref(), Some("did you mean `max_restarts`?"));
}

#[test]
fn some_fields_lie_over_a_file_and_an_environment_may_be_part_of_the_name() {
    let mut site = Site::new();
    std::fs::create_dir(site.path("there")).unwrap();
    site.write("there/app.js", "");
    let apps = "[{ name: 'one', script: 'app.js', cwd: '/', uid: 'root', append_env_to_name: true, env_prod: {} }, \
        { name: 'two', namespace: 'own', script: 'app.js' }]";
    site.write("eco.yaml", apps);
    site.options.dialect = Dialect::Pm2;
    site.options.env_name = Some("prod".to_owned());
    let over = json!({ "cwd": "there", "uid": "nobody", "gid": 33, "namespace": "given" });
    site.options.over = over.as_object().unwrap().clone();
    let loaded = site.file("eco.yaml").unwrap();
    let [one, two] = &loaded.apps[..] else { panic!("{loaded:?}") };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one-prod", "two"));
    assert_eq!((one.namespace.as_str(), two.namespace.as_str()), ("given", "own"));
    for app in [one, two] {
        assert_eq!(
            (&app.cwd, app.user.as_deref(), app.group.as_deref()),
            (&site.path("there"), Some("nobody"), Some("33"))
        );
        assert_eq!(app.program.script, site.path("there/app.js").display().to_string());
    }
}
