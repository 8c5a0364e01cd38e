//! What does an order change?
//!
//! A supervisor that breaks the protocol is answered with a line on stderr. It cannot make the keeper forget a living
//! child, overwrite one, or signal anything but runs it has not forgotten.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use nix::errno::Errno;

use crate::cgroup;
use crate::keeper::{Keeper, say};
use crate::log::Level;
use crate::program::SIGNAL_MAX;
use crate::protocol::{DescriptorName, ExecPlan, Order, Report, RunId, Scope, Step};
use crate::runs::{Phase, Run};
use crate::spawn::{self, Failure, Inheritance, Verdict};
use crate::tree::{self, Descent, Mark};

/// So many orders are read before other things get their turn.
const ORDERS_PER_TURN: usize = 64;

impl Keeper {
    /// Reads orders and carries them out, up to a limit.
    pub(crate) fn read_orders(&mut self) {
        for _ in 0..ORDERS_PER_TURN {
            if !self.read_order() {
                return;
            }
        }
    }

    /// Reads what a supervisor that has ended still ordered.
    pub(crate) fn read_last_orders(&mut self) {
        while self.read_order() {}
    }

    /// Whether there may be another one.
    fn read_order(&mut self) -> bool {
        let Some(link) = self.supervisor.link() else { return false };
        let received = if self.is_trying() {
            link.try_recv().map(|message| message.map(|(order, attached)| self.weigh(order, attached)))
        } else {
            link.try_recv().map(|message| message.map(|(order, attached)| self.obey(order, attached)))
        };
        match received {
            Ok(Some(())) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                say(Level::Warning, format_args!("{error}"))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It ended without reading all reports, which is said once and before its last orders (unix(7)).
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Ok(None) | Err(_) => {
                self.supervisor.hang_up();
                return false;
            }
        }
        true
    }

    /// Carries an order out.
    pub(crate) fn obey(&mut self, order: Order, mut attached: Vec<OwnedFd>) {
        match order {
            Order::Spawn { run, plan, keep } => self.spawn(run, &plan, keep, attached),
            Order::Signal { run, signal, scope } => self.signal(run, signal, scope),
            Order::Forget { run } => self.forget(run),
            Order::Store { name } => match (attached.pop(), attached.is_empty()) {
                (Some(descriptor), true) => drop(self.store.insert(name, Rc::new(descriptor))),
                _ => say(
                    Level::Warning,
                    format_args!("an order to store {name:?} came without its one descriptor"),
                ),
            },
            Order::Close { name } => drop(self.store.remove(&name)),
            Order::Snapshot => match (attached.pop(), attached.is_empty()) {
                (Some(snapshot), true) => self.snapshot = Some(Rc::new(snapshot)),
                _ => say(Level::Warning, format_args!("a snapshot came without its one descriptor")),
            },
            Order::Ready => self.supervisor_is_ready(),
            Order::Failed { why } => say(Level::Error, format_args!("the supervisor cannot serve: {why}")),
            Order::Rehearse => self.rehearse(),
            Order::Upgrade { program, upgrade } => self.begin_upgrade(program, upgrade),
            Order::Pong => self.supervisor.answered(),
            Order::Quit { code } => self.end(code),
        }
    }

    fn spawn(&mut self, run: RunId, plan: &ExecPlan, keep: Vec<DescriptorName>, mut attached: Vec<OwnedFd>) {
        if self.runs.0.contains_key(&run) {
            return say(Level::Warning, format_args!("an order to start run {} came twice", run.0));
        }
        // Those that came may have taken what is set aside; where there was no room at all the kernel has left some out.
        let fits = self.have_room();
        self.make_room();
        let started = if !fits {
            Err(Failure { step: Step::Descriptors, errno: Errno::EMFILE })
        } else if attached.len() != plan.descriptors.len() + keep.len() {
            Err(Failure { step: Step::Descriptors, errno: Errno::EBADF })
        } else {
            let kept = attached.split_off(plan.descriptors.len());
            self.start(run, plan, &attached).map(|run| (run, kept))
        };
        match started {
            Ok((begun, kept)) => {
                self.runs.0.insert(run, begun);
                self.store.extend(keep.into_iter().zip(kept.into_iter().map(Rc::new)));
            }
            Err(failure) => self.tell_spawn_failed(run, failure),
        }
    }

