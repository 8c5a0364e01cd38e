//! Whether processes can be given what is declared.

use supd_api::{Resource, Rlimit};

use super::Check;

/// A program has three standard streams, and needs a few files more to find its libraries.
const FEWEST_FILES: u64 = 16;

impl Check<'_> {
    pub(super) fn process(&mut self) {
        let process = &self.app.process;
        if process.umask.is_some_and(|mask| mask > 0o777) {
            self.fail("umask", "expected at most 0777");
        }
        if process.nice.is_some_and(|nice| !(-20..=19).contains(&nice)) {
            self.fail("nice", "expected a number from -20 to 19");
        }
        if process.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            self.fail("oom_score_adj", "expected a number from -1000 to 1000");
        }
        for (resource, Rlimit { soft, hard }) in &process.rlimits {
            let path = format!("rlimits.{}", resource.as_str());
            if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
                self.fail(&path, "the first limit is above the second, up to which a process may raise it");
            }
            if *resource == Resource::Nofile && soft.is_some_and(|files| files < FEWEST_FILES) {
                self.fail(&path, format!("no program starts with fewer than {FEWEST_FILES} files"));
            }
        }
        if !process.capabilities.is_empty() && matches!(self.app.user.as_deref(), Some("root" | "0")) {
            self.fail_with(
                "capabilities",
                "root has all of them",
                Some("name another user in `uid`, or leave the field out"),
            );
        }
    }
}
