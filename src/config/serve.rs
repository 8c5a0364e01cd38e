//! Files that supd serves itself: `script: "serve"`, and PM2's section `static`.
//!
//! Question answered here: *which app is that?* One whose program is supctl, told by PM2's variables what to serve, and whose
//! socket supd binds, so that several workers share it.

use serde_json::{Map, Value, json};
use supd_api::{Environment, ListenAddress, Program, Secret};

use super::Options;
use super::document::{Data, Entry, Node};
use super::environment::lookup;
use super::paths::Places;
use super::problem::{Place, Report, shown};
use super::read::App;
use super::value::Text;
use crate::nearest::nearest;

/// The word that means it, as in PM2.
pub(super) const SCRIPT: &str = "serve";
/// What supctl is told to become one.
pub const FILE_SERVER: &str = "serve-files";
/// PM2's.
const HOST: &str = "0.0.0.0";
const PORT: &str = "8080";

/// A server of files.
pub(super) struct Server {
    pub(super) program: Program,
    pub(super) listen: ListenAddress,
}

/// The server that this app is. `None`: something was reported.
pub(super) fn server(
    app: &App,
    places: &Places,
    environment: &Environment,
    options: &Options,
    report: &mut Report,
) -> Option<Server> {
    let fields = &app.fields;
    for (field, given) in [
        ("args", fields.args.is_some()),
        ("interpreter", fields.interpreter.as_ref().is_some_and(|text| text.0 != "none")),
        ("node_args", fields.node_args.is_some()),
        ("listen", fields.listen.is_some()),
    ] {
        if given {
            let hint = "write PM2_SERVE_PATH, PM2_SERVE_PORT and PM2_SERVE_HOST into `env`";
            report.warning(&app.at(field), "the field has no effect on `serve`", Some(hint.to_owned()));
        }
    }
    let value = |name: &str| lookup(environment, name).map(Secret::reveal).filter(|value| !value.is_empty());
    let directory = places.absolute(value("PM2_SERVE_PATH").unwrap_or("."));
    if !directory.is_dir() {
        let message = format!("no directory to serve: {}", shown(&directory.to_string_lossy()));
        report.problem(&app.at("env"), message, Some("write its path into PM2_SERVE_PATH".to_owned()));
        return None;
    }
    let (host, port) = (value("PM2_SERVE_HOST").unwrap_or(HOST), value("PM2_SERVE_PORT").unwrap_or(PORT));
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let Ok(listen) = format!("{host}:{port}").parse() else {
        let message =
            format!("PM2_SERVE_HOST and PM2_SERVE_PORT: {} is no address", shown(&format!("{host}:{port}")));
        report.problem(
            &app.at("env"),
            message,
            Some("a numeric host and a port, as in 127.0.0.1 and 8080".to_owned()),
        );
        return None;
    };
    let program = Program {
        script: options.supctl.to_string_lossy().into_owned(),
        interpreter: None,
        interpreter_args: Vec::new(),
        args: vec![FILE_SERVER.to_owned()],
    };
    Some(Server { program, listen })
}

/// Whether this app serves files.
pub(super) fn is_server(app: &App) -> bool {
    matches!(&app.fields.script, Some(Text(script)) if script == SCRIPT)
}

/// The apps that the section `static` of a document stands for.
pub(super) fn from_section(root: &Node, report: &mut Report) -> Vec<(Place, Node)> {
    let Some(Entry { key, line, value }) =
        root.entries().and_then(|entries| entries.iter().find(|entry| entry.key == "static"))
    else {
        return Vec::new();
    };
    let at = Place { line: root.line, path: String::new() }.key(key, *line);
    let one = std::slice::from_ref(value);
    let servers = match &value.data {
        Data::Null => &[],
        Data::List(servers) => servers.as_slice(),
        Data::Bool(_) | Data::Number(_) | Data::Text(_) | Data::Map(_) => one,
    };
    let places = servers.iter().enumerate().map(|(index, server)| (at.index(index, server.line), server));
    places.filter_map(|(place, server)| Some((place.clone(), from_entry(server, &place, report)?))).collect()
}

fn from_entry(server: &Node, place: &Place, report: &mut Report) -> Option<Node> {
    let Some(entries) = server.entries() else {
        let hint = "for example { path = \"./public\", port = 8080 }";
        report.problem(place, "expected a table", Some(hint.to_owned()));
        return None;
    };
    let mut env = Map::new();
    let mut name = None;
    for entry in entries {
        let value = entry.value.to_json();
        match entry.key.as_str() {
            "name" => name = Some(value),
            "path" => drop(env.insert("PM2_SERVE_PATH".to_owned(), value)),
            "port" => drop(env.insert("PM2_SERVE_PORT".to_owned(), value)),
            "host" => drop(env.insert("PM2_SERVE_HOST".to_owned(), value)),
            "spa" => drop(env.insert("PM2_SERVE_SPA".to_owned(), value)),
            "basic_auth" => env.extend(login(value)),
            "ftp" | "monitor" => {}
            key => {
                let known = ["name", "path", "port", "host", "spa", "basic_auth"];
                let hint = nearest(key, known).map(|name| format!("did you mean `{name}`?"));
                report.problem(&place.key(key, entry.line), "unknown field", hint);
                return None;
            }
        }
    }
    let port = match env.get("PM2_SERVE_PORT") {
        Some(Value::String(port)) => port.clone(),
        Some(port) => port.to_string(),
        None => PORT.to_owned(),
    };
    let name = name.unwrap_or_else(|| json!(default_name(&port)));
    Some(Node { line: server.line, ..Node::from_json(json!({ "name": name, "script": SCRIPT, "env": env })) })
}

fn login(value: Value) -> Map<String, Value> {
    let mut env = Map::from_iter([("PM2_SERVE_BASIC_AUTH".to_owned(), Value::from("true"))]);
    for (member, name) in
        [("username", "PM2_SERVE_BASIC_AUTH_USERNAME"), ("password", "PM2_SERVE_BASIC_AUTH_PASSWORD")]
    {
        env.extend(value.get(member).map(|value| (name.to_owned(), value.clone())));
    }
    env
}

/// PM2's name for a server on this port.
pub(super) fn default_name(port: &str) -> String {
    format!("static-page-server-{port}")
}
