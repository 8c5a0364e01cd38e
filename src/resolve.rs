//! Programs by their names.
//!
//! Question answered here: *which file does this name mean under this `PATH`, and if none, what has become of it?* Pure
//! search: it knows neither client nor supervisor, asks nobody, and starts nothing.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use supd_api::{Environment, EnvironmentLayer};

/// Where execvp(3) of glibc looks when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Tools that keep each version of a language in a directory of its own, which is gone when that version is removed:
/// their name, what the path of such a directory has in it, and how many more parts come before the version's.
const MANAGERS: [(&str, &str, usize); 10] = [
    ("nvm", "nvm/versions/node/", 0),
    ("fnm", "fnm/node-versions/", 0),
    ("fnm", "fnm_multishells/", 0),
    ("volta", ".volta/tools/image/", 1),
    ("asdf", ".asdf/installs/", 1),
    ("mise", "mise/installs/", 1),
    ("nodenv", ".nodenv/versions/", 0),
    ("pyenv", ".pyenv/versions/", 0),
    ("rbenv", ".rbenv/versions/", 0),
    ("rvm", ".rvm/rubies/", 0),
];

/// The `PATH` that a worker gets from the base and the layers above it.
pub fn search_path<'a>(base: &'a EnvironmentLayer, environment: &'a Environment) -> Option<&'a str> {
    let layers = environment.layers.iter().rev().chain([base]);
    layers.filter_map(|layer| layer.variables.get("PATH")).map(supd_api::Secret::reveal).next()
}

/// The first file of that name that `may_execute` accepts, searched as execvp(3) does.
pub fn find(
    program: &str,
    path: Option<&str>,
    cwd: &Path,
    may_execute: impl Fn(&Path) -> bool,
) -> Option<PathBuf> {
    candidates(program, path, cwd).into_iter().find(|file| may_execute(file))
}

/// Whether it is a file that somebody may execute.
pub fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The files that a program's name may mean, in order. A name with a slash is a path; an empty entry of `PATH` is the
/// working directory.
fn candidates(program: &str, path: Option<&str>, cwd: &Path) -> Vec<PathBuf> {
    match program {
        "" => Vec::new(),
        program if program.contains('/') => vec![cwd.join(program)],
        program => path.unwrap_or(DEFAULT_PATH).split(':').map(|part| cwd.join(part).join(program)).collect(),
    }
}

/// Why no file was found. Its text names the program and what is known of its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    program: String,
    vanished: Option<Vanished>,
}

/// A version that a version manager keeps no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Vanished {
    manager: &'static str,
    directory: PathBuf,
    /// The same program of the highest version that is there.
    instead: Option<PathBuf>,
}

/// Finds out why a program that somebody had when the app was declared is not found any more.
pub fn missing(program: &str, path: Option<&str>, cwd: &Path) -> Missing {
    let vanished = candidates(program, path, cwd).iter().find_map(|file| vanished(file));
    Missing { program: program.to_owned(), vanished }
}

impl Missing {
    /// The same program elsewhere, where a version manager has one.
    pub fn instead(&self) -> Option<&Path> {
        self.vanished.as_ref()?.instead.as_deref()
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, vanished } = self;
        match program.contains('/') {
            true => write!(out, "{program} does not exist")?,
            false => write!(out, "`{program}` is not in its PATH")?,
        }
        let Some(Vanished { manager, directory, instead }) = vanished else { return Ok(()) };
        write!(out, "; {manager} no longer has {}", directory.display())?;
        match instead {
            Some(instead) => write!(out, ", but it has {}", instead.display()),
            None => Ok(()),
        }
    }
}

fn vanished(file: &Path) -> Option<Vanished> {
    let text = file.to_str()?;
    for (manager, marker, further) in MANAGERS {
        let Some(at) = text.find(marker) else { continue };
        let (root, rest) = text.split_at(at + marker.len());
        let mut parts = rest.split('/');
        let mut versions = PathBuf::from(root);
        versions.extend(parts.by_ref().take(further));
        let Some(version) = parts.next() else { continue };
        let below: PathBuf = parts.collect();
        let directory = versions.join(version);
        if is_program(file) || below.as_os_str().is_empty() {
            continue;
        }
        return Some(Vanished { manager, directory, instead: newest(&versions, &below) });
    }
    None
}

/// `below` in the directory of the highest version that has it.
fn newest(versions: &Path, below: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(versions).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let with = names.filter(|name| is_program(&versions.join(name).join(below)));
    with.max_by_key(|name| numbers(name)).map(|name| versions.join(name).join(below))
}

