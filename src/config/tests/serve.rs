use serde_json::json;
use supd_api::{ExecMode, Instances};

use super::*;

#[test]
fn the_script_serve_is_supctl_with_a_socket_of_supds() {
    let site = Site::new();
    site.write("public/index.html", "");
    let env = json!({ "PM2_SERVE_PATH": "./public", "PM2_SERVE_PORT": 8081, "PM2_SERVE_HOST": "127.0.0.1" });
    let app = site
        .app(json!({ "name": "s", "script": "serve", "env": env, "instances": 2, "exec_mode": "cluster" }))
        .unwrap();
    assert_eq!(app.program.script, site.path("bin/supctl").display().to_string());
    assert_eq!((app.program.interpreter, app.program.args), (None, vec!["serve-files".to_owned()]));
    assert_eq!(app.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:8081"]);
    assert_eq!((app.exec_mode, app.instances), (ExecMode::Fork, Instances::Count(2)));
    let plain = site.app(json!({ "script": "serve" })).unwrap();
    assert_eq!((plain.name.as_str(), plain.listen[0].to_string()), ("serve", "0.0.0.0:8080".to_owned()));
    let six = site.app(json!({ "script": "serve", "env": { "PM2_SERVE_HOST": "::1" } })).unwrap();
    assert_eq!(six.listen[0].to_string(), "[::1]:8080");
    // A file of that name is meant when it is named as one.
    site.program("serve", "\0binary");
    let file = site.app(json!({ "script": "./serve" })).unwrap();
    assert_eq!(file.program.script, site.path("serve").display().to_string());
}

#[test]
fn what_cannot_be_served_is_told() {
    let site = Site::new();
    for (env, part) in [
        (json!({ "PM2_SERVE_PATH": "nowhere" }), "no directory to serve"),
        (json!({ "PM2_SERVE_PORT": "http" }), "0.0.0.0:http"),
        (json!({ "PM2_SERVE_HOST": "example.com" }), "is no address"),
    ] {
        let why = site.app(json!({ "script": "serve", "env": env })).unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

#[test]
fn the_section_static_declares_apps() {
    let site = Site::new();
    site.write("public/index.html", "");
    let text = "{static: [{path: './public', port: 9001, spa: true,
        basic_auth: {username: 'u', password: 'hunter3'}}, {name: 'own', port: '9002'}], apps: [{script: 'app.js'}]}";
    let loaded = site.text(text, Format::Json).unwrap();
    let names: Vec<&str> = loaded.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["app", "static-page-server-9001", "own"]);
    let variables = &loaded.apps[1].environment.layers[1].variables;
    let value = |name: &str| variables[name].reveal();
    assert_eq!((value("PM2_SERVE_SPA"), value("PM2_SERVE_BASIC_AUTH")), ("true", "true"));
    assert_eq!(value("PM2_SERVE_BASIC_AUTH_PASSWORD"), "hunter3");
    assert_eq!(site.text("{static: {port: 9003}}", Format::Json).unwrap().apps.len(), 1);
    for (text, part) in [
        ("{static: [{prot: 9001}]}", "static[0].prot: unknown field"),
        ("{static: ['public']}", "static[0]: expected a table"),
        ("{static: [{port: 1}, {port: 1}]}", "already the name"),
    ] {
        let why = site.text(text, Format::Json).unwrap_err().to_string();
        assert!(why.contains(part), "{why}");
    }
}
