//! Declarations: from what users write to [`AppDeclaration`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use supd_api::{AppDeclaration, Secret};

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
    /// `--only a,b`; empty: all.
    pub only: Vec<String>,
}

/// What a document declares.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The apps in the order of the document.
    pub apps: Vec<AppDeclaration>,
    /// What is accepted but should be known.
    pub warnings: Vec<Problem>,
}

/// One problem in a declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File name, `standard input` or `command line`.
    pub origin: String,
    /// Line from 1, where the format tells.
    pub line: Option<usize>,
    /// Place in the document, e.g. `apps[0].env`.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// The remedy, e.g. the nearest known name.
    pub hint: Option<String>,
}

/// All problems of a document at once; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// In the order of the document.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(out, "{}", problem.message))
    }
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

/// Whether `start NAME` means a declaration file (PM2's rule: by substring of the name) rather than a script.
pub fn is_declaration_file(_name: &str) -> bool {
    false
}

/// Reads a declaration file of any format. `.config.js` and its like are evaluated by `node`, as the caller.
pub fn load_file(_file: &Path, _options: &Options) -> Result<Loaded, Rejected> {
    Err(Rejected { problems: Vec::new() })
}

/// Reads a declaration that is not in a file.
pub fn load_text(
    _text: &str,
    _format: Format,
    _origin: &str,
    _options: &Options,
) -> Result<Loaded, Rejected> {
    Err(Rejected { problems: Vec::new() })
}

/// One app from the fields of a command line: a document of one app with these fields.
pub fn from_fields(_fields: Map<String, Value>, _options: &Options) -> Result<Loaded, Rejected> {
    Err(Rejected { problems: Vec::new() })
}

/// What the daemon checks again about a declaration that came over the socket.
pub fn validate(_app: &AppDeclaration) -> Vec<Problem> {
    Vec::new()
}

/// The JSON schema of a declaration file.
pub fn schema() -> Value {
    Value::Null
}

/// The text that `supctl init` writes.
pub fn sample() -> &'static str {
    ""
}
