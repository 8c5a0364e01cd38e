//! The shape of the house, held by a test: who may import whom, and how large a file and a function may be.
//!
//! `src/ARCHITECTURE.md` explains the floors; the table here is what counts. It reads the sources as rustfmt leaves them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what of ours it may import. A crate and a module of the root package are rooms alike.
const ROOMS: [(&str, &[&str]); 24] = [
    ("api", &[]),
    ("core", &[]),
    ("keeper", &[]),
    ("atomic", &[]),
    ("dates", &[]),
    ("home", &["api"]),
    ("nearest", &[]),
    ("printable", &[]),
    ("processes", &[]),
    ("resolve", &["api"]),
    ("config", &["api", "dates", "nearest", "resolve"]),
    ("logs", &["api", "keeper", "dates"]),
    ("cluster", &["api", "keeper"]),
    ("probe", &["api", "keeper", "printable"]),
    ("notify", &["api", "keeper", "printable"]),
    ("hooks", &["api", "keeper", "printable"]),
    ("metrics", &["api"]),
    ("serve", &[]),
    ("watch", &[]),
    (
        "ctl",
        &["api", "atomic", "config", "cluster", "dates", "home", "nearest", "processes", "resolve", "serve"],
    ),
    (
        "supervisor",
        &[
            "api",
            "core",
            "keeper",
            "config",
            "logs",
            "cluster",
            "hooks",
            "metrics",
            "probe",
            "notify",
            "watch",
            "printable",
            "home",
            "nearest",
            "atomic",
            "resolve",
        ],
    ),
    ("daemon", &["keeper", "home", "processes", "supervisor"]),
    ("bin", &["daemon", "ctl"]),
    (
        "lib",
        &[
            "atomic",
            "dates",
            "home",
            "nearest",
            "printable",
            "processes",
            "resolve",
            "config",
            "logs",
            "cluster",
            "hooks",
            "metrics",
            "probe",
            "notify",
            "serve",
            "watch",
            "ctl",
            "supervisor",
            "daemon",
        ],
    ),
];
const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;

struct Source {
    /// Below `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    fn room(&self) -> String {
        let first = self.path.iter().next().expect("a name").to_string_lossy().into_owned();
        first.trim_end_matches(".rs").to_owned()
    }

    /// How many modules it is below the root of its crate.
    fn depth(&self) -> usize {
        let parts = self.path.iter().count();
        let inner = matches!(self.room().as_str(), "api" | "core" | "keeper");
        let is_root = self.path.ends_with("mod.rs") || self.path.ends_with("lib.rs");
        parts - usize::from(inner) - usize::from(is_root)
    }
}

/// All of `src` that is not there for tests alone, comments and test modules blanked out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "the sources are somewhere else");
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    let is_test = |file: &Path| {
        tests.iter().any(|test| file.starts_with(test) || file == test.with_extension("rs"))
            || file.iter().any(|part| part == "tests" || part == "fixture")
    };
    let files = files.iter().filter(|file| !is_test(file));
    let path = |file: &PathBuf| file.strip_prefix(&root).expect("below src").to_owned();
    files.map(|file| Source { path: path(file), text: code(&read(file)) }).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Where the modules are that this file declares for tests only.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = read(file);
    let is_root = ["mod.rs", "lib.rs"].iter().any(|root| file.ends_with(root));
    let place = if is_root { file.parent().expect("a parent").to_owned() } else { file.with_extension("") };
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let line =
            rest.lines().next()?.trim().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        Some(place.join(line.strip_prefix("mod ")?.strip_suffix(';')?))
    });
    declared.collect()
}

/// Lines that are comments, blank, or of a test module become empty; their number stays.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut until: Option<String> = None;
    let mut previous = "";
    for line in text.lines() {
        let trimmed = line.trim();
        let indent = &line[..line.len() - line.trim_start().len()];
        if until.is_none()
            && previous == "#[cfg(test)]"
            && trimmed.starts_with("mod ")
            && trimmed.ends_with('{')
        {
            until = Some(format!("{indent}}}"));
        }
        let blank = until.is_some() || trimmed.starts_with("//");
        if until.as_deref() == Some(line) {
            until = None;
        }
        lines.push(if blank { "" } else { line });
        previous = trimmed;
    }
    lines.join("\n")
}

/// What of ours is named in it, with the number of the line.
fn imports(source: &Source) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (prefix, kind) in [("crate::", ""), ("supd::", ""), ("supd_", "crate")] {
        for (at, _) in source.text.match_indices(prefix) {
            if source.text[..at]
                .ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '"')
            {
                continue;
            }
            let line = source.text[..at].matches('\n').count() + 1;
            let rest = &source.text[at + prefix.len()..];
            let names = if kind == "crate" { first_name(rest).into_iter().collect() } else { names(rest) };
            found.extend(names.into_iter().map(|name| (name, line)));
        }
    }
    let climb = "super::".repeat(source.depth());
    for (at, _) in source.text.match_indices(&climb).filter(|(at, _)| source.depth() > 1 || *at > 0) {
        let line = source.text[..at].matches('\n').count() + 1;
        found.extend(names(&source.text[at + climb.len()..]).into_iter().map(|name| (name, line)));
    }
    found
}

