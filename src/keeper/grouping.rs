//! Does a run get a control group of its own, and when does that group go?

use std::fs::File;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::cgroup::{self, Groups, NoGroups, group_of, is_leaf_name};
use crate::keeper::say;
use crate::log::Level;
use crate::protocol::{Cgroup, Step};
use crate::spawn::Failure;
use crate::tree::below;

/// The groups of this keeper's runs.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    /// A keeper inside a run of another one leaves groups to that one.
    is_nested: bool,
    /// Where the user wants them.
    wanted: Option<PathBuf>,
    groups: Option<Groups>,
    /// Where the keeper was when that was found out.
    seen: Option<PathBuf>,
    /// Groups of runs that are forgotten, in which somebody still was.
    leaving: Vec<PathBuf>,
}

impl Grouping {
    pub(crate) fn new(wanted: Option<PathBuf>, is_nested: bool) -> Self {
        Self { wanted, is_nested, ..Self::default() }
    }

    /// Makes the group of a run; `None`: it is to be without.
    ///
    /// What a run needs must not depend on what the machine offers, so one that cannot have its group starts nevertheless, which
    /// the supervisor sees and tells. A bound that the kernel refuses is another matter.
    pub(crate) fn make(&mut self, cgroup: &Cgroup) -> Result<Option<(PathBuf, File)>, Failure> {
        if !is_leaf_name(&cgroup.leaf) {
            return Err(Failure { step: Step::Cgroup, errno: Errno::EINVAL });
        }
        self.leaving.retain(|left| !cgroup::remove(left));
        let Some(groups) = self.here() else { return Ok(None) };
        let leaf = groups.leaf(&cgroup.leaf);
        let path = leaf.path().to_owned();
        if let Err(error) = leaf.make() {
            say(Level::Warning, format_args!("no control group for a run: {}: {error}", path.display()));
            return Ok(None);
        }
        match leaf.bind(&cgroup.bounds) {
            Ok(procs) => Ok(Some((path, procs))),
            Err(error) => {
                self.leave(path);
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
                Err(Failure { step: Step::Cgroup, errno })
            }
        }
    }

    /// The run is forgotten, or has never begun.
    pub(crate) fn leave(&mut self, leaf: PathBuf) {
        self.leaving.push(leaf);
        self.leaving.retain(|left| !cgroup::remove(left));
    }

    /// Where groups are made. Looked up anew when the keeper is elsewhere: after an upgrade, and when a unit has taken it over.
    pub(crate) fn here(&mut self) -> Option<&Groups> {
        let keeper = std::process::id() as i32;
        let own = group_of(keeper)?;
        if self.seen.as_ref() != Some(&own) && !self.is_nested {
            self.groups = Groups::of(keeper).ok();
            // While systemd still moves our family, one by one, the group must be one that takes processes.
            let is_here = |pid| group_of(pid).is_none_or(|group| group.starts_with(&own));
            if self.groups.is_some() || below(keeper).into_iter().all(is_here) {
                self.groups = self.groups.take().or_else(|| self.arrange());
                self.seen = group_of(keeper);
            }
        }
        self.groups.as_ref()
    }

    fn arrange(&self) -> Option<Groups> {
        match Groups::arrange(self.wanted.as_deref()) {
            Ok(groups) => {
                let controllers = groups.controllers().join(" ");
                let controllers = if controllers.is_empty() { "none" } else { &controllers };
                let dir = groups.dir().display();
                say(
                    Level::Info,
                    format_args!(
                        "runs have control groups of their own in {dir}; controllers: {controllers}"
                    ),
                );
                Some(groups)
            }
            Err(NoGroups::Unmounted | NoGroups::NotDelegated(_) | NoGroups::NotYet(_))
                if self.wanted.is_none() =>
            {
                None
            }
            Err(error) => {
                say(Level::Error, format_args!("runs have no control groups of their own: {error}"));
                None
            }
        }
    }
}
