//! How does a program become a child of the keeper, and how is a failed start told from a short life?
//!
//! The child holds one end of a pipe that closes on exec. It writes the step that failed, with errno, or nothing at
//! all: end of file means that the program has been executed. The keeper polls its end, so that a start that hangs (a
//! user looked up over the network) holds up nothing else.
//!
//! Plain fork(2) is right here: the keeper is small, so copying its page tables is cheap, and single-threaded, so the
//! child may do anything before exec, look up users and allocate too.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::rlim_t;
use nix::unistd::{ForkResult, fork, pipe2, read, write};

use crate::program::Program;
use crate::protocol::{ExecPlan, Step};

/// A start that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// At which step.
    pub(crate) step: Step,
    /// Why.
    pub(crate) errno: Errno,
}

impl Failure {
    /// Names the step at which a call failed.
    pub(crate) fn at(step: Step) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { step, errno }
    }
}

/// The keeper's end of the status pipe of one start.
pub(crate) struct Pending(OwnedFd);

/// What a start has come to.
pub(crate) enum Verdict {
    /// Nothing yet.
    Pending,
    /// The program has been executed, or a signal ended the child before; either way it lived.
    Executed,
    /// A step failed; the child is ending.
    Failed(Failure),
}

impl Pending {
    /// Asks, without blocking.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut text = [0; 64];
        match read(&self.0, &mut text) {
            Err(Errno::EAGAIN | Errno::EINTR) => Verdict::Pending,
            Err(_) | Ok(0) => Verdict::Executed,
            Ok(size) => match serde_json::from_slice::<(Step, i32)>(&text[..size]) {
                Ok((step, errno)) => Verdict::Failed(Failure { step, errno: Errno::from_raw(errno) }),
                Err(_) => Verdict::Executed,
            },
        }
    }
}

impl From<OwnedFd> for Pending {
    /// The status pipe of a start that an earlier image of this keeper began.
    fn from(pipe: OwnedFd) -> Self {
        Self(pipe)
    }
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What every child gets apart from its plan.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inheritance<'a> {
    /// Its tag (see [`crate::tree`]).
    pub(crate) tag: Option<u64>,
    /// Soft and hard limit of open files.
    pub(crate) open_files: Option<(rlim_t, rlim_t)>,
    /// The `cgroup.procs` of its control group.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Forks a child that executes `plan`, with `attached` at the numbers the plan gives.
pub(crate) fn start(
    plan: &ExecPlan,
    attached: &[OwnedFd],
    inheritance: Inheritance<'_>,
) -> Result<(i32, Pending), Failure> {
    let program = Program::new(plan).map_err(|step| Failure { step, errno: Errno::EINVAL })?;
    if attached.len() != plan.descriptors.len() {
        return Err(Failure { step: Step::Descriptors, errno: Errno::EBADF });
    }
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC).map_err(Failure::at(Step::Fork))?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Failure::at(Step::Fork))?;
    // SAFETY: the keeper has one thread (`run` made sure), so the child's memory is consistent.
    match unsafe { fork() }.map_err(Failure::at(Step::Fork))? {
        ForkResult::Parent { child } => Ok((child.as_raw(), Pending(ours))),
        ForkResult::Child => {
            // A panic must not carry the child up into the keeper's loop.
            let steps = std::panic::AssertUnwindSafe(|| program.become_it(attached, theirs, inheritance));
            let _ = std::panic::catch_unwind(steps);
            exit_now()
        }
    }
}

/// Tells the keeper what failed. Less than PIPE_BUF, so it arrives whole.
pub(crate) fn tell(status: &OwnedFd, failure: Failure) {
    let text = serde_json::to_vec(&(failure.step, failure.errno as i32)).unwrap_or_default();
    let _ = write(status, &text);
}

/// Ends a forked child without running anything that belongs to the keeper.
fn exit_now() -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(127) }
}
