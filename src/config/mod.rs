//! Declarations: from what users write to [`AppDeclaration`].
//!
//! Question answered here: *what did the user mean, and is it acceptable?* All problems are told at once, each with
//! its place and remedy. This runs in the CLI as the calling user; of it only [`validate()`] and
//! [`rotation_field()`] also run in the daemon.
//! It may not talk to the daemon, and it starts nothing but `node` for a declaration that is JavaScript.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use supd_api::{AppDeclaration, AppName, DeclaredRotation, Millis, RotationField, Secret};

mod advice;
mod autoscale;
mod depends;
mod document;
mod document_file;
mod env_file;
mod environment;
mod evaluate;
mod fields;
mod logs;
mod paths;
mod probe_fields;
mod probes;
mod problem;
mod program;
mod read;
mod resolve;
mod schema;
mod serve;
mod typescript;
mod validate;
mod value;
mod vocabulary;
mod watch;
mod words;

#[cfg(test)]
mod tests;

pub use depends::{Order, circle, in_order, spelled};
pub use problem::{Problem, Rejected};
pub use serve::FILE_SERVER;

use document::{Node, SyntaxError};
use document_file::Kind;
use evaluate::Code;
use problem::{Place, Report};
use read::Layout;
use resolve::Ground;

/// Everything outside the document that decides what it means.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the caller, absolute, symbolic links kept (`$PWD`).
    pub cwd: PathBuf,
    /// The caller's environment, for `inherit_env`, `~` and the lookup of programs.
    pub caller: BTreeMap<String, Secret>,
    /// `--inherit-env`, or a script started as with PM2: the caller's environment becomes a layer.
    pub inherit_env: bool,
    /// `--env NAME`.
    pub env_name: Option<String>,
    /// The program that serves files when it is told to: supctl itself. For `script: "serve"`.
    pub supctl: PathBuf,
    /// `--only a,b`; empty: all.
    pub only: Vec<String>,
    /// Fields that lie over those of each app of a file, as some flags of PM2's do: `cwd`, `uid`, `gid`, `watch`; and `namespace` where
    /// an app has none.
    pub over: Map<String, Value>,
    /// What the document may take for granted.
    pub dialect: Dialect,
}

/// For whom a document was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Its relative paths begin at its own directory, and what is not understood is an error.
    #[default]
    Supd,
    /// Its relative paths begin at [`Options::cwd`]; fields that nobody knows are warned of, for PM2 ignores them; a `.json` may be
    /// JavaScript.
    Pm2,
}

/// What a document declares.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The apps in the order of the document.
    pub apps: Vec<AppDeclaration>,
    /// What is accepted but should be known.
    pub warnings: Vec<Problem>,
}

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// JSON, with comments and trailing commas allowed.
    Json,
    /// YAML.
    Yaml,
}

/// Whether `start NAME` means a declaration file (PM2's rule: by substring of the file's name) rather than a script.
pub fn is_declaration_file(name: &str) -> bool {
    document_file::kind(name).is_some()
}

/// Reads a declaration file of any format. `.config.js` and its like are evaluated by `node`, as the caller.
///
/// Relative paths in it begin where [`Options::dialect`] says. A relative `file` begins at [`Options::cwd`].
///
/// # Errors
/// [`Rejected`] with every problem found: unreadable, not in its format, unknown or unfit fields, missing programs.
pub fn load_file(file: &Path, options: &Options) -> Result<Loaded, Rejected> {
    let mut report = Report::for_dialect(file.display().to_string(), options.dialect);
    let node = match read_file(file, options) {
        Ok(node) => node,
        Err((place, message, hint)) => {
            report.problem(&place, message, hint);
            return report.finish().map(|warnings| Loaded { apps: Vec::new(), warnings });
        }
    };
    let absolute = paths::absolute(&options.cwd, None, &file.to_string_lossy());
    let base = match options.dialect {
        Dialect::Supd => absolute.parent().map_or_else(|| options.cwd.clone(), Path::to_path_buf),
        Dialect::Pm2 => options.cwd.clone(),
    };
    let strict = document_file::kind(&file.to_string_lossy()) == Some(Kind::Text(Format::Toml));
    let layout = if strict { Layout::Strict } else { Layout::Pm2 };
    load(&node, layout, &Ground { base, file: Some(absolute), options }, report)
}

