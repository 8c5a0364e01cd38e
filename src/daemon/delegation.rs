//! Has systemd given us our control group?
//!
//! It notes that at the group itself, where the keeper looks (`keeper/cgroup/place.rs`); but a user's own systemd does not in every
//! version, and older ones of the machine note it for root alone. Then we ask, and make the note: the group is ours.

use std::process::{Command, Stdio};

use supd_keeper::cgroup::{mark, unmarked};

/// Asks where that is needed. Blocks for a moment; whoever cannot be asked has not said yes.
pub(super) fn note() {
    let Some(group) = unmarked() else { return };
    let unit = group.components().rev().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let is_unit = |part: &String| part.ends_with(".service") || part.ends_with(".scope");
    let Some(unit) = unit.take(2).find(is_unit) else { return };
    let scope = if group.to_string_lossy().contains("/user@") { "--user" } else { "--system" };
    let asked = Command::new("systemctl")
        .args([scope, "show", "--property", "Delegate", "--value", &unit])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    if asked.is_ok_and(|said| said.stdout.trim_ascii() == b"yes") {
        mark(&group);
    }
}
