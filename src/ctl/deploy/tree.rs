//! Is what lies here what will be deployed?

use std::process::{Command, Stdio};

use supd_api::{Fault, FaultCode};

/// Refuses when changes in this directory's repository are not committed or not pushed. Elsewhere there is nothing to ask.
///
/// # Errors
/// `Conflict`, with what to do.
pub(super) fn check() -> Result<(), Fault> {
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_some_and(|files| !files.is_empty()) {
        return Err(Fault::new(FaultCode::Conflict, "there are changes here that are not committed")
            .hint("commit or stash them, or deploy without them by --force"));
    }
    let ahead = git(&["rev-list", "--count", "@{upstream}..HEAD"]);
    if ahead.is_some_and(|count| count != "0") {
        return Err(Fault::new(FaultCode::Conflict, "there are commits here that are not pushed")
            .hint("`git push`, or deploy without them by --force"));
    }
    Ok(())
}

/// What git says; `None`: there is no repository, no upstream or no git.
fn git(args: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(args).stdin(Stdio::null()).output().ok()?;
    ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).trim().to_owned())
}