/// `v20.11.1` by its numbers, so that 20 is above 9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// The interpreter of a `#!` line and its one argument, split as the kernel does (execve(2)). `env NAME` is NAME.
pub fn shebang(head: &[u8]) -> Option<(String, Vec<String>)> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = str::from_utf8(line).ok()?.trim();
    let (interpreter, argument) = match line.split_once([' ', '\t']) {
        Some((interpreter, argument)) => (interpreter, argument.trim()),
        None => (line, ""),
    };
    if interpreter.is_empty() {
        return None;
    }
    let is_env = interpreter.rsplit('/').next() == Some("env");
    if is_env && !argument.is_empty() && !argument.contains(['-', '=', ' ', '\t']) {
        return Some((argument.to_owned(), Vec::new()));
    }
    let argument = (!argument.is_empty()).then(|| argument.to_owned());
    Some((interpreter.to_owned(), argument.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use supd_api::{Layer, Secret};

    use super::*;

    /// Makes an executable file, with all directories above it.
    fn program(at: &Path) {
        fs::create_dir_all(at.parent().expect("a directory")).expect("directories");
        fs::write(at, "").expect("a file");
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    #[test]
    fn the_search_is_that_of_execvp() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        ["a/tool", "b/tool", "tool", "here"].iter().for_each(|name| program(&at(name)));
        fs::set_permissions(at("a/tool"), fs::Permissions::from_mode(0o644)).expect("its mode");
        let path = format!("{}:{}::/no/such", at("a").display(), at("b").display());
        let find = |name: &str| find(name, Some(&path), dir.path(), is_program);
        assert_eq!(find("tool"), Some(at("b/tool")));
        assert_eq!(find("here"), Some(at("here")), "an empty entry is the working directory");
        assert_eq!(find("./b/tool"), Some(at("./b/tool")));
        assert_eq!([find(""), find("nobody"), find("a/tool")], [None, None, None]);
        assert_eq!(super::find("sh", None, Path::new("/"), is_program), Some("/bin/sh".into()));
    }

    #[test]
    fn the_last_layer_says_the_path() {
        let layer = |path: &str| EnvironmentLayer {
            layer: Layer::Env,
            variables: BTreeMap::from([("PATH".to_owned(), Secret::from(path))]),
        };
        let base = layer("/base");
        let mut environment = Environment::default();
        assert_eq!(search_path(&base, &environment), Some("/base"));
        environment.layers = vec![layer("/first"), layer("/last")];
        assert_eq!(search_path(&base, &environment), Some("/last"));
    }

    #[test]
    fn a_version_that_vanished_is_named_with_the_newest_one_that_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        for (manager, gone, there, newest) in [
            (
                "nvm",
                ".nvm/versions/node/v18.1.0/bin",
                vec!["v9.0.0", "v20.2.0", "v20.10.0"],
                ".nvm/versions/node/v20.10.0/bin/node",
            ),
            (
                "fnm",
                ".local/share/fnm/node-versions/v18.1.0/installation/bin",
                vec!["v22.0.0"],
                ".local/share/fnm/node-versions/v22.0.0/installation/bin/node",
            ),
            (
                "asdf",
                ".asdf/installs/nodejs/18.1.0/bin",
                vec!["20.1.0"],
                ".asdf/installs/nodejs/20.1.0/bin/node",
            ),
            (
                "volta",
                ".volta/tools/image/node/18.1.0/bin",
                vec!["20.1.0"],
                ".volta/tools/image/node/20.1.0/bin/node",
            ),
        ] {
            let (version, newest) =
                (gone.split('/').find(|part| part.contains("18.1")), dir.path().join(newest));
            for other in there {
                program(&dir.path().join(gone.replace(version.expect("a version"), other)).join("node"));
            }
            let gone = dir.path().join(gone);
            let directory = gone.ancestors().find(|part| part.ends_with(version.expect("a version")));
            let text = format!(
                "{manager} no longer has {}, but it has {}",
                directory.expect("the version's").display(),
                newest.display()
            );
            let path = format!("/usr/bin:{}", gone.display());
            let by_name = missing("node", Some(&path), Path::new("/"));
            assert_eq!(by_name.to_string(), format!("`node` is not in its PATH; {text}"));
            assert_eq!(by_name.instead(), Some(newest.as_path()));
            let file = gone.join("node").display().to_string();
            let by_path = missing(&file, None, Path::new("/"));
            assert_eq!(by_path.to_string(), format!("{file} does not exist; {text}"));
        }
    }

    #[test]
    fn what_no_version_manager_had_is_just_missing() {
        let missing =
            |program: &str| missing(program, Some("/usr/bin:/x/.nvm/versions/node"), Path::new("/"));
        assert_eq!(missing("node").to_string(), "`node` is not in its PATH");
        assert_eq!(missing("/opt/node").to_string(), "/opt/node does not exist");
        assert_eq!(
            missing("/x/.pyenv/versions/3.1/bin/python").to_string(),
            "/x/.pyenv/versions/3.1/bin/python does not exist; pyenv no longer has /x/.pyenv/versions/3.1"
        );
    }

    #[test]
    fn shebang_lines() {
        let line = |text: &str| shebang(text.as_bytes());
        let of = |name: &str, args: &[&str]| {
            Some((name.to_owned(), args.iter().map(|a| (*a).to_owned()).collect()))
        };
        assert_eq!(line("#!/bin/sh\nx"), of("/bin/sh", &[]));
        assert_eq!(line("#! /usr/bin/perl -w -T \n"), of("/usr/bin/perl", &["-w -T"]));
        assert_eq!(line("#!/usr/bin/env node\n"), of("node", &[]));
        assert_eq!(line("#!/usr/bin/env -S node -r x\n"), of("/usr/bin/env", &["-S node -r x"]));
        assert_eq!(line("#!\n"), None);
        assert_eq!(line("// js"), None);
    }
}
