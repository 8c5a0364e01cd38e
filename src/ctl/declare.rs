//! What does the user's declaration say? Finds it (file, standard input), lets `config` read it with the caller's
//! surroundings, and turns every problem into a fault.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Map;
use supd_api::{AppView, Fault, FaultCode, Layer, Secret, Source};

use super::args::Selection;
use super::output::Output;
use crate::config::{self, Dialect, Format, Loaded, Options, Problem, Rejected};

/// What `supctl start` without a target looks for, in this order.
const DEFAULT_FILES: [&str; 7] = [
    "ecosystem.toml",
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.json",
    "ecosystem.yaml",
    "ecosystem.yml",
];

/// Longer standard input is no declaration.
const INPUT_BYTES: u64 = 4 << 20;

/// The target that means standard input.
pub(crate) const STDIN: &str = "-";

/// Whether a target names a declaration file. A `/regex/` never does.
pub(crate) fn is_file(target: &str) -> bool {
    !is_pattern(target) && (config::is_declaration_file(target) || target.ends_with(".toml"))
}

/// Whether a target is a `/regex/`.
pub(crate) fn is_pattern(target: &str) -> bool {
    target.len() > 2 && target.starts_with('/') && target.ends_with('/')
}

/// Whether a target is a declaration: a file of one, or standard input.
pub(crate) fn names_declaration(target: &str) -> bool {
    target == STDIN || is_file(target)
}

/// The declaration file of this directory.
///
/// # Errors
/// `NotFound` with the names that were tried.
pub(crate) fn default_file() -> Result<String, Fault> {
    DEFAULT_FILES.iter().find(|name| Path::new(name).is_file()).map(|name| (*name).to_owned()).ok_or_else(
        || {
            Fault::new(
                FaultCode::NotFound,
                format!("no declaration file here; looked for {}", DEFAULT_FILES.join(", ")),
            )
            .hint("`supctl init` writes one, or name a script: `supctl start app.js`")
        },
    )
}

/// The caller's surroundings for a document.
pub(crate) fn options(selection: &Selection, inherit_by_default: bool) -> Options {
    Options {
        cwd: working_directory(),
        caller: caller(),
        inherit_env: selection.inherits(inherit_by_default),
        env_name: selection.env.clone(),
        supctl: own_program(),
        only: selection.only.clone(),
        over: Map::new(),
        dialect: Dialect::Supd,
    }
}

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// All its problems in one.
pub(crate) fn load(target: &str, selection: &Selection) -> Result<Loaded, Rejected> {
    load_with(target, &options(selection, false), selection.format.map(Format::from))
}

/// Reads a file, or standard input for `-` in this format or in the one it seems to be.
///
/// # Errors
/// All its problems in one.
pub(crate) fn load_with(target: &str, options: &Options, format: Option<Format>) -> Result<Loaded, Rejected> {
    if target != STDIN {
        return config::load_file(Path::new(target), options);
    }
    let text = read_input(io::stdin().lock()).map_err(|message| {
        let origin = "standard input".to_owned();
        Rejected { problems: vec![Problem { origin, line: None, path: String::new(), message, hint: None }] }
    })?;
    let format = format.unwrap_or_else(|| match options.dialect {
        Dialect::Supd => guess(&text),
        Dialect::Pm2 => Format::Json,
    });
    config::load_text(&text, format, "standard input", options)
}

/// How the file of an app was read.
pub(crate) fn dialect(source: &Source) -> Dialect {
    if source.base.is_some() { Dialect::Pm2 } else { Dialect::Supd }
}

/// Reads the file an app came from as it is now, for this app only.
///
/// # Errors
/// All its problems in one; `NotFound` when it does not declare the app any more.
pub(crate) fn load_again(app: &AppView, output: &mut Output) -> Result<Option<Loaded>, Fault> {
    let Some(source) = &app.declaration.source else { return Ok(None) };
    let name = app.declaration.name.as_str();
    let inherited = app.declaration.environment.layers.iter().any(|layer| layer.layer == Layer::Caller);
    let options = Options {
        // Not the directory of this command: the file must mean the same wherever `reload` is typed.
        cwd: match &source.base {
            Some(base) => base.clone(),
            None => source.file.parent().map_or_else(working_directory, Path::to_path_buf),
        },
        caller: caller(),
        inherit_env: inherited,
        env_name: source.env_name.clone(),
        supctl: own_program(),
        only: vec![name.to_owned()],
        over: Map::new(),
        dialect: dialect(source),
    };
    let loaded = accept(config::load_file(&source.file, &options), output)?;
    if loaded.apps.iter().any(|declared| declared.name == app.declaration.name) {
        return Ok(Some(loaded));
    }
    Err(Fault::new(
        FaultCode::NotFound,
        format!("{} does not declare `{name}` any more", source.file.display()),
    )
    .hint(format!("`supctl restart {name}` keeps its present declaration, `supctl delete {name}` ends it")))
}

