//! What does a forked child do until it is the program?
//!
//! Runs between fork and exec only, apart from [`Program::new`]. Every step has a name ([`Step`]).

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;
use nix::unistd::{
    Gid, Group, Uid, User, chdir, getegid, geteuid, getpid, initgroups, setgroups, setresgid, setresuid,
    setsid, write,
};

use crate::attributes;
use crate::protocol::{ExecPlan, Step};
use crate::spawn::{Failure, Inheritance, tell};

/// The largest signal number (`_NSIG` of the kernel; 128 on MIPS).
pub(crate) const SIGNAL_MAX: i32 =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 128 } else { 64 };
/// Where execvp(3) of glibc looks when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// A plan in the form the kernel wants it.
pub(crate) struct Program<'a> {
    plan: &'a ExecPlan,
    /// What to try in turn.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
}

impl<'a> Program<'a> {
    /// Fails, with the step that could not be done, when a text has a NUL inside.
    pub(crate) fn new(plan: &'a ExecPlan) -> Result<Self, Step> {
        let text = |text: String| CString::new(text).map_err(|_| Step::Exec);
        let env = plan.env.iter().filter(|(name, _)| !(plan.listen_pid && name == "LISTEN_PID"));
        Ok(Self {
            plan,
            candidates: candidates(plan).into_iter().map(text).collect::<Result<_, _>>()?,
            argv: plan.argv.iter().cloned().map(text).collect::<Result<_, _>>()?,
            env: env.map(|(name, value)| text(format!("{name}={value}"))).collect::<Result<_, _>>()?,
            cwd: CString::new(plan.cwd.as_str()).map_err(|_| Step::Chdir)?,
        })
    }

    /// Returns only when a step failed, which has been told through `status`.
    pub(crate) fn become_it(mut self, attached: &[OwnedFd], status: OwnedFd, inheritance: Inheritance<'_>) {
        // First, so that nothing of it is ever elsewhere; the file is the keeper's, and so is the right to write to it.
        if let Some(Err(errno)) = inheritance.cgroup.map(|procs| write(procs, b"0")) {
            return tell(&status, Failure { step: Step::Cgroup, errno });
        }
        if let Err(errno) = enter_session(inheritance.tag) {
            return tell(&status, Failure { step: Step::Session, errno });
        }
        match place(&self.plan.descriptors, attached, &status) {
            Err(errno) => tell(&status, Failure { step: Step::Descriptors, errno }),
            Ok(lifted) => {
                let Err(failure) = self.finish(inheritance);
                tell(&lifted, failure);
            }
        }
    }

    fn finish(&mut self, inheritance: Inheritance<'_>) -> Result<Infallible, Failure> {
        // Only now: placing needs the room of the keeper's own limit.
        if let Some((soft, hard)) = inheritance.open_files {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(Failure::at(Step::Session))?;
        }
        let identity = take_groups(self.plan)?;
        attributes::rank(&self.plan.attributes)?;
        identity
            .map_or(Ok(()), |user| setresuid(user, user, user))
            .map_err(Failure::at(Step::Credentials))?;
        attributes::confine(&self.plan.attributes)?;
        chdir(self.cwd.as_c_str()).map_err(Failure::at(Step::Chdir))?;
        if self.plan.listen_pid {
            self.env.extend(CString::new(format!("LISTEN_PID={}", getpid())));
        }
        Err(Failure { step: Step::Exec, errno: self.exec() })
    }

    /// As execvp(3): a file that may not be executed is remembered while the search goes on.
    fn exec(&self) -> Errno {
        let (argv, env) = (pointers(&self.argv), pointers(&self.env));
        let mut errno = Errno::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: a C string and two null-terminated arrays of pointers to C strings, all owned by self.
            unsafe { libc::execve(candidate.as_ptr(), argv.as_ptr(), env.as_ptr()) };
            match Errno::last() {
                Errno::EACCES => errno = Errno::EACCES,
                Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                other => return other,
            }
        }
        // With a path there was no search: its own errno counts (ENOTDIR).
        if self.plan.program.contains('/') { Errno::last() } else { errno }
    }
}

/// The files a program's name may mean, in order.
fn candidates(plan: &ExecPlan) -> Vec<String> {
    if plan.program.contains('/') {
        return vec![plan.program.clone()];
    }
    if plan.program.is_empty() {
        return Vec::new();
    }
    let path = plan.env.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    // An empty entry is the working directory (execvp(3)).
    let directories = path.split(':').map(|directory| if directory.is_empty() { "." } else { directory });
    directories.map(|directory| format!("{directory}/{}", plan.program)).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

/// A session of its own, no inherited signal state, the tag.
///
/// Dispositions and mask outlive exec unless reset; Rust ignores SIGPIPE, and the keeper blocks what it reads from
/// its signalfd.
fn enter_session(tag: Option<u64>) -> Result<(), Errno> {
    setsid()?;
    // All zeros is SIG_DFL without flags for the kernel, whose structure is no larger. Not by libc, which refuses the
    // signals it uses itself, although the keeper may have inherited them as ignored.
    let default = [0u64; 8];
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: the kernel reads the structure and runs no code of ours. SIGKILL and SIGSTOP fail: they have no other.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null::<u64>(),
                SIGNAL_MAX as usize / 8,
            )
        };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    if let Some(tag) = tag {
        // Kernels that only look like Linux may refuse; the session still tells most of the family.
        let _ = setrlimit(Resource::RLIMIT_RTTIME, tag, tag);
    }
    Ok(())
}

