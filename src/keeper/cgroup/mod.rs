//! Which control groups (cgroups(7), version 2) are the keeper's to arrange?
//!
//! Below the group that somebody has delegated to us, and by the rule that processes are in leaves only:
//!
//! ```text
//! supd.service            delegated: nobody is in it any more
//! └─ supd-812             ours, by the keeper's process id
//!    ├─ daemon            keeper, supervisor, and what was there before
//!    ├─ run-41-web        one run each (`leaf.rs`)
//!    └─ run-42-web
//! ```
//!
//! Where the keeper is tells everything, so nothing about it is handed over or asked for: [`Groups::of`].

mod bounds;
mod leaf;
mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use bounds::{Bounds, Milliprocessors, Weight};
use leaf::write;
pub use leaf::{Leaf, MemoryEvents, Pressure};
pub(crate) use leaf::{is_populated, kill, remove};
use place::delegated;
pub(crate) use place::group_of;
pub use place::{mark, unmarked};

/// The leaf of keeper and supervisor.
const DAEMON: &str = "daemon";
/// What we have a use for.
const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];
/// So often processes are moved that were born in a group meanwhile.
const PASSES_MAX: usize = 20;

/// Why runs have no groups of their own.
#[derive(Debug, thiserror::Error)]
pub enum NoGroups {
    /// This machine, or container, shows none.
    #[error("no cgroup2 file system is mounted")]
    Unmounted,
    /// It belongs to somebody who has not given it away.
    #[error("its control group {} is not delegated to it", .0.display())]
    NotDelegated(PathBuf),
    /// A unit has taken the keeper over; runs from the next one on get groups in this one.
    #[error("its control group {} was delegated to it after its workers were started", .0.display())]
    NotYet(PathBuf),
    /// It should be possible, but is not.
    #[error("{}: {error}", .path.display())]
    Refused {
        /// What was touched.
        path: PathBuf,
        /// How that ended.
        error: io::Error,
    },
}

/// Groups that a keeper has arranged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    dir: PathBuf,
}

impl Groups {
    /// Those of this keeper, as they are now.
    ///
    /// # Errors
    /// Why there are none.
    pub fn of(keeper: i32) -> Result<Self, NoGroups> {
        let own = group_of(keeper).ok_or(NoGroups::Unmounted)?;
        match own.parent().filter(|dir| own.ends_with(DAEMON) && dir.ends_with(name(keeper))) {
            Some(dir) => Ok(Self { dir: dir.to_owned() }),
            None => Err(delegated(&own).map_or(NoGroups::NotDelegated(own), NoGroups::NotYet)),
        }
    }

    /// Arranges them for this process: in `below`, or in what is delegated to it.
    pub(crate) fn arrange(below: Option<&Path>) -> Result<Self, NoGroups> {
        let keeper = std::process::id() as i32;
        if let Ok(arranged) = Self::of(keeper) {
            return Ok(arranged);
        }
        let own = group_of(keeper).ok_or(NoGroups::Unmounted)?;
        let (base, from) = match below {
            // Who names a group may have others in it.
            Some(below) => (below.to_owned(), None),
            None => (delegated(&own).ok_or_else(|| NoGroups::NotDelegated(own.clone()))?, Some(own)),
        };
        Self::arrange_in(&base, from.as_deref(), keeper)
    }

