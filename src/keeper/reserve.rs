//! Is there room for what must not fail?
//!
//! The keeper has a descriptor for each thing it keeps, and `RLIMIT_NOFILE` bounds them. A start that does not fit is refused
//! and can be tried again. What cannot (taking over a snapshot or a port, starting a supervisor, finding the processes of
//! a run in /proc) has some numbers set aside: they are occupied by nothing of use until the others run out.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::resource::{Resource, getrlimit};

/// Enough for a supervisor's link and its status pipe, a look into /proc, and then some ports.
const SIZE: usize = 16;

/// Numbers set aside.
#[derive(Default)]
pub(crate) struct Reserve(Vec<OwnedFd>);

impl Reserve {
    /// Sets them aside, with duplicates of `any`. Whether there are enough.
    pub(crate) fn fill(&mut self, any: impl AsFd) -> bool {
        while self.0.len() < SIZE {
            match any.as_fd().try_clone_to_owned() {
                Ok(duplicate) => self.0.push(duplicate),
                Err(_) => return false,
            }
        }
        true
    }

    /// Frees them if there is hardly any other number left; `used`: how many descriptors there are besides them, rather too many
    /// than too few.
    pub(crate) fn open_when_needed(&mut self, used: usize) {
        // The limit may have been changed from outside (prlimit(2)).
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        if (used + 2 * SIZE) as u64 >= limit {
            self.0.clear();
        }
    }
}
