//! Which processes belong to a run, and how do they get a signal?
//!
//! The keeper is the child subreaper (prctl(2)), so whatever a worker leaves behind becomes the keeper's direct child, however
//! it daemonised. A run therefore consists of its main process, of adopted children that can be traced back to it,
//! and of the descendants of both; nothing outside the keeper's own descent is ever looked at, let alone signalled.
//!
//! An adopted child is traced back by its *tag*: hard and soft `RLIMIT_RTTIME` of 2^62 plus the run's number. Limits are
//! inherited over fork, exec and setsid, by `env -i` too, lowering one takes no privilege, and this one has no effect:
//! it bounds, in microseconds, the processor time without a blocking call of tasks under a *real-time* policy
//! (getrlimit(2); the kernel compares it with a tick counter of such tasks only), and 2^62 of them are 146,000 years.
//! A process that lowers that limit further, or whose tag could not be set, is still traced by its session
//! (getsid(2)), which includes the main's process group: process groups cannot span sessions (setpgid(2)).

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::{fs, io};

use crate::protocol::RunId;

/// Where tags start. Above any real limit, below RLIM_INFINITY.
const TAG_BASE: u64 = 1 << 62;
/// How often a kill looks for processes that were born meanwhile. What is born later is killed when it comes to
/// the keeper.
const PASSES_MAX: usize = 20;

/// The tag of a run.
pub(crate) fn tag(run: RunId) -> u64 {
    TAG_BASE | (run.0 & (TAG_BASE - 1))
}

/// Where the processes of one run hang.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// The main process, while it has not been reaped.
    pub(crate) main: Option<i32>,
    /// Adopted children that were traced back to the run.
    pub(crate) adopted: Vec<i32>,
}

/// What is needed to recognise a process as one of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The run.
    pub(crate) run: RunId,
    /// Its main process, reaped or not: its number stays reserved while a session has it.
    pub(crate) main: i32,
    /// Whether the main process has been reaped.
    pub(crate) reaped: bool,
}

/// The roots of every run, in one pass over the keeper's own children. To be called when all zombies have been
/// reaped: what is listed then is alive. Nobody but the keeper takes children off that list, so the list is whole.
///
/// `supervisor`: the one child that belongs to no run.
pub(crate) fn roots(descent: &Descent, marks: &[Mark], supervisor: Option<i32>) -> BTreeMap<RunId, Roots> {
    // An unreaped child is one, whether it can be seen or not.
    let mains = marks.iter().filter(|mark| !mark.reaped);
    let mut found: BTreeMap<RunId, Roots> =
        mains.map(|mark| (mark.run, Roots { main: Some(mark.main), ..Roots::default() })).collect();
    let known =
        |child: i32| supervisor == Some(child) || marks.iter().any(|mark| !mark.reaped && mark.main == child);
    for child in descent.children(std::process::id() as i32).into_iter().filter(|child| !known(*child)) {
        if let Some(mark) = descent.origin(child, marks) {
            found.entry(mark.run).or_default().adopted.push(child);
        }
    }
    found
}

/// Sends `signal` to the roots that `find` names and to everything below. SIGKILL is repeated until nothing new turns
/// up, so that a process that forks faster than it is found cannot outrun it. `false`: not everything could be seen.
///
/// What has been reached is not looked below again: SIGKILL has ended its forking, and a child it had until then
/// comes to the keeper when it dies.
pub(crate) fn signal_tree(signal: i32, mark: Mark, find: impl Fn(&Descent) -> Roots) -> bool {
    let mut reached = BTreeSet::new();
    for _ in 0..PASSES_MAX {
        let before = reached.len();
        let descent = Descent::now();
        let roots = find(&descent);
        for root in roots.main.into_iter().chain(roots.adopted) {
            if reached.insert(root) {
                signal_child(root, signal);
                signal_below(&descent, root, signal, mark, &mut reached);
            }
        }
        if descent.is_blind() {
            return false;
        }
        if signal != libc::SIGKILL || reached.len() == before {
            return true;
        }
    }
    true
}

/// Signals every descendant of `root`, which itself is done.
fn signal_below(descent: &Descent, root: i32, signal: i32, mark: Mark, reached: &mut BTreeSet<i32>) {
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in descent.children(parent) {
            if reached.insert(child) {
                signal_descendant(child, parent, signal, mark);
                parents.push(child);
            }
        }
    }
}

/// Signals an unreaped child of the keeper: its number cannot have a new owner before the keeper reaps it.
pub(crate) fn signal_child(pid: i32, signal: i32) {
    // SAFETY: kill has no memory effects; pid is a positive number of one process.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// Signals a descendant that somebody else reaps.
fn signal_descendant(pid: i32, parent: i32, signal: i32, mark: Mark) {
    signal_if(pid, signal, |pid| {
        limit_of(pid) == Some(tag(mark.run))
            || session_of(pid) == Some(mark.main)
            || parent_of(pid).is_some_and(|now| now == parent || now == std::process::id() as i32)
    });
}

/// Signals a process that somebody else reaps: pinned by a pidfd first, then looked at again, so that the signal
/// never goes to a new owner of the number.
pub(crate) fn signal_if(pid: i32, signal: i32, belongs: impl Fn(i32) -> bool) {
    let pinned = pidfd(pid);
    if !belongs(pid) {
        return;
    }
    match pinned {
        Some(pinned) => {
            // SAFETY: a valid descriptor, no siginfo, no flags: pidfd_send_signal(2) touches no memory of ours.
            let _ =
                unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pinned.as_raw_fd(), signal, 0usize, 0) };
        }
        // Before Linux 5.3, or it is gone.
        None => signal_child(pid, signal),
    }
}

