//! Which release does a `current` link mean? Found out when a version is accepted and kept with it, so that a worker that
//! crashes, and one that goes back after a failed reload, is started from the release that was proven and not from
//! wherever the link points by then.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use supd_api::AppDeclaration;

/// Where a version is, without symbolic links in its directories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// Working directory.
    pub(crate) cwd: PathBuf,
    /// What [`supd_api::Program::script`] means.
    pub(crate) script: String,
    /// What [`supd_api::Program::interpreter`] means.
    pub(crate) interpreter: Option<String>,
}

impl Pin {
    /// Looks where the declaration leads now. What cannot be found stays as it is declared: starting it will tell.
    pub(crate) fn new(app: &AppDeclaration) -> Self {
        let cwd = app.cwd.canonicalize().unwrap_or_else(|_| app.cwd.clone());
        let pinned = |path: &str| pinned(path, &app.cwd, &cwd);
        Self {
            script: pinned(&app.program.script),
            interpreter: app.program.interpreter.as_deref().map(pinned),
            cwd,
        }
    }

    /// Whether its directory is still there; the release may have been cleared away while the machine was off.
    pub(crate) fn exists(&self) -> bool {
        self.cwd.is_dir()
    }
}

/// Only the directory is looked through: the file itself may be a link whose name means something, as the `python` of a
/// virtual environment.
fn pinned(path: &str, declared: &Path, cwd: &Path) -> String {
    let file = Path::new(path);
    if !file.is_absolute() {
        return path.to_owned();
    }
    let moved = file.strip_prefix(declared).map(|inside| cwd.join(inside));
    let directory = file.parent().zip(file.file_name());
    let real = || directory.and_then(|(parent, name)| Some(parent.canonicalize().ok()?.join(name)));
    let found = moved.ok().or_else(real).and_then(|path| path.to_str().map(str::to_owned));
    found.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_directories_are_followed_and_the_file_is_left() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1/bin")).unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        std::os::unix::fs::symlink("/bin/sh", root.join("releases/1/bin/python")).unwrap();
        let (declared, real) = (root.join("current"), root.join("releases/1"));
        let at = |base: &Path, inside: &str| base.join(inside).to_str().unwrap().to_owned();
        assert_eq!(pinned(&at(&declared, "bin/python"), &declared, &real), at(&real, "bin/python"));
        // Outside of the working directory as well.
        assert_eq!(
            pinned(&at(&declared, "bin/python"), Path::new("/"), Path::new("/")),
            at(&declared, "bin/python")
        );
        let other = Path::new("/nowhere");
        assert_eq!(pinned(&at(&declared, "bin/python"), other, other), at(&real, "bin/python"));
        for same in ["node", "npm", "/missing/file", "/bin"] {
            assert_eq!(pinned(same, other, other), same);
        }
    }
}