/// Warnings go to standard error, problems become a fault.
///
/// # Errors
/// `Invalid` with all problems.
pub(crate) fn accept(loaded: Result<Loaded, Rejected>, output: &mut Output) -> Result<Loaded, Fault> {
    let loaded = loaded.map_err(|rejected| fault(&rejected))?;
    for warning in &loaded.warnings {
        output.warning(&spell(warning));
    }
    Ok(loaded)
}

/// One problem on one line: `file:line: place: message (remedy)`.
pub(crate) fn spell(problem: &Problem) -> String {
    let mut text = problem.origin.clone();
    if let Some(line) = problem.line {
        text.push_str(&format!(":{line}"));
    }
    for part in [problem.path.as_str(), problem.message.as_str()] {
        if !part.is_empty() {
            text.push_str(": ");
            text.push_str(part);
        }
    }
    match &problem.hint {
        Some(hint) => format!("{text} ({hint})"),
        None => text,
    }
}

/// All problems in one.
pub(crate) fn fault(rejected: &Rejected) -> Fault {
    let lines: Vec<String> = rejected.problems.iter().map(spell).collect();
    Fault::new(FaultCode::Invalid, lines.join("\n"))
}

fn read_input(input: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    input
        .take(INPUT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read it: {error}"))?;
    if bytes.len() as u64 > INPUT_BYTES {
        return Err(format!("longer than {} MiB, which no declaration is", INPUT_BYTES >> 20));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

/// TOML, JSON or YAML, by the first line that says something.
fn guess(text: &str) -> Format {
    let first = text
        .lines()
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or("");
    let table = first.strip_prefix("[[").or_else(|| first.strip_prefix('['));
    if table
        .is_some_and(|name| name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_'))
    {
        return Format::Toml;
    }
    if first.starts_with(['{', '[', '/']) {
        return Format::Json;
    }
    let key_end = first.find([':', '=']);
    if key_end.is_some_and(|at| first.as_bytes()[at] == b'=') { Format::Toml } else { Format::Yaml }
}

/// `$PWD` when it is this directory, so that symbolic links on the way to it are kept.
fn working_directory() -> PathBuf {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let same = |shell: &PathBuf| {
        shell.is_absolute()
            && matches!((fs::metadata(shell), fs::metadata(&here)), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    env::var_os("PWD").map(PathBuf::from).filter(same).unwrap_or(here)
}

/// This program, wherever it was started from.
pub(crate) fn own_program() -> PathBuf {
    env::current_exe().unwrap_or_else(|_| PathBuf::from("supctl"))
}

/// The caller's environment. A declaration is text, so variables that are not UTF-8 are left out.
fn caller() -> BTreeMap<String, Secret> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, Secret::from(value.into_string().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_guessed() {
        for (text, format) in [
            ("[[apps]]\nname = 'a'", Format::Toml),
            ("# apps\n\n[apps.web]", Format::Toml),
            ("name = \"a:b\"", Format::Toml),
            ("[{\"script\": \"a.js\"}]", Format::Json),
            ("// mine\n{ apps: [] }", Format::Json),
            ("{\n}", Format::Json),
            ("[\n]", Format::Json),
            ("apps:\n  - script: a=b", Format::Yaml),
            ("- script: a.js", Format::Yaml),
            ("", Format::Yaml),
        ] {
            assert_eq!(guess(text), format, "{text}");
        }
    }

    #[test]
    fn input_is_bounded_and_text() {
        assert_eq!(read_input(&b"a"[..]).as_deref(), Ok("a"));
        assert_eq!(read_input(&b"ab\xff"[..]), Err("not UTF-8 at byte 2".to_owned()));
        assert!(read_input(io::repeat(b' ')).unwrap_err().starts_with("longer than 4 MiB"));
    }

    #[test]
    fn patterns_are_no_files() {
        assert!(is_file("ecosystem.toml"));
        assert!(!is_file("/web.toml/"));
        assert!(!is_file("web"));
        assert!(is_pattern("/^a/") && !is_pattern("//") && !is_pattern("/usr/bin/env"));
    }

    #[test]
    fn a_problem_reads_like_a_compiler_error() {
        let problem = |line, hint: Option<&str>| Problem {
            origin: "ecosystem.toml".to_owned(),
            line,
            path: "apps[0]".to_owned(),
            message: "unknown field `instnces`".to_owned(),
            hint: hint.map(str::to_owned),
        };
        assert_eq!(
            spell(&problem(Some(3), Some("did you mean `instances`?"))),
            "ecosystem.toml:3: apps[0]: unknown field `instnces` (did you mean `instances`?)"
        );
        assert_eq!(spell(&problem(None, None)), "ecosystem.toml: apps[0]: unknown field `instnces`");
    }
}
