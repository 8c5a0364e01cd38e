//! Is there room for output and ledger?

use std::path::{Path, PathBuf};

use nix::sys::statvfs::{Statvfs, statvfs};

use super::findings::Findings;
use crate::ctl::boot::access::{Who, Wish};
use crate::ctl::boot::place::Owner;

/// Less than this, in bytes, is too little, and so is less than this share of the file system, in percent.
const BYTES_MIN: u64 = 100 << 20;
const PERCENT_MIN: u64 = 5;

/// Checks that the daemon may write below this directory, which it makes when it is not there, and that there is space.
pub(crate) fn check(directory: &Path, owner: &Owner, findings: &mut Findings) {
    let present = existing(directory);
    let shown = present.display();
    if let Some(why) = Who::of(owner).cannot(Wish::Write, &present) {
        let remedy = format!("let `{}` write to it: chown {} {shown}", owner.name, owner.name);
        return findings.failure("space", "supd", why, remedy);
    }
    match statvfs(&present) {
        Ok(system) => {
            let (left, percent) = left(&system);
            let text = format!("{shown}: {} MB and {percent} % of its file system are free", left >> 20);
            if is_too_little(left, percent) {
                let remedy = "delete what is not needed: `supctl flush` empties the logs";
                findings.failure("space", "supd", text, remedy);
            } else {
                findings.ok("space", "supd", text);
            }
        }
        Err(errno) => {
            let remedy = "see whether its file system is mounted";
            findings.failure("space", "supd", format!("{shown}: {}", errno.desc()), remedy);
        }
    }
}

fn is_too_little(bytes: u64, percent: u64) -> bool {
    bytes < BYTES_MIN || percent < PERCENT_MIN
}

/// The directory, or what there is of the way to it.
fn existing(directory: &Path) -> PathBuf {
    directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Bytes that are free for everyone, and their share in percent.
#[expect(clippy::useless_conversion, reason = "the kernel's types are smaller on 32 bits")]
fn left(system: &Statvfs) -> (u64, u64) {
    let (free, all) = (u64::from(system.blocks_available()), u64::from(system.blocks()));
    let share = free.saturating_mul(100).checked_div(all).unwrap_or(100);
    (free.saturating_mul(u64::from(system.fragment_size())), share)
}

#[cfg(test)]
mod tests {
    use nix::unistd::Uid;

    use super::super::findings::Outcome;
    use super::*;

    #[test]
    fn a_directory_that_will_be_made_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(existing(&dir.path().join("a/b")), dir.path());
        let owner = Owner::of_uid(Uid::effective().as_raw()).expect("a name");
        let mut findings = Findings::default();
        check(Path::new("/proc/no/such"), &owner, &mut findings);
        assert_eq!(findings.of("space")[0].0, Outcome::Failure, "{findings:?}");
    }

    #[test]
    fn limits() {
        assert!(is_too_little(99 << 20, 50) && is_too_little(1 << 40, 4));
        assert!(!is_too_little(100 << 20, 5));
    }
}
