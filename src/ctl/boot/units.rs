//! Which units start the daemon of a home?
//!
//! By the files where systemd looks for them (systemd.unit(5)), so that one is found under whatever name, whoever wrote it,
//! and also while no systemd can be asked.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::place::Owner;
use super::unit::{Said, Scope, read};

/// Where the machine's units are, and below these `user` instead of `system` those for every user; the first one wins.
const ROOTS: [&str; 5] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];

/// A unit file that starts a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) scope: Scope,
    /// Such as `supd.service`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) said: Said,
}

/// The directory for units that are written by hand.
pub(crate) fn written_in(scope: Scope, owner: &Owner) -> PathBuf {
    match scope {
        Scope::System => PathBuf::from("/etc/systemd/system"),
        Scope::User => {
            let set = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let own = set.filter(|_| owner.is_caller());
            own.unwrap_or_else(|| owner.directory.join(".config")).join("systemd/user")
        }
    }
}

/// The directory whose units are gone after the next boot.
pub(crate) fn kept_until_boot(scope: Scope, owner: &Owner) -> PathBuf {
    match scope {
        Scope::System => PathBuf::from("/run/systemd/system"),
        Scope::User => PathBuf::from(format!("/run/user/{}/systemd/user", owner.uid)),
    }
}

/// All units that start the daemon of this home.
pub(crate) fn of_home(home: &Path, owner: &Owner) -> Vec<Found> {
    let mut found = Vec::new();
    for (scope, below) in [(Scope::System, "system"), (Scope::User, "user")] {
        let own = [written_in(scope, owner), kept_until_boot(scope, owner)];
        let directories = own.into_iter().chain(ROOTS.map(|root| Path::new(root).join(below)));
        found.extend(in_directories(scope, directories, owner).into_iter().filter(|unit| {
            let said = unit.said.home.clone();
            said.or_else(|| default_home(unit, owner)).is_some_and(|said| is_same(&said, home))
        }));
    }
    found
}

/// One directory, perhaps by two paths.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| real(other) == Some(one))
}

/// Every unit that starts `supd`; of two with one name the first.
fn in_directories(scope: Scope, directories: impl Iterator<Item = PathBuf>, owner: &Owner) -> Vec<Found> {
    let mut found: BTreeMap<String, Option<Found>> = BTreeMap::new();
    for entry in directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !name.ends_with(".service") || found.contains_key(&name) {
            continue;
        }
        let file = entry.path();
        let said = fs::read_to_string(&file).map(|text| read(&text, &owner.directory)).unwrap_or_default();
        let is_supd = said.program.as_deref().and_then(Path::file_name).is_some_and(|name| name == "supd");
        found.insert(name.clone(), is_supd.then_some(Found { scope, name, file, said }));
    }
    found.into_values().flatten().collect()
}

/// Where a unit's daemon has its home when the unit does not say.
fn default_home(unit: &Found, owner: &Owner) -> Option<PathBuf> {
    let as_owner = match unit.scope {
        Scope::User => true,
        Scope::System => unit.said.user.as_deref().unwrap_or("root") == owner.name,
    };
    as_owner.then(|| owner.directory.join(".supd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_start_supd_and_of_one_name_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let owner = Owner { name: "alice".to_owned(), uid: 1, gid: 1, directory: "/home/alice".into() };
        let write = |at: &str, text: &str| {
            let file = dir.path().join(at);
            fs::create_dir_all(file.parent().expect("a directory")).expect("directories");
            fs::write(file, text).expect("a file");
        };
        write("etc/supd.service", "[Service]\nExecStart=/usr/bin/supd\nEnvironment=SUPD_HOME=/first\n");
        write("lib/supd.service", "[Service]\nExecStart=/usr/bin/supd\nEnvironment=SUPD_HOME=/second\n");
        write("lib/pm2-alice.service", "[Service]\nExecStart=/opt/supd\nUser=alice\n");
        write("lib/other.service", "[Service]\nExecStart=/usr/bin/other\nEnvironment=SUPD_HOME=/first\n");
        write("lib/supd.service.d", "ExecStart=/usr/bin/supd");
        let directories = ["etc", "missing", "lib"].map(|name| dir.path().join(name)).into_iter();
        let found = in_directories(Scope::System, directories, &owner);
        let names: Vec<_> = found.iter().map(|unit| unit.name.as_str()).collect();
        assert_eq!(names, ["pm2-alice.service", "supd.service"]);
        assert_eq!(found[1].said.home, Some("/first".into()));
        assert_eq!(default_home(&found[0], &owner), Some("/home/alice/.supd".into()));
        assert_eq!(default_home(&found[1], &owner), None, "that one is root's");
    }
}