/// The section `deploy` of a declaration file, if it has one. What it means is its reader's business.
///
/// # Errors
/// [`Rejected`]: the file cannot be read, or is not in its format.
pub fn deploy_section(file: &Path, options: &Options) -> Result<Option<Value>, Rejected> {
    let mut report = Report::new(file.display().to_string());
    match read_file(file, options) {
        Ok(node) => {
            let member = |entries: &[document::Entry]| {
                entries.iter().find(|entry| entry.key == "deploy").map(|entry| entry.value.to_json())
            };
            Ok(node.entries().and_then(member))
        }
        Err((place, message, hint)) => {
            report.problem(&place, message, hint);
            report.finish().map(|_| None)
        }
    }
}

/// Reads a declaration that is not in a file. Relative paths in it begin at [`Options::cwd`].
///
/// # Errors
/// [`Rejected`] with every problem found.
pub fn load_text(text: &str, format: Format, origin: &str, options: &Options) -> Result<Loaded, Rejected> {
    let mut report = Report::for_dialect(origin, options.dialect);
    let checked = document_file::check_str(text).map_err(|bad| (bad.line, bad.message));
    let parsed = checked.and_then(|()| parse(text, format).map_err(|bad| (bad.line, bad.message)));
    let parsed = match (options.dialect, format) {
        (Dialect::Pm2, Format::Json) => parsed
            .or_else(|wrong| evaluate::evaluate_text(text, options).map(Node::from_json).map_err(|_| wrong)),
        (Dialect::Pm2 | Dialect::Supd, _) => parsed,
    };
    match parsed {
        Ok(node) => {
            let layout = if format == Format::Toml { Layout::Strict } else { Layout::Pm2 };
            let ground = Ground { base: options.cwd.clone(), file: None, options };
            load(&node, layout, &ground, report)
        }
        Err((line, message)) => {
            report.problem(&Place { line, path: String::new() }, message, None);
            report.finish().map(|warnings| Loaded { apps: Vec::new(), warnings })
        }
    }
}

/// One app from the fields of a command line: a document of one app with these fields.
///
/// # Errors
/// [`Rejected`] with every problem found.
pub fn from_fields(fields: Map<String, Value>, options: &Options) -> Result<Loaded, Rejected> {
    let node = Node::from_json(Value::Object(fields));
    let ground = Ground { base: options.cwd.clone(), file: None, options };
    load(&node, Layout::Single, &ground, Report::new("command line"))
}

/// A span of time as the fields take it: `500ms`, `5s`, `2m`, `1h`, or a bare number of milliseconds.
///
/// # Errors
/// What was expected, and what was found.
pub fn span(text: &str) -> Result<Millis, String> {
    value::Span::try_from(Value::from(text)).map(|value::Span(span)| span)
}

/// `text` as an absolute path below `base`, as paths in a declaration are meant; `.` and `..` are resolved by name.
pub fn absolute(base: &Path, text: &str) -> PathBuf {
    paths::absolute(base, None, text)
}

/// What PM2 calls a server of files on this port.
pub fn server_name(port: u16) -> String {
    serve::default_name(&port.to_string())
}

/// One member of a rotation from a text, as the field of a declaration that stands for it takes it.
///
/// # Errors
/// What was expected, and what was found.
pub fn rotation_field(field: RotationField, text: &str) -> Result<DeclaredRotation, String> {
    logs::rotation_field(field, text)
}

/// What the daemon checks again about a declaration that came over the socket; empty: nothing is wrong. The path of
/// each problem is the name of the field.
pub fn validate(app: &AppDeclaration) -> Vec<Problem> {
    validate::validate(app)
}

/// Why a field that is understood has no effect; `None`: it has one, or there is no such field.
pub fn without_effect(field: &str) -> Option<&'static str> {
    match fields::vocabulary().field(field) {
        Err(vocabulary::NoField::Inert(why)) => Some(why),
        Ok(_) | Err(vocabulary::NoField::Foreign(_) | vocabulary::NoField::Unknown(_)) => None,
    }
}

/// The JSON schema of a declaration file.
pub fn schema() -> Value {
    schema::schema()
}

/// The text that `supctl init` writes.
pub fn sample() -> &'static str {
    include_str!("sample.toml")
}

