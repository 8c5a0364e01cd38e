//! How does a command run as a worker would, and never outlive whoever wants its answer?
//!
//! Checks of a worker are started by the supervisor itself: they come often, are over soon, and mean nothing to its
//! successor. Three leashes hold such a process. It leads a process group, which is killed as a whole when the main
//! process has ended or the answer is no longer wanted. The kernel kills it when the thread that started it is gone
//! (`PR_SET_PDEATHSIG`). And it bears the tag of the run it is for (see `tree.rs`), so that what left both is swept with
//! that run.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{
    Gid, Pid, Uid, chdir, getegid, geteuid, getgrouplist, getppid, setgroups, setresgid, setresuid,
};

use crate::program::{find_group, find_user};
use crate::protocol::{Exit, RunId};
use crate::tree;

/// What to execute and how. It holds an environment, so it has no derived `Debug`.
#[derive(Clone)]
pub struct CompanionPlan {
    /// The run whose tag it gets.
    pub run: RunId,
    /// A path, or a name to look up in the `PATH` of `env`.
    pub program: String,
    /// The arguments that follow.
    pub args: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
    /// User name or id; `None`: unchanged. Sets the supplementary groups too.
    pub user: Option<String>,
    /// Group name or id; `None`: the user's primary group.
    pub group: Option<String>,
}

impl fmt::Debug for CompanionPlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CompanionPlan")
            .field("run", &self.run)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// One process from before its start until it has been reaped. To be shared between the thread that lives it and those
/// who may end it.
#[derive(Debug)]
pub struct Companion(Mutex<Stage>);

#[derive(Debug)]
enum Stage {
    Starting,
    /// The leader of the group; not reaped, so its number is its own.
    Living(Pid),
    /// It is over, or nobody wants it any more.
    Over,
}

impl Default for Companion {
    fn default() -> Self {
        Self(Mutex::new(Stage::Starting))
    }
}

impl Companion {
    /// Starts the process, with `input` to read and both outputs into `output`, and waits for its end: blocks, and so wants a thread of its own.
    /// When it returns, nothing of the process group is left.
    ///
    /// # Errors
    /// In words, when there is no such user or group, or the process cannot be started.
    pub fn live(&self, plan: &CompanionPlan, input: Stdio, output: OwnedFd) -> io::Result<Exit> {
        let mut command = command(plan, input, output)?;
        let mut child = command.spawn().map_err(|error| place(plan, error))?;
        // It holds the write end of `output`, whose reader shall see the end.
        drop(command);
        let leader = Pid::from_raw(child.id() as i32);
        self.started(leader);
        // Not reaped yet: the number stays its own, and its group's. An error other than EINTR means that it has ended
        // in a way for which nix has no name.
        while waitid(Id::Pid(leader), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut stage = self.stage();
        kill_group(leader);
        let ended = child.wait();
        *stage = Stage::Over;
        let status = ended?;
        Ok(status.signal().map_or_else(|| Exit::Code(status.code().unwrap_or_default()), Exit::Signal))
    }

    /// Ends it with everything in its group; at once, or when it has been started. Without effect when it is over.
    pub fn kill(&self) {
        let mut stage = self.stage();
        if let Stage::Living(leader) = *stage {
            kill_group(leader);
        }
        *stage = Stage::Over;
    }

    fn started(&self, leader: Pid) {
        let mut stage = self.stage();
        match *stage {
            Stage::Over => kill_group(leader),
            Stage::Starting | Stage::Living(_) => *stage = Stage::Living(leader),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // Every value of it is valid at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kill_group(leader: Pid) {
    // There is at least the leader, as a zombie.
    let _ = killpg(leader, Signal::SIGKILL);
}

/// Names the file that a start has failed over.
fn place(plan: &CompanionPlan, error: io::Error) -> io::Error {
    let inside = std::fs::metadata(&plan.cwd).is_ok_and(|place| place.is_dir());
    let place = if inside { plan.program.clone() } else { format!("working directory {}", plan.cwd) };
    let why = error.raw_os_error().map(|number| Errno::from_raw(number).desc().to_owned());
    io::Error::new(error.kind(), format!("{place}: {}", why.unwrap_or_else(|| error.to_string())))
}

fn command(plan: &CompanionPlan, input: Stdio, output: OwnedFd) -> io::Result<Command> {
    let mut command = Command::new(&plan.program);
    command.args(&plan.args).env_clear().envs(plan.env.iter().map(|(name, value)| (name, value)));
    command.stdin(input).stdout(output.try_clone()?).stderr(output).process_group(0);
    let us = Pid::this();
    let cwd = CString::new(plan.cwd.as_str())?;
    let identity = identity(plan)?;
    // Inside a run of another keeper everything has that one's tag already.
    let tag = (tree::limit_of(us.as_raw()) == Some(libc::RLIM_INFINITY)).then(|| tree::tag(plan.run));
    let prepare = move || {
        if let Some(identity) = &identity {
            identity.take()?;
        }
        chdir(cwd.as_c_str())?;
        if let Some(tag) = tag {
            // Kernels that only look like Linux may refuse.
            let _ = setrlimit(Resource::RLIMIT_RTTIME, tag, tag);
        }
        // After the change of identity, which clears it.
        set_pdeathsig(Signal::SIGKILL)?;
        // We may have died before that: nobody would tell.
        if getppid() == us { Ok(()) } else { Err(Errno::ESRCH.into()) }
    };
    // SAFETY: the closure runs in a forked child of a process with several threads. It makes plain system calls with what
    // was prepared before the fork, allocates nothing and takes no lock.
    unsafe { command.pre_exec(prepare) };
    Ok(command)
}

/// Whom to become, looked up before the fork.
struct Identity {
    user: Option<(Uid, Vec<Gid>)>,
    gid: Gid,
}

impl Identity {
    fn take(&self) -> nix::Result<()> {
        let Some((uid, groups)) = &self.user else { return setresgid(self.gid, self.gid, self.gid) };
        // Naming the user one already is takes no privilege.
        if !geteuid().is_root() && geteuid() == *uid && getegid() == self.gid {
            return Ok(());
        }
        setgroups(groups)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(*uid, *uid, *uid)
    }
}

fn identity(plan: &CompanionPlan) -> io::Result<Option<Identity>> {
    let missing = |what, name: Option<&str>, errno: Errno| {
        let why = if errno == Errno::ENOENT { "there is none of that name" } else { errno.desc() };
        io::Error::other(format!("{what} `{}`: {why}", name.unwrap_or_default()))
    };
    let (user, group) = (plan.user.as_deref(), plan.group.as_deref());
    let found = user.map(find_user).transpose().map_err(|failure| missing("user", user, failure.errno))?;
    let gid = group.map(find_group).transpose().map_err(|failure| missing("group", group, failure.errno))?;
    match (found, gid) {
        (None, None) => Ok(None),
        (None, Some(gid)) => Ok(Some(Identity { user: None, gid })),
        (Some(found), gid) => {
            let gid = gid
                .or(found.gid)
                .ok_or_else(|| io::Error::other("a user without a group: name a `group`"))?;
            let groups = found.name.map_or(Ok(vec![gid]), |name| getgrouplist(&name, gid))?;
            Ok(Some(Identity { user: Some((found.uid, groups)), gid }))
        }
    }
}