/// The first names of `a::b`, or of each part of `{a::b, c::{d, e}}`.
fn names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else { return first_name(rest).into_iter().collect() };
    let (mut depth, mut parts) = (1, vec![String::new()]);
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => parts.push(String::new()),
            _ => parts.last_mut().expect("a part").push(letter),
        }
        if depth == 0 {
            break;
        }
    }
    parts.iter().filter_map(|part| first_name(part.trim())).collect()
}

fn first_name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn imports_point_down_only() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.into_iter().collect();
    let mut upward = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources() {
        let room = source.room();
        let Some(allowed) = rooms.get(room.as_str()) else {
            panic!("`{room}` has no place in the table of rooms")
        };
        for (name, line) in imports(&source) {
            // In a member crate `crate::` names its own modules; those that are no rooms are nobody else's.
            let own = matches!(room.as_str(), "api" | "core" | "keeper")
                && !source.text.contains(&format!("supd_{name}"));
            if name == room || own || !rooms.contains_key(name.as_str()) {
                continue;
            }
            used.insert((room.clone(), name.clone()));
            if !allowed.contains(&name.as_str()) {
                upward
                    .push(format!("src/{}:{line}: `{room}` may not import `{name}`", source.path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
    for seen in [("supervisor", "core"), ("supervisor", "config"), ("ctl", "config"), ("bin", "ctl")] {
        assert!(
            used.contains(&(seen.0.to_owned(), seen.1.to_owned())),
            "{seen:?} was not seen: is the reader blind?"
        );
    }
}

#[test]
fn the_core_cannot_touch_the_operating_system() {
    let read =
        |name: &str| read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name).join("Cargo.toml"));
    let dependencies = |manifest: &str| -> BTreeSet<String> {
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        section.lines().filter_map(first_dependency).collect()
    };
    assert_eq!(dependencies(&read("core")), BTreeSet::from(["serde".to_owned()]));
    let api = dependencies(&read("api"));
    let keeper = dependencies(&read("keeper"));
    for (room, of) in [("api", &api), ("keeper", &keeper)] {
        assert!(!of.iter().any(|name| name.starts_with("supd") || name == "tokio"), "{room}: {of:?}");
    }
    assert!(!api.contains("nix") && !api.contains("libc"), "{api:?}");
}

fn first_dependency(line: &str) -> Option<String> {
    let name = line.split(['=', '.', ' ']).next()?.trim();
    (!name.is_empty() && !name.starts_with('#')).then(|| name.to_owned())
}

#[test]
fn files_and_functions_fit_the_eye() {
    let mut large = Vec::new();
    for source in sources() {
        let lines = source.text.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > FILE_LINES {
            large.push(format!(
                "src/{}: {lines} lines of code, {FILE_LINES} are allowed",
                source.path.display()
            ));
        }
        for (name, line, length) in functions(&source.text) {
            if length > FUNCTION_LINES {
                large.push(format!(
                    "src/{}:{line}: `{name}` has {length} lines, {FUNCTION_LINES} are allowed",
                    source.path.display()
                ));
            }
        }
    }
    assert!(large.is_empty(), "{}", large.join("\n"));
}

/// Name, first line and number of lines of code of each function.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let words = line.trim_start();
        let Some((before, after)) = words.split_once("fn ") else { continue };
        let is_item = before.split_whitespace().all(|word| {
            ["const", "async", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub")
        });
        let Some(name) = first_name(after).filter(|_| is_item) else { continue };
        let end = format!("{indent}}}");
        // A function without a body ends with a semicolon, one of a single line with its brace.
        let body = &lines[at..];
        let opens =
            body.iter().position(|line| line.ends_with('{') || line.ends_with(';') || line.ends_with('}'));
        if opens.is_none_or(|opens| !body[opens].ends_with('{')) {
            continue;
        }
        let length = body.iter().position(|line| **line == *end).expect("rustfmt has been here");
        let code = body[..=length].iter().filter(|line| !line.trim().is_empty()).count();
        functions.push((name, at + 1, code));
    }
    functions
}

#[test]
fn every_test_file_is_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = read(&directory.join("main.rs"));
    for entry in fs::read_dir(&directory).expect("the stories").flatten() {
        let name = entry.file_name().to_string_lossy().replace(".rs", "");
        assert!(name == "main" || main.contains(&format!("mod {name};")), "tests/it/{name}.rs is never run");
    }
}

#[test]
fn the_reader_of_sources_reads() {
    let text = code(
        "use crate::{a::b, c::{d, e}};\n// crate::f\n#[cfg(test)]\nmod tests {\n    use crate::g;\n}\nfn h() {\n    1\n}\n",
    );
    let source = Source { path: "room/file.rs".into(), text };
    let names: Vec<String> = imports(&source).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(functions(&source.text), [("h".to_owned(), 7, 3)]);
    let climbing = Source { path: "room/file.rs".into(), text: "use super::super::other::x;\n".into() };
    assert_eq!(imports(&climbing), [("other".to_owned(), 1)]);
}
