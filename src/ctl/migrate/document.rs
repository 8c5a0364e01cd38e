//! What is written: `ecosystem.toml`, and beside it one file with secrets for each app, which only its owner may read.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use supd_api::{Fault, FaultCode};

use super::convert::Converted;
use super::variables::Variables;
use crate::atomic;
use crate::config::{self, Loaded, Options};
use crate::ctl::declare;

/// The file of declarations.
pub(crate) const NAME: &str = "ecosystem.toml";

/// A file to write.
#[derive(Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    mode: u32,
}

/// The files for these apps, the declarations last, all in this absolute directory.
pub(crate) fn files(apps: &[&Converted], origin: &str, directory: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let mut text = format!("# Written by `supctl migrate pm2` from {}.\n", one_line(origin));
    text.push_str("# `supctl check` checks it, `supctl start` starts it, `supctl reload` applies changes.\n");
    for app in apps {
        let env_file = directory.join(env_file_name(&app.name));
        let guarded = &app.variables.guarded;
        table(app, (!guarded.is_empty()).then_some(env_file.as_path()), &mut text);
        if !guarded.is_empty() {
            files.push(File { path: env_file, text: env_text(guarded), mode: 0o600 });
        }
    }
    files.push(File { path: directory.join(NAME), text, mode: 0o644 });
    files
}

/// One part of a path, and that of no other app.
fn env_file_name(app: &str) -> String {
    format!("{}.env", app.replace('%', "%25").replace('/', "%2F"))
}

/// Writes the files, all or none, and reads them back as the loader does.
///
/// # Errors
/// `Conflict` when one is there and may not be overwritten, `Failed` when one cannot be written, `Internal` when what was written
/// does not load.
pub(crate) fn write(files: &[File], force: bool, options: &Options) -> Result<Loaded, Fault> {
    if let Some(present) = files.iter().find(|file| !force && file.path.symlink_metadata().is_ok()) {
        let fault = Fault::new(FaultCode::Conflict, format!("{} exists already", present.path.display()));
        return Err(fault.hint("--force overwrites it, --out DIR writes elsewhere"));
    }
    for file in files {
        let directory = file.path.parent().unwrap_or(Path::new("/"));
        let failed = |error| Fault::new(FaultCode::Failed, format!("{}: {error}", directory.display()));
        fs::create_dir_all(directory).map_err(failed)?;
        let failed = |error| Fault::new(FaultCode::Failed, format!("{}: {error}", file.path.display()));
        atomic::write_with_mode(&file.path, file.text.as_bytes(), file.mode).map_err(failed)?;
    }
    let declarations = files.last().map(|file| file.path.clone()).unwrap_or_default();
    config::load_file(&declarations, options).map_err(|rejected| {
        if !force {
            for file in files {
                let _ = fs::remove_file(&file.path);
            }
        }
        let why = declare::fault(&rejected).message;
        Fault::new(FaultCode::Internal, format!("what was written does not load:\n{why}"))
    })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// One app.
fn table(app: &Converted, env_file: Option<&Path>, text: &mut String) {
    text.push_str("\n[[apps]]\n");
    line("name", &json!(app.name), text);
    let (tables, plain): (Vec<_>, Vec<_>) = app.fields.iter().partition(|(_, value)| value.is_object());
    for (field, value) in plain {
        line(field, value, text);
    }
    if !app.is_up() && !app.fields.contains_key("autostart") {
        line("autostart", &json!(false), text);
    }
    if let Some(file) = env_file {
        line("env_file", &json!(file.display().to_string()), text);
    }
    for (field, value, why) in &app.inactive {
        let _ = writeln!(text, "# {field} = {value}  # {why}");
    }
    let plain: serde_json::Map<String, Value> =
        app.variables.plain.iter().map(|(name, value)| (name.clone(), value.reveal().into())).collect();
    let env = ("env".to_owned(), Value::Object(plain));
    for (field, value) in std::iter::once((&env.0, &env.1)).chain(tables) {
        let Value::Object(variables) = value else { continue };
        if !variables.is_empty() {
            let _ = writeln!(text, "\n[apps.{}]", key(field));
            variables.iter().for_each(|(name, value)| line(name, value, text));
        }
    }
}

fn line(name: &str, value: &Value, text: &mut String) {
    // A value that TOML does not have is `null`, and a field that is null is not declared.
    if let Ok(value) = toml::Value::try_from(value) {
        let _ = writeln!(text, "{} = {value}", key(name));
    }
}

fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        toml::Value::from(name).to_string()
    }
}

fn env_text(variables: &Variables) -> String {
    let mut text = "# Secrets, and variables of the shell that started the app under PM2. Remove what the app does not need.\n".to_owned();
    for (name, value) in variables {
        let _ = writeln!(text, "{name}={}", quoted(value.reveal()));
    }
    text
}

/// As `config/env_file.rs` reads it back: bare where nothing is special, else literally in `'`, else with escapes in `"`.
fn quoted(value: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "._:/-@%+,=".contains(c);
    if value.chars().all(bare) {
        return value.to_owned();
    }
    if !value.contains(['\'', '\n', '\r']) {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}
