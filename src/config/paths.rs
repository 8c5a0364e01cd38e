//! Paths as users write them.

use std::path::{Component, Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::Options;

/// Where relative paths of one app begin, and where its programs are looked for.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Absolute; symbolic links are kept.
    pub(super) cwd: PathBuf,
    /// For `~`.
    pub(super) home: Option<PathBuf>,
    /// `PATH`.
    pub(super) path: String,
}

impl Places {
    /// `text` as an absolute path.
    pub(super) fn absolute(&self, text: &str) -> PathBuf {
        absolute(&self.cwd, self.home.as_deref(), text)
    }

    /// The first program of that name in `PATH` that the caller may execute.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        let directories = self.path.split(':').map(|directory| self.cwd.join(directory));
        directories.map(|directory| directory.join(name)).find(|file| is_executable(file))
    }
}

/// The home directory of the caller.
pub(super) fn home(options: &Options) -> Option<PathBuf> {
    options.caller.get("HOME").map(|home| PathBuf::from(home.reveal())).filter(|home| home.is_absolute())
}

/// `text` as an absolute path below `base`, as the shell's `cd` and Node's `path.resolve` see it: `.` and `..` are
/// resolved by name, so that a path through a symbolic link keeps the link. A leading `~/` is the home directory.
pub(super) fn absolute(base: &Path, home: Option<&Path>, text: &str) -> PathBuf {
    let joined = match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => base.join(text),
    };
    let mut path = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => path.push(component),
        }
    }
    path
}

/// Whether the caller may execute that file.
pub(super) fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths() {
        let home = Path::new("/home/u");
        for (text, path) in [
            ("a.js", "/srv/app/a.js"),
            ("./a/../b", "/srv/app/b"),
            ("..", "/srv"),
            ("../../../..", "/"),
            ("/x", "/x"),
            ("~", "/home/u"),
            ("~/x", "/home/u/x"),
            ("~other/x", "/srv/app/~other/x"),
            ("a~", "/srv/app/a~"),
        ] {
            assert_eq!(absolute(Path::new("/srv/app"), Some(home), text), Path::new(path), "{text}");
        }
    }
}