    /// `from`: the group whose processes all are ours to move.
    fn arrange_in(base: &Path, from: Option<&Path>, keeper: i32) -> Result<Self, NoGroups> {
        clear(base, keeper);
        let groups = Self { dir: base.join(name(keeper)) };
        let daemon = groups.dir.join(DAEMON);
        for path in [&groups.dir, &daemon] {
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    let _ = fs::remove_dir(&groups.dir);
                    return Err(NoGroups::Refused { path: path.clone(), error });
                }
                _ => {}
            }
        }
        let entered = write(&daemon.join("cgroup.procs"), &keeper.to_string());
        // One of version 1 can be entered too.
        let entered = entered.and_then(|()| Self::of(keeper).map_err(io::Error::other));
        if let Err(error) = entered {
            clear(base, keeper);
            return Err(NoGroups::Refused { path: daemon, error });
        }
        for group in from.into_iter().chain([base].into_iter().filter(|_| from.is_some())) {
            empty(group, &daemon);
        }
        // Each by itself: one that cannot be had must not cost the others.
        for group in [base, &groups.dir] {
            for controller in CONTROLLERS {
                let _ = write(&group.join("cgroup.subtree_control"), &format!("+{controller}"));
            }
        }
        Ok(groups)
    }

    /// Where the groups of runs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The controllers that these groups have.
    pub fn controllers(&self) -> Vec<String> {
        words(&self.dir.join("cgroup.subtree_control"))
    }

    /// The group of a run, whether it is there or not. `name` by [`leaf_name`].
    pub fn leaf(&self, name: &str) -> Leaf {
        Leaf::from(self.dir.join(name))
    }

    /// What of these bounds no group here can keep.
    pub fn lacks(&self, bounds: &Bounds) -> Vec<&'static str> {
        self.leaf(DAEMON).lacks(bounds)
    }
}

/// The controllers that groups below this one can have.
pub fn offered(group: &Path) -> Vec<String> {
    let ours = |controller: &String| CONTROLLERS.contains(&controller.as_str());
    words(&group.join("cgroup.controllers")).into_iter().filter(ours).collect()
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The name of a run's group. Whatever the app is called, it is one part of a path, and none of the kernel's own names.
pub fn leaf_name(run: u64, app: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let app: String = app.chars().take(64).map(|letter| if plain(letter) { letter } else { '_' }).collect();
    format!("run-{run}-{app}")
}

/// Whether [`leaf_name`] could have made it.
pub(crate) fn is_leaf_name(name: &str) -> bool {
    let rest = name.strip_prefix("run-").and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(run, app)| run.parse::<u64>().is_ok_and(|run| leaf_name(run, app) == name))
}

fn name(keeper: i32) -> String {
    format!("supd-{keeper}")
}

/// Moves whoever is in a group. What cannot be moved (a thread of the kernel in the machine's root) stays.
fn empty(group: &Path, into: &Path) {
    for _ in 0..PASSES_MAX {
        let present = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // 0: of another PID namespace.
        let pids = present.lines().filter(|pid| *pid != "0");
        let moved = pids.filter(|pid| write(&into.join("cgroup.procs"), pid).is_ok()).count();
        if moved == 0 {
            return;
        }
    }
}

/// Removes what keepers left of themselves that have ended. One of our own number has, too.
fn clear(base: &Path, own: i32) {
    let children = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let of_the_dead = |path: &PathBuf| {
        let pid = path.file_name().and_then(|name| name.to_str()?.strip_prefix("supd-")?.parse::<i32>().ok());
        // A zombie has no program any more either.
        pid.is_some_and(|pid| pid == own || fs::read_link(format!("/proc/{pid}/exe")).is_err())
    };
    for left in children(base).filter(of_the_dead) {
        // The kernel removes no group that has a process or a group in it.
        children(&left).for_each(|leaf| drop(fs::remove_dir(leaf)));
        let _ = fs::remove_dir(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_harmless_part_of_a_path() {
        for (app, name) in [
            ("web", "run-7-web"),
            ("my app", "run-7-my_app"),
            ("../../etc", "run-7-______etc"),
            ("a/b", "run-7-a_b"),
            ("memory.max", "run-7-memory_max"),
            ("x.service", "run-7-x_service"),
            ("zwölf\n", "run-7-zw_lf_"),
            ("", "run-7-"),
        ] {
            assert_eq!(leaf_name(7, app), name);
            assert!(is_leaf_name(name), "{name}");
        }
        assert_eq!(leaf_name(u64::MAX, &"ä".repeat(500)).len(), 4 + 20 + 1 + 64);
        for other in
            ["", "..", "run-", "run-1", "run-1-a/b", "run-1-..", "run-x-a", "run-01-a", "daemon", "/run-1-a"]
        {
            assert!(!is_leaf_name(other), "{other}");
        }
    }

    #[test]
    fn a_group_that_may_not_be_touched_is_named() {
        let error = Groups::arrange_in(Path::new("/proc/1"), None, 1).expect_err("no group");
        assert!(error.to_string().starts_with("/proc/1/supd-1: "), "{error}");
    }
}