/// Whether it carries the tag of some run of some keeper.
pub(crate) fn is_tagged(pid: i32) -> bool {
    limit_of(pid).is_some_and(|limit| limit >= TAG_BASE && limit != libc::RLIM_INFINITY)
}

/// The run whose tag a process bears, of whichever keeper that run is.
pub fn marked(pid: i32) -> Option<RunId> {
    limit_of(pid)
        .filter(|limit| (TAG_BASE..libc::RLIM_INFINITY).contains(limit))
        .map(|limit| RunId(limit & (TAG_BASE - 1)))
}

fn pidfd(pid: i32) -> Option<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers; the result, if not negative, is a new descriptor that is ours alone.
    unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        (number >= 0).then(|| OwnedFd::from_raw_fd(number as i32))
    }
}

/// The hard `RLIMIT_RTTIME` of a process.
pub(crate) fn limit_of(pid: i32) -> Option<u64> {
    read_limit(pid).ok()
}

fn read_limit(pid: i32) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: prlimit writes one rlimit to the given place and changes nothing, for want of a new limit.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_RTTIME, std::ptr::null(), &raw mut limit) };
    if done == 0 {
        return Ok(limit.rlim_max);
    }
    // Another user's (setuid, or a run with `user` under a keeper without privilege): the text is open to all.
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max realtime timeout"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    hard.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn session_of(pid: i32) -> Option<i32> {
    // SAFETY: getsid has no memory effects.
    let session = unsafe { libc::getsid(pid) };
    (session > 0).then_some(session)
}

/// Every process below this one.
pub(crate) fn below(pid: i32) -> BTreeSet<i32> {
    let descent = Descent::now();
    let (mut found, mut parents) = (BTreeSet::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        parents.extend(descent.children(parent).into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// Who is whose child.
pub(crate) struct Descent {
    how: How,
    /// For want of a descriptor not everything could be seen.
    blind: Cell<bool>,
}

enum How {
    /// The kernel lists the children of each thread (`CONFIG_PROC_CHILDREN`; most have it), to be read when needed.
    Listed,
    /// Every process was asked for its parent, once.
    Asked(BTreeMap<i32, Vec<i32>>),
}

impl Descent {
    /// In the way this kernel offers.
    pub(crate) fn now() -> Self {
        if fs::exists("/proc/thread-self/children").unwrap_or(false) {
            Self { how: How::Listed, blind: Cell::new(false) }
        } else {
            Self::ask()
        }
    }

    fn ask() -> Self {
        let mut descent = Self { how: How::Listed, blind: Cell::new(false) };
        let mut found: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for entry in descent.seen(fs::read_dir("/proc")).into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                && let Some(parent) = descent.seen(read_stat(pid)).and_then(|stat| parent_in(&stat))
            {
                found.entry(parent).or_default().push(pid);
            }
        }
        descent.how = How::Asked(found);
        descent
    }

    /// Whether processes may be missing in what it has told so far.
    pub(crate) fn is_blind(&self) -> bool {
        self.blind.get()
    }

    /// What is gone is none of anybody any more; what could not be looked at may be somebody's.
    fn seen<T>(&self, result: io::Result<T>) -> Option<T> {
        let wanting = |error: &io::Error| {
            matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
        };
        self.blind.set(self.is_blind() || result.as_ref().is_err_and(wanting));
        result.ok()
    }

    /// The children of a process.
    fn children(&self, pid: i32) -> Vec<i32> {
        match &self.how {
            How::Listed => self.listed_children(pid),
            How::Asked(found) => found.get(&pid).cloned().unwrap_or_default(),
        }
    }

    /// Those of all its threads.
    fn listed_children(&self, pid: i32) -> Vec<i32> {
        let threads = self.seen(fs::read_dir(format!("/proc/{pid}/task"))).into_iter().flatten().flatten();
        let lists =
            threads.filter_map(|thread| self.seen(fs::read_to_string(thread.path().join("children"))));
        lists
            .flat_map(|list| {
                list.split_whitespace().filter_map(|text| text.parse().ok()).collect::<Vec<i32>>()
            })
            .collect()
    }

    /// The run an adopted process comes from.
    fn origin<'a>(&self, pid: i32, marks: &'a [Mark]) -> Option<&'a Mark> {
        let tag_found = self.seen(read_limit(pid));
        let session = session_of(pid);
        let tagged = marks.iter().find(|mark| tag_found == Some(tag(mark.run)));
        // The number of a reaped main may have a new owner, if no session kept it: the living one goes first.
        let in_session =
            || marks.iter().filter(|mark| session == Some(mark.main)).min_by_key(|mark| mark.reaped);
        tagged.or_else(in_session)
    }
}

/// The parent of a process.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    parent_in(&read_stat(pid).ok()?)
}

fn read_stat(pid: i32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/stat"))
}

/// In a line of `/proc/PID/stat` the second field, the name, may contain anything, `)` too.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    std::str::from_utf8(&stat[after_name..]).ok()?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tags_differ_and_are_neither_small_nor_infinite() {
        assert_ne!(tag(RunId(1)), tag(RunId(2)));
        for run in [0, 1, u64::MAX] {
            assert!(tag(RunId(run)) >= TAG_BASE && tag(RunId(run)) < libc::RLIM_INFINITY);
        }
    }

    #[test]
    fn both_ways_find_the_same_children_whatever_their_name() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a) R 1 (");
        fs::copy("/bin/cat", &odd).unwrap();
        let mut child = Command::new(&odd).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"x").unwrap();
        // It answers, so it has been executed and bears its name.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let pid = child.id() as i32;
        let us = std::process::id() as i32;
        assert_eq!(parent_of(pid), Some(us));
        assert!(Descent::ask().children(us).contains(&pid));
        assert!(Descent::now().children(us).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
