//! What may a child do, and how does it rank, apart from its user?
//!
//! Between fork and exec only. What takes privileges is done before the child gives them up, the rest after that.

use std::io::Write;

use nix::errno::Errno;
use nix::sys::prctl::{set_keepcaps, set_no_new_privs};
use nix::sys::resource::{Resource as Kernel, setrlimit};
use nix::sys::stat::{Mode, umask};

use crate::protocol::{Attributes, Resource, Step};
use crate::spawn::Failure;

/// `_LINUX_CAPABILITY_VERSION_3` of capget(2): two words of 32 capabilities each.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Limits and rank, in need of the keeper's privileges.
pub(crate) fn rank(attributes: &Attributes) -> Result<(), Failure> {
    if let Some(score) = attributes.oom_score_adj {
        adjust_oom_score(score).map_err(Failure::at(Step::OomScore))?;
    }
    if let Some(nice) = attributes.nice {
        set_nice(nice).map_err(Failure::at(Step::Nice))?;
    }
    // Last: with few open files the one above could not be opened.
    for limit in &attributes.limits {
        let value = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        setrlimit(kernel(limit.resource), value(limit.soft), value(limit.hard))
            .map_err(Failure::at(Step::Limit(limit.resource)))?;
    }
    if !attributes.capabilities.is_empty() {
        // Over the change of user; exec takes it back (capabilities(7)).
        set_keepcaps(true).map_err(Failure::at(Step::Capabilities))?;
    }
    Ok(())
}

/// What the program keeps, as the user that it runs as.
pub(crate) fn confine(attributes: &Attributes) -> Result<(), Failure> {
    if !attributes.capabilities.is_empty() {
        grant(&attributes.capabilities).map_err(Failure::at(Step::Capabilities))?;
    }
    if let Some(mask) = attributes.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if attributes.no_new_privs {
        set_no_new_privs().map_err(Failure::at(Step::Privileges))?;
    }
    Ok(())
}

fn adjust_oom_score(score: i32) -> Result<(), Errno> {
    let written = std::fs::File::options()
        .write(true)
        .open("/proc/self/oom_score_adj")
        .and_then(|mut file| file.write_all(score.to_string().as_bytes()));
    written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn set_nice(nice: i32) -> Result<(), Errno> {
    // SAFETY: setpriority takes no pointer; 0 is the calling process.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Gives up all capabilities but these, and has exec pass these on to a program that brings none itself ("ambient").
fn grant(capabilities: &[u8]) -> Result<(), Errno> {
    let header = [CAPABILITY_VERSION, 0];
    let mut words = [[0u32; 3]; 2];
    for number in capabilities {
        let word = words.get_mut(usize::from(number / 32)).ok_or(Errno::EINVAL)?;
        // Effective, permitted and inheritable.
        word.iter_mut().for_each(|set| *set |= 1 << (number % 32));
    }
    // SAFETY: a header of two words (the version, and 0 for the calling thread) and the two times three words that this version
    // has (capset(2)), both alive during the call, which only reads them.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), words.as_ptr()) })?;
    for number in capabilities {
        let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
        // SAFETY: this prctl(2) takes numbers only.
        let done = unsafe {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                raise,
                libc::c_ulong::from(*number),
                0 as libc::c_ulong,
                0 as libc::c_ulong,
            )
        };
        Errno::result(done)?;
    }
    Ok(())
}

fn kernel(resource: Resource) -> Kernel {
    match resource {
        Resource::As => Kernel::RLIMIT_AS,
        Resource::Core => Kernel::RLIMIT_CORE,
        Resource::Cpu => Kernel::RLIMIT_CPU,
        Resource::Data => Kernel::RLIMIT_DATA,
        Resource::Fsize => Kernel::RLIMIT_FSIZE,
        Resource::Memlock => Kernel::RLIMIT_MEMLOCK,
        Resource::Msgqueue => Kernel::RLIMIT_MSGQUEUE,
        Resource::Nice => Kernel::RLIMIT_NICE,
        Resource::Nofile => Kernel::RLIMIT_NOFILE,
        Resource::Nproc => Kernel::RLIMIT_NPROC,
        Resource::Rtprio => Kernel::RLIMIT_RTPRIO,
        Resource::Sigpending => Kernel::RLIMIT_SIGPENDING,
        Resource::Stack => Kernel::RLIMIT_STACK,
    }
}
