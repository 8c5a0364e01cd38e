//! Who has ended, and is anything left of it?

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::cgroup;
use crate::keeper::Keeper;
use crate::protocol::{Exit, Report, RunId};
use crate::runs::Phase;
use crate::tree::{self, Descent};

/// After a look that saw less than there may be.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl Keeper {
    /// Reaps every child that has ended. Unknown ones are adopted descendants, or, as PID 1 of a container, orphans
    /// of any origin; that they ended may mean that a run is gone.
    pub(crate) fn reap(&mut self) {
        let mut supervisor_exit = None;
        let mut ended = Vec::new();
        while let Some(Zombie { pid, exit, peak_memory }) = next_zombie() {
            if self.supervisor.pid() == Some(pid) {
                supervisor_exit = Some(exit);
            } else if let Some(run) = self.runs.of_main(pid) {
                self.main_ended(run, exit, peak_memory);
                ended.push(run);
            }
        }
        self.look_for_survivors(&ended);
        if let Some(exit) = supervisor_exit {
            self.read_last_orders();
            let now = Instant::now();
            let why = self.supervisor.ended(exit, now);
            self.supervisor_is_gone(&why, now);
        }
    }

    fn main_ended(&mut self, id: RunId, exit: Exit, peak_memory: u64) {
        // It may have been faster than our reading of its status pipe.
        self.settle(id);
        let Some(run) = self.runs.0.get_mut(&id) else { return };
        match run.phase {
            Phase::Failing(failure) => {
                self.drop_run(id);
                self.tell_spawn_failed(id, failure);
            }
            Phase::Spawning(_) | Phase::Alive | Phase::Exited { .. } => {
                run.phase = Phase::Exited { exit, survivors: true };
                run.peak_memory = peak_memory;
            }
        }
    }

    /// For want of descriptors not everything could be seen: it will be looked at again.
    pub(crate) fn look_again(&mut self) {
        self.look_at.get_or_insert(Instant::now() + LOOK_AGAIN);
    }

    /// Looks at what could not be seen before.
    pub(crate) fn look_if_due(&mut self, now: Instant) {
        if self.look_at.is_some_and(|at| at <= now) {
            self.look_at = None;
            self.look_for_survivors(&[]);
        }
    }

    /// Finds out which of the runs whose main process has ended still have others, and reports what is new: exits
    /// of `ended`, the end of earlier ones' last survivor.
    fn look_for_survivors(&mut self, ended: &[RunId]) {
        let with_survivors = |phase: &Phase| matches!(phase, Phase::Exited { survivors: true, .. });
        if !self.runs.0.values().any(|run| with_survivors(&run.phase)) {
            return;
        }
        let descent = Descent::now();
        let alive = tree::roots(&descent, &self.runs.marks(), self.supervisor.pid());
        if descent.is_blind() {
            self.look_again();
        }
        let mut reports = Vec::new();
        let mut doomed = Vec::new();
        for (id, run) in &mut self.runs.0 {
            let Phase::Exited { exit, survivors } = &mut run.phase else { continue };
            if !*survivors {
                continue;
            }
            // What cannot be seen may be there. Its group knows those too that have thrown off every mark.
            let in_group = || run.leaf.as_deref().is_some_and(cgroup::is_populated);
            *survivors = alive.contains_key(id) || descent.is_blind() || in_group();
            if ended.contains(id) {
                let (exit, survivors, peak_memory) = (*exit, *survivors, run.peak_memory);
                reports.push(Report::Exited { run: *id, exit, survivors, peak_memory });
            } else if !*survivors {
                reports.push(Report::Gone { run: *id });
            }
            if *survivors && run.doomed {
                doomed.push(*id);
            }
        }
        for report in reports {
            self.supervisor.tell(report, Vec::new());
        }
        for run in doomed {
            self.signal_tree(run, libc::SIGKILL);
        }
    }
}

/// A child that has ended.
struct Zombie {
    pid: i32,
    exit: Exit,
    /// The most memory it had, in bytes; 0: not known.
    peak_memory: u64,
}

/// The next one, reaped.
///
/// By libc: nix's `waitpid` fails for a child ended by a real-time signal, after it has been reaped, and it has no wait4.
fn next_zombie() -> Option<Zombie> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: wait4 writes one int and one rusage to the given places.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    // SAFETY: all its fields are integers, for which zeros are as good as what wait4 may have written over them.
    let usage = unsafe { usage.assume_init() };
    // In KiB (getrusage(2)): of the process itself or of the largest descendant it has waited for.
    let peak_memory = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024);
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    (pid > 0).then_some(Zombie { pid, exit, peak_memory })
}