fn parse(text: &str, format: Format) -> Result<Node, SyntaxError> {
    match format {
        Format::Toml => document::parse_toml(text),
        Format::Json => document::parse_json(text),
        Format::Yaml => document::parse_yaml(text),
    }
}

type Fault = (Place, String, Option<String>);

fn read_file(file: &Path, options: &Options) -> Result<Node, Fault> {
    let name = file.to_string_lossy();
    let absolute = paths::absolute(&options.cwd, None, &name);
    let at = |line| Place { line, path: String::new() };
    match document_file::kind(&name) {
        None => {
            let hint = "known are .toml, .json, .yaml, .yml, .config.js, .config.cjs and .config.mjs";
            Err((
                at(None),
                "the name does not tell the format of a declaration".to_owned(),
                Some(hint.to_owned()),
            ))
        }
        Some(Kind::JavaScript) => {
            let exported = evaluate::evaluate(&absolute, Code::Module, options);
            exported.map(Node::from_json).map_err(|failure| (at(failure.line), failure.message, failure.hint))
        }
        Some(Kind::Text(format)) => {
            let text =
                document_file::read_text(&absolute).map_err(|bad| (at(bad.line), bad.message, None))?;
            let parsed = parse(&text, format).map_err(|bad| (at(bad.line), bad.message, None));
            if parsed.is_ok() || options.dialect != Dialect::Pm2 || format != Format::Json {
                return parsed;
            }
            // To PM2 it is an expression of JavaScript. When it is none of these either, its faults as JSON are told.
            evaluate::evaluate(&absolute, Code::Expression, options)
                .map_or(parsed, |exported| Ok(Node::from_json(exported)))
        }
    }
}

fn load(node: &Node, layout: Layout, ground: &Ground<'_>, mut report: Report) -> Result<Loaded, Rejected> {
    let options = ground.options;
    if ground.base.to_str().is_none() {
        report.problem(&Place::default(), "the path of its directory is not UTF-8 text", None);
    }
    node.report_duplicates(&Place::default(), &mut report);
    let over = Node::from_json(Value::Object(options.over.clone()));
    let over = read::app(&over, Place { line: None, path: "flags".to_owned() }, &mut report);
    let mut names = BTreeMap::new();
    let mut apps = Vec::new();
    let mut ordered = depends::Ordered::default();
    let served = serve::from_section(node, &mut report);
    let served = served.iter().map(|(place, node)| (place.clone(), node));
    for (place, node) in read::apps(node, layout, &mut report).into_iter().chain(served) {
        if report.is_full() {
            break;
        }
        let Some(mut app) = read::app(node, place, &mut report) else { continue };
        app.fields.lie_under(over.as_ref().map(|over| &over.fields));
        let name = resolve::name(&app, options, &mut report);
        if let Some(name) = &name
            && let Some(first) = names.insert(name.clone(), app.place().clone())
        {
            let hint = Some("names are unique; for several workers write `instances`".to_owned());
            let line = first.line.map(|line| format!(" in line {line}")).unwrap_or_default();
            report.problem(
                &app.at("name"),
                format!("`{name}` is already the name of `{}`{line}", first.path),
                hint,
            );
        }
        if let (Some(name), Some(declared)) = (&name, resolve::declared_name(&app)) {
            ordered.note(&app, name, declared);
        }
        if options.only.is_empty()
            || name.as_ref().is_some_and(|name| options.only.iter().any(|only| only == name.as_str()))
        {
            apps.extend(resolve::app(&app, name, ground, &mut report));
        }
    }
    ordered.check(&mut apps, &mut report);
    check_only(&options.only, &names.into_keys().collect(), &mut report);
    let warnings = report.finish()?;
    Ok(Loaded { apps, warnings })
}

fn check_only(only: &[String], names: &BTreeSet<AppName>, report: &mut Report) {
    for only in only.iter().filter(|only| !names.iter().any(|name| name.as_str() == only.as_str())) {
        let nearest = crate::nearest::nearest(only, names.iter().map(AppName::as_str));
        let hint = nearest.map(|name| format!("did you mean `{name}`?"));
        report.problem(&Place::default(), format!("no app is named {}", problem::shown(only)), hint);
    }
}
