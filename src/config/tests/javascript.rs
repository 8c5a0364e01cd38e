//! Declarations that the real `node` evaluates.

use std::time::{Duration, Instant};

use supd_api::Secret;

use super::{Dialect, Format, Site, load_text};
use crate::config::evaluate::{Code, evaluate_within};

/// A site whose caller has the PATH of this test, so that `node` is the real one.
fn site() -> Site {
    let mut site = Site::new();
    let path = std::env::var("PATH").unwrap();
    site.options.caller.insert("PATH".to_owned(), Secret::from(path));
    site
}

fn names(site: &Site, file: &str) -> Vec<String> {
    let loaded = site.file(file).unwrap_or_else(|bad| panic!("{file}: {bad}"));
    loaded.apps.into_iter().map(|app| app.name.to_string()).collect()
}

#[test]
fn every_way_to_export() {
    let site = site();
    for (name, text) in [
        ("a.config.js", "module.exports = { apps: [{ name: 'x', script: 'app.js' }] }"),
        ("b.config.cjs", "exports.apps = { name: 'x', script: 'app.js' }"),
        ("c.config.mjs", "export default { apps: [{ name: 'x', script: 'app.js' }] }"),
        ("d.config.mjs", "export const apps = [{ name: 'x', script: 'app.js' }]"),
        ("e.config.mjs", "export default await Promise.resolve([{ name: 'x', script: 'app.js' }])"),
        ("f.config.js", "module.exports = Promise.resolve({ name: 'x', script: 'app.js' })"),
        (
            "g.config.js",
            "Object.defineProperty(exports, '__esModule', {value: true}); exports.default = {apps: [{name: 'x', script: 'app.js'}]}",
        ),
        ("h.config.js", "import fs from 'fs'\nexport default { apps: [{ name: 'x', script: 'app.js' }] }"),
        (
            "i.config.js.bak",
            "module.exports = [{ name: 'x', script: 'app.js', f() {}, u: undefined }].map(({f, u, ...a}) => a)",
        ),
    ] {
        site.write(name, text);
        if name.starts_with('h') {
            site.write("package.json", "{\"type\": \"module\"}");
        }
        assert_eq!(names(&site, name), ["x"], "{name}");
    }
}

#[test]
fn a_file_may_require_print_and_leave_things_open() {
    let site = site();
    site.write("node_modules/names/index.js", "module.exports = 'x'");
    site.write("part.json", "{\"script\": \"app.js\"}");
    site.write(
        "a.config.js",
        "console.log('to nobody'); setInterval(() => {}, 1000);
         require('fs').writeSync(1, 'nor this\\n');
         module.exports = { apps: [{ ...require('./part'), name: require('names'), script: __dirname + '/app.js',
           drop() {}, env: { CWD: process.cwd(), HERE: __filename, ME: process.env.TOKEN, GONE: undefined } }] }"
            .replace("drop() {},", ""),
    );
    let app = site.file("a.config.js").unwrap_or_else(|bad| panic!("{bad}")).apps.remove(0);
    let variables = super::variables(&app);
    assert_eq!(variables["CWD"], site.options.cwd.to_str().unwrap());
    assert_eq!(variables["ME"], "hunter2");
    assert!(!variables.contains_key("GONE"));
}

#[test]
fn dirname_keeps_the_link_to_the_current_release() {
    let site = site();
    site.write("releases/1/app.js", "");
    site.write("releases/1/a.config.js", "module.exports = { apps: [{ script: 'app.js', cwd: __dirname }] }");
    std::os::unix::fs::symlink("releases/1", site.path("current")).unwrap();
    assert_eq!(site.file("current/a.config.js").unwrap().apps[0].cwd, site.path("current"));
}