    fn start(&mut self, run: RunId, plan: &ExecPlan, attached: &[OwnedFd]) -> Result<Run, Failure> {
        let tag = self.tagging.then(|| tree::tag(run));
        let cgroup = plan.cgroup.as_ref().map(|cgroup| self.grouping.make(cgroup)).transpose()?.flatten();
        let (leaf, procs): (Option<PathBuf>, Option<File>) = cgroup.unzip();
        let inheritance =
            Inheritance { tag, open_files: Some(self.open_files), cgroup: procs.as_ref().map(AsFd::as_fd) };
        match spawn::start(plan, attached, inheritance) {
            Ok((pid, pending)) => {
                Ok(Run { pid, phase: Phase::Spawning(pending), doomed: false, peak_memory: 0, leaf })
            }
            Err(failure) => {
                leaf.into_iter().for_each(|leaf| self.grouping.leave(leaf));
                Err(failure)
            }
        }
    }

    pub(crate) fn tell_spawn_failed(&mut self, run: RunId, Failure { step, errno }: Failure) {
        self.supervisor.tell(Report::SpawnFailed { run, step, errno: errno as i32 }, Vec::new());
    }

    /// Looks what a start has come to.
    pub(crate) fn settle(&mut self, id: RunId) {
        let Some(run) = self.runs.0.get_mut(&id) else { return };
        let Phase::Spawning(pending) = &run.phase else { return };
        match pending.verdict() {
            Verdict::Pending => {}
            Verdict::Failed(failure) => run.phase = Phase::Failing(failure),
            Verdict::Executed => {
                run.phase = Phase::Alive;
                let pid = run.pid;
                self.supervisor.tell(Report::Spawned { run: id, pid }, Vec::new());
            }
        }
    }

    fn signal(&mut self, id: RunId, signal: i32, scope: Scope) {
        if !(1..=SIGNAL_MAX).contains(&signal) {
            return say(
                Level::Warning,
                format_args!("an order to send signal {signal}, which does not exist"),
            );
        }
        match (scope, self.runs.0.get(&id)) {
            (Scope::Main, Some(run)) if !run.is_reaped() => tree::signal_child(run.pid, signal),
            (Scope::Tree, Some(run)) if !run.is_gone() => self.signal_tree(id, signal),
            (Scope::Main | Scope::Tree, _) => {}
        }
    }

    /// Signals every process of a run.
    pub(crate) fn signal_tree(&mut self, id: RunId, signal: i32) {
        let Some(run) = self.runs.0.get_mut(&id) else { return };
        run.doomed |= signal == libc::SIGKILL;
        if let Some(leaf) = run.leaf.as_ref().filter(|_| signal == libc::SIGKILL) {
            // At once, and whatever it does meanwhile. The marks find who has left the group, and do it where it is missing.
            cgroup::kill(leaf);
        }
        let mark = Mark { run: id, main: run.pid, reaped: run.is_reaped() };
        let marks = self.runs.marks();
        let supervisor = self.supervisor.pid();
        let find =
            |descent: &Descent| tree::roots(descent, &marks, supervisor).remove(&id).unwrap_or_default();
        if !tree::signal_tree(signal, mark, find) {
            self.look_again();
        }
    }

    fn forget(&mut self, id: RunId) {
        match self.runs.0.get(&id) {
            None => {}
            Some(run) if run.is_reaped() => self.drop_run(id),
            Some(_) => say(Level::Warning, format_args!("an order to forget run {}, which is alive", id.0)),
        }
    }

    /// Drops a run and what is kept for it.
    pub(crate) fn drop_run(&mut self, id: RunId) {
        if let Some(leaf) = self.runs.0.remove(&id).and_then(|run| run.leaf) {
            self.grouping.leave(leaf);
        }
        self.store.retain(|name, _| name.run() != Some(id));
    }
}
