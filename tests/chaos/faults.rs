//! What can go wrong with a machine, one thing at a time. Each is over when its value is dropped.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use crate::census::run_of;
use crate::daemon::Daemon;
use crate::process;

/// The home's own disk. A flood of lines fits for some minutes.
const DISK: &str = "size=256m,mode=0700";
const PIDS_V1: &str = "/sys/fs/cgroup/pids";
const PIDS_V2: &str = "/sys/fs/cgroup";

/// A daemon on a small disk of its own and with a limit of its own for processes, as far as we may.
pub struct Ground {
    pub daemon: Daemon,
    pub disk: Option<Disk>,
    pub forks: Forks,
}

impl Ground {
    /// Starts it. What is not permitted is said and left out.
    pub fn new() -> Self {
        let daemon = Daemon::empty();
        let disk = Disk::mount(daemon.home());
        if disk.is_none() {
            eprintln!("left out: a full disk (no right to mount one)");
        }
        daemon.ok(&["ping"]);
        let forks = Forks::enclose(&daemon);
        Self { daemon, disk, forks }
    }
}

/// A file system of its own under the home.
pub struct Disk(PathBuf);

impl Disk {
    fn mount(home: &Path) -> Option<Self> {
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "supd-chaos"]).arg(home).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self(home.to_owned()))
    }

    /// Takes all space there is.
    pub fn fill(&self) -> Full {
        let path = self.0.join("full");
        if let Ok(file) = File::create(&path) {
            let (mut at, mut piece) = (0, 64 << 20);
            while piece >= 512 {
                match fallocate(file.as_fd(), FallocateFlags::empty(), at, piece) {
                    Ok(()) => at += piece,
                    Err(_) => piece /= 2,
                }
            }
        }
        Full(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if done.is_ok_and(|status| status.success()) {
            // It was a mount point when its owner tried.
            let _ = fs::remove_dir(&self.0);
        }
    }
}

/// A disk without space.
pub struct Full(PathBuf);

impl Drop for Full {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("the file that fills the disk");
    }
}

/// A process that does not go on (SIGSTOP).
pub struct Frozen(i32, Option<u64>);

impl Frozen {
    pub fn new(pid: i32) -> Self {
        process::signal(pid, Signal::SIGSTOP);
        Self(pid, run_of(pid))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Its number may have another owner by now.
        if run_of(self.0) == self.1 {
            process::signal(self.0, Signal::SIGCONT);
        }
    }
}

/// A process that gets no further descriptors but a few.
pub struct Narrow<'a> {
    daemon: &'a Daemon,
    keeper: i32,
}

impl<'a> Narrow<'a> {
    pub fn new(daemon: &'a Daemon, keeper: i32, pid: i32, more: usize) -> Self {
        limit(pid, &format!("--nofile={}:", process::descriptors(pid) + more));
        Self { daemon, keeper }
    }
}

impl Drop for Narrow<'_> {
    fn drop(&mut self) {
        // A supervisor that was started meanwhile has inherited the keeper's limit.
        let census = crate::census::Census::take(self.daemon, self.keeper);
        for pid in census.supervisor().into_iter().chain([self.keeper]) {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
            let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
            if let Some(hard) = line.and_then(|line| line.split_whitespace().nth(1)) {
                limit(pid, &format!("--nofile={hard}:"));
            }
        }
    }
}

fn limit(pid: i32, what: &str) {
    let done = Command::new("prlimit").args(["--pid", &pid.to_string(), what]).output().expect("prlimit");
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    // It may have died meanwhile.
    assert!(done.status.success() || !process::is_alive(pid), "prlimit {what} of {pid}: {text}");
}

/// How nobody of the daemon's gets another process.
pub enum Forks {
    /// By a control group, which binds root too.
    Group(PathBuf),
    /// By `RLIMIT_NPROC` of the keeper, which does not.
    Limit(i32),
    /// Not at all.
    Free,
}

impl Forks {
    fn enclose(daemon: &Daemon) -> Self {
        let (keeper, supervisor) = daemon.heads();
        if !geteuid().is_root() {
            return Self::Limit(keeper);
        }
        let enclosed = ["pids", ""].iter().find_map(|hierarchy| {
            let root = if hierarchy.is_empty() { PIDS_V2 } else { PIDS_V1 };
            let ours = fs::read_to_string("/proc/self/cgroup").ok()?;
            let ours = ours.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                rest.strip_prefix(hierarchy)?.strip_prefix(":/").map(str::to_owned)
            })?;
            let group = Path::new(root).join(ours).join(format!("supd-chaos-{}", std::process::id()));
            fs::create_dir(&group).ok()?;
            let enclosed = Self::Group(group.clone());
            let put = |pid: i32| fs::write(group.join("cgroup.procs"), pid.to_string()).is_ok();
            (fs::exists(group.join("pids.max")).unwrap_or(false) && put(keeper) && put(supervisor))
                .then_some(enclosed)
        });
        enclosed.unwrap_or_else(|| {
            eprintln!("left out: a machine without room for processes (no control group that counts them)");
            Self::Free
        })
    }

    /// No further process from now on.
    pub fn forbid(&self) -> Option<Forbidden<'_>> {
        match self {
            Self::Group(group) => fs::write(group.join("pids.max"), "0").expect("pids.max"),
            Self::Limit(keeper) => limit(*keeper, "--nproc=1:"),
            Self::Free => return None,
        }
        Some(Forbidden(self))
    }

    /// Who is in the group, the daemon included.
    pub fn members(&self) -> Vec<String> {
        match self {
            Self::Group(group) => {
                let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
                procs.lines().map(str::to_owned).collect()
            }
            Self::Limit(_) | Self::Free => Vec::new(),
        }
    }
}

impl Drop for Forks {
    fn drop(&mut self) {
        if let Self::Group(group) = self {
            // What is in it has been ended by the daemon's own drop, or is told by it.
            let _ = fs::remove_dir(group);
        }
    }
}

/// See [`Forks::forbid`].
pub struct Forbidden<'a>(&'a Forks);

impl Drop for Forbidden<'_> {
    fn drop(&mut self) {
        match self.0 {
            Forks::Group(group) => fs::write(group.join("pids.max"), "max").expect("pids.max"),
            Forks::Limit(keeper) => {
                let limits = fs::read_to_string(format!("/proc/{keeper}/limits")).unwrap_or_default();
                let line = limits.lines().find_map(|line| line.strip_prefix("Max processes"));
                if let Some(hard) = line.and_then(|line| line.split_whitespace().nth(1)) {
                    limit(*keeper, &format!("--nproc={hard}:"));
                }
            }
            Forks::Free => {}
        }
    }
}