#[test]
fn what_goes_wrong_is_told_with_its_line() {
    let site = site();
    for (name, text, part) in [
        ("syntax.config.js", "module.exports = {\n  apps: [\n    {{\n}", "syntax.config.js:3: SyntaxError: "),
        ("syntax.config.mjs", "export default {\n  apps: [[\n    }\n", "SyntaxError: "),
        (
            "throws.config.js",
            "\nundefinedName.x\n",
            "throws.config.js:2: ReferenceError: undefinedName is not defined",
        ),
        ("throws.config.mjs", "\nundefinedName.x\n", "throws.config.mjs:2: ReferenceError: "),
        (
            "missing.config.js",
            "require('not-there')",
            "missing.config.js:1: Error: Cannot find module 'not-there'",
        ),
        ("odd.config.js", "throw 'hunter2'", "odd.config.js: it throws string"),
        ("rejects.config.js", "module.exports = Promise.reject(new Error('late'))", "Error: late"),
        (
            "function.config.js",
            "module.exports = () => ({})",
            "found \"function\"\n  help: write `module.exports",
        ),
        ("nothing.config.mjs", "", "the document declares no app"),
        ("empty.config.js", "", "the document declares no app"),
        ("null.config.js", "module.exports = null", "found \"null\""),
        (
            "cycle.config.js",
            "const a = {}; a.a = a; module.exports = a",
            "TypeError: Converting circular structure",
        ),
        (
            "exits.config.js",
            "process.exit(3)",
            "`node` ended before the file had exported anything (exit status: 3)",
        ),
        ("huge.config.js", "module.exports = { apps: 'x'.repeat(3e6) }", "it exports more than 1 MiB"),
        (
            "deep.config.js",
            "let a = []; for (let i = 0; i < 1000; i++) a = [a]; module.exports = a",
            "cannot be read",
        ),
        (
            "typo.config.js",
            "module.exports = { apps: [{ script: 'app.js', max_restart: 1 }] }",
            "apps[0].max_restart: unknown field",
        ),
    ] {
        site.write(name, text);
        let bad = site.file(name).expect_err(name).to_string();
        assert!(bad.contains(part), "{name}: {bad}");
    }
}

#[test]
fn a_file_that_never_ends_is_ended() {
    let site = site();
    for (name, text) in [
        ("loop.config.js", "while (true) {}"),
        ("wait.config.mjs", "await new Promise(() => setTimeout(() => {}, 1e9))"),
    ] {
        let file = site.write(name, text);
        let failure =
            evaluate_within(Duration::from_secs(1), &file, Code::Module, &site.options).unwrap_err();
        assert!(failure.message.contains("took longer than 1s"), "{name}: {}", failure.message);
    }
}

#[test]
fn what_a_file_starts_ends_with_its_evaluation() {
    let site = site();
    site.write(
        "a.config.js",
        "const { pid } = require('child_process').spawn('sleep', ['1000'], { stdio: 'ignore' });
         module.exports = { apps: [{ script: 'app.js', env: { PID: pid } }] }",
    );
    let app = site.file("a.config.js").unwrap_or_else(|bad| panic!("{bad}")).apps.remove(0);
    let child = super::variables(&app)["PID"].parse().unwrap();
    assert!(is_gone(child), "the child lives on");
}

/// Whether a process that has been sent SIGKILL is gone, or only waits to be reaped by whoever inherited it.
fn is_gone(pid: i32) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => return true,
            Ok(stat) if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) => {
                return true;
            }
            Ok(_) => std::thread::yield_now(),
        }
    }
    false
}

#[test]
fn without_node_the_remedy_is_named() {
    let mut site = Site::new();
    site.options.caller.insert("PATH".to_owned(), Secret::from("/nowhere"));
    site.write("a.config.js", "module.exports = {}");
    let bad = site.file("a.config.js").unwrap_err().to_string();
    assert!(bad.contains("`node` is needed") && bad.contains("help: install Node"), "{bad}");
}

#[test]
fn a_json_is_an_expression_to_pm2() {
    let mut site = site();
    site.write("a.json", "// ours\n[{ name: 'x', script: ['app', 'js'].join('.') }]");
    site.write("b.json", "{ apps: [ }");
    assert!(site.file("a.json").is_err(), "supd takes JSON");
    site.options.dialect = Dialect::Pm2;
    assert_eq!(names(&site, "a.json"), ["x"]);
    let bad = site.file("b.json").unwrap_err().to_string();
    assert!(bad.contains("b.json:1: not valid JSON"), "{bad}");
    // So is what comes from a pipe.
    let piped = |text: &str| load_text(text, Format::Json, "standard input", &site.options);
    let loaded = piped("// ours\n[{ name: 'y', script: ['app', 'js'].join('.') }]").unwrap();
    assert_eq!(loaded.apps[0].name.as_str(), "y");
    assert!(piped("[{").unwrap_err().to_string().contains("standard input:1: not valid JSON"));
}