/// Puts the attached descriptors at their numbers and `/dev/null` at those of 0, 1 and 2 that are left. Answers with a
/// new number of `status`. Everything else the keeper has closes on exec.
///
/// All sources are lifted above every target first, so none is overwritten before its turn.
fn place(targets: &[RawFd], attached: &[OwnedFd], status: &OwnedFd) -> Result<OwnedFd, Errno> {
    let above = targets.iter().copied().fold(2, RawFd::max).checked_add(1).ok_or(Errno::EBADF)?;
    let lift = |source: &OwnedFd| fcntl(source, FcntlArg::F_DUPFD_CLOEXEC(above));
    let null = open(c"/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    // SAFETY: each number is new and ours alone.
    let owned = |number: RawFd| unsafe { OwnedFd::from_raw_fd(number) };
    let null = owned(lift(&null)?);
    let status = owned(lift(status)?);
    let sources = attached.iter().map(|source| lift(source).map(owned)).collect::<Result<Vec<_>, _>>()?;
    let unlisted = (0..3).filter(|number| !targets.contains(number)).map(|number| (&null, number));
    for (source, target) in unlisted.chain(sources.iter().zip(targets.iter().copied())) {
        // SAFETY: what the target number meant is of no use to the child any more; the copy stays open over exec.
        Errno::result(unsafe { libc::dup2(source.as_raw_fd(), target) })?;
    }
    Ok(status)
}

/// Takes the groups of the plan and of its user. Answers with the user that is still to be taken.
fn take_groups(plan: &ExecPlan) -> Result<Option<Uid>, Failure> {
    let user = plan.user.as_deref().map(find_user).transpose()?;
    let group = plan.group.as_deref().map(find_group).transpose()?;
    let refused = Failure::at(Step::Credentials);
    match (user, group) {
        (None, None) => Ok(None),
        (None, Some(gid)) => setresgid(gid, gid, gid).map(|()| None).map_err(refused),
        (Some(user), group) => {
            let unknown = Failure { step: Step::Group, errno: Errno::ENOENT };
            let gid = group.or(user.gid).ok_or(unknown)?;
            take_groups_of(&user, gid).map_err(refused)
        }
    }
}

/// A user of a plan. Only a number may be without an entry in the user database.
pub(crate) struct Identity {
    pub(crate) uid: Uid,
    pub(crate) gid: Option<Gid>,
    pub(crate) name: Option<CString>,
}

fn take_groups_of(user: &Identity, gid: Gid) -> Result<Option<Uid>, Errno> {
    // Naming the user one already is takes no privilege.
    if !geteuid().is_root() && geteuid() == user.uid && getegid() == gid {
        return Ok(None);
    }
    setresgid(gid, gid, gid)?;
    match &user.name {
        Some(name) => initgroups(name, gid)?,
        None => setgroups(&[gid])?,
    }
    Ok(Some(user.uid))
}

pub(crate) fn find_user(name: &str) -> Result<Identity, Failure> {
    let fail = |errno| Failure { step: Step::User, errno };
    let number = number(name).map(Uid::from_raw);
    let mut found = User::from_name(name).map_err(fail)?;
    if let (None, Some(uid)) = (&found, number) {
        found = User::from_uid(uid).map_err(fail)?;
    }
    match (found, number) {
        (Some(user), _) => {
            Ok(Identity { uid: user.uid, gid: Some(user.gid), name: CString::new(user.name).ok() })
        }
        (None, Some(uid)) => Ok(Identity { uid, gid: None, name: None }),
        (None, None) => Err(fail(Errno::ENOENT)),
    }
}

pub(crate) fn find_group(name: &str) -> Result<Gid, Failure> {
    let found = Group::from_name(name).map_err(|errno| Failure { step: Step::Group, errno })?;
    let number = || number(name).map(Gid::from_raw);
    let none = Failure { step: Step::Group, errno: Errno::ENOENT };
    found.map(|group| group.gid).or_else(number).ok_or(none)
}

/// An id given as a number. The largest one is no id: for the kernel it means "unchanged" (setresuid(2)), so the
/// program would run as the keeper's user.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}
