//! How does a process become another program and stay the keeper?
//!
//! Everything that is the process's own stays by itself: its number, its children, the blocked and the pending signals, the
//! working directory, limits, being the subreaper (execve(2), prctl(2)). What was in its memory travels as a
//! [`Table`] in a memfd, and the descriptors named there are kept open. A variable says where the table is and with which
//! descriptor the earlier program can be executed again; the command line stays what it was, and is not looked at.

use std::env;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::panic;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::fexecve;

use crate::keeper::{Keeper, Options, close_on_exec, say};
use crate::log::Level;
use crate::memfd;
use crate::protocol::{Report, RunId, Upgrade};
use crate::runs::{Phase, Run};
use crate::spawn::{Failure, Pending};
use crate::supervisor::{Present, Supervisor};
use crate::table::{self, HeldOrder, PhaseEntry, RunEntry, Table};
use crate::upgrade::{Held, Proven};

/// The variable: our process id, the number of the table's descriptor, that of the program to go back to, and, when this is
/// that program, why.
const VARIABLE: &str = "SUPD_HANDOVER";
/// So many bytes of a reason are passed on.
const REASON_MAX: usize = 1000;

/// What an earlier image of this process has left.
pub struct Handover {
    table: Table,
    way_back: WayBack,
    /// Why a newer image could not take over: this is the older one again.
    returned: Option<String>,
}

/// How the earlier program is executed again.
#[derive(Clone, Copy)]
struct WayBack {
    table: RawFd,
    program: RawFd,
}

/// Whether this process has been the keeper before, as another program, and is to go on. To be called first of all, before
/// the command line is looked at and while there is one thread.
///
/// From here until [`go_on`](crate::go_on) has taken everything over, a panic executes the earlier program again.
pub fn handed_over() -> Option<Handover> {
    let value = env::var(VARIABLE).ok()?;
    // SAFETY: one thread, as the caller promises.
    unsafe { env::remove_var(VARIABLE) };
    let mut words = value.splitn(4, ' ');
    let mut number = || words.next()?.parse::<i32>().ok();
    let (pid, table, program) = (number()?, number()?, number()?);
    // Otherwise it was meant for somebody else, from whom we have inherited it.
    if pid != std::process::id() as i32 {
        return None;
    }
    let (way_back, returned) = (WayBack { table, program }, words.next().map(str::to_owned));
    if returned.is_none() {
        panic::set_hook(Box::new(move |what| way_back.take(&format!("it panicked: {what}"))));
    }
    match way_back.read() {
        Ok(table) => Some(Handover { table, way_back, returned }),
        Err(why) => way_back.refuse(returned.is_some(), &why),
    }
}

impl Handover {
    /// The home of this keeper.
    pub fn home(&self) -> &Path {
        &self.table.home
    }

    /// Executes the earlier program again, for this reason. When that is not possible either, the process ends.
    pub fn refuse(&self, why: &str) -> ! {
        self.way_back.refuse(self.returned.is_some(), why)
    }
}

impl WayBack {
    fn read(self) -> Result<Table, String> {
        // SAFETY: the number comes from our earlier image; at worst it is closed, and the call fails.
        let file = unsafe { BorrowedFd::borrow_raw(self.table) };
        let text = memfd::read(file, table::SIZE_MAX).map_err(|error| format!("its table: {error}"))?;
        let table = Table::parse(&text)?;
        for number in table.numbers() {
            // SAFETY: as above.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            fcntl(descriptor, FcntlArg::F_GETFD)
                .map_err(|errno| format!("descriptor {number} did not arrive: {errno}"))?;
        }
        Ok(table)
    }

    fn refuse(self, is_back: bool, why: &str) -> ! {
        if !is_back {
            self.take(why);
        }
        say(Level::Error, format_args!("cannot go on: {why}"));
        std::process::exit(1)
    }

    /// Returns only when the earlier program cannot be executed.
    fn take(self, why: &str) {
        say(Level::Error, format_args!("this program cannot go on ({why}): back to the one before"));
        let why: String =
            why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect();
        // SAFETY: open since the earlier image, and never closed by this one while it can go back.
        let program = unsafe { BorrowedFd::borrow_raw(self.program) };
        let errno =
            execute(program, &format!("{} {} {} {why}", std::process::id(), self.table, self.program));
        say(Level::Error, format_args!("which cannot be executed: {errno}"));
    }
}

/// Replaces the image of this process; returns when it failed.
fn execute(program: BorrowedFd<'_>, handover: &str) -> Errno {
    let text = |text: OsString| CString::new(text.into_vec()).ok();
    let argv: Vec<CString> = env::args_os().filter_map(text).collect();
    let kept = env::vars_os().filter(|(name, _)| name != VARIABLE);
    let joined = kept.map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let ours = OsString::from(format!("{VARIABLE}={handover}"));
    let environment: Vec<CString> = joined.chain([ours]).filter_map(text).collect();
    match fexecve(program, &argv, &environment) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

impl Keeper {
    /// Answers [`Order::Rehearse`](crate::protocol::Order::Rehearse).
    pub(crate) fn rehearse(&mut self) {
        match self.table(None, &[]).and_then(|table| write(&table)) {
            Ok(document) => self.supervisor.tell(Report::Rehearsal, vec![Rc::new(document)]),
            Err(error) => {
                say(Level::Warning, format_args!("the table cannot be written down: {error}"));
                self.supervisor.tell(Report::Rehearsal, Vec::new());
            }
        }
    }

    /// Becomes the program of the supervisor on trial. Returns only when that failed, with the reason; then all is as before.
    pub(crate) fn become_image(&self, proven: &Proven<'_>) -> String {
        let prepared = self.table(Some(proven.upgrade), proven.held).and_then(|table| {
            let ours = open("/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            Ok((write(&table)?, ours, table))
        });
        let (document, ours, table) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return format!("the keeper's table cannot be written down: {error}"),
        };
        let (document_number, ours_number) = (document.as_raw_fd(), ours.as_raw_fd());
        for number in table.numbers().chain([document_number, ours_number]) {
            // SAFETY: all are open, here or in self; this only marks them.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            if let Err(errno) = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty())) {
                close_on_exec();
                return format!("descriptor {number} cannot be kept open: {errno}");
            }
        }
        let handover = format!("{} {document_number} {ours_number}", std::process::id());
        let errno = execute(proven.image.as_fd(), &handover);
        close_on_exec();
        format!("the keeper cannot execute it: {errno}")
    }

    fn table(&self, upgrade: Option<&Upgrade>, held: &[Held]) -> io::Result<Table> {
        let supervisor = self.supervisor.written_down(Instant::now());
        let supervisor = supervisor.ok_or_else(|| io::Error::other("there is no supervisor"))?;
        let held_order = |Held { order, attached }: &Held| HeldOrder {
            order: order.clone(),
            attached: attached.iter().map(AsRawFd::as_raw_fd).collect(),
        };
        Ok(Table {
            version: table::VERSION,
            home: self.home.clone(),
            runs: self.runs.0.iter().map(|(id, run)| run.written_down(*id)).collect(),
            store: self.store.iter().map(|(name, kept)| (name.clone(), kept.as_raw_fd())).collect(),
            snapshot: self.snapshot.as_ref().map(|snapshot| snapshot.as_raw_fd()),
            lock: self.lock.as_ref().map(|lock| lock.as_raw_fd()),
            supervisor,
            upgrade: upgrade.cloned(),
            held: held.iter().map(held_order).collect(),
            open_files: self.open_files,
            since: self.since,
            announced: self.announced,
            terminate: self.terminate,
        })
    }

    /// Goes on from the table of an earlier image, or does not return.
    pub(crate) fn take_over(options: &Options, handover: Handover) -> Self {
        let now = Instant::now();
        // Whatever can fail comes before anything is owned, and dropped by failing.
        let idle = Self::idle(options, Supervisor::new(options, now));
        let idle = idle.unwrap_or_else(|error| handover.refuse(&error.to_string()));
        let Handover { table, way_back, returned } = handover;
        let (mut keeper, upgrade, held) = idle.adopt(options, table, now);
        let _ = panic::take_hook();
        // SAFETY: our earlier image opened both for us alone; nobody goes back from here.
        drop(unsafe { [OwnedFd::from_raw_fd(way_back.table), OwnedFd::from_raw_fd(way_back.program)] });
        close_on_exec();
        // It is executed by a descriptor, whose number would be its name in ps(1).
        let _ = prctl::set_name(c"supd");
        match (upgrade, returned) {
            (None, _) => {}
            (Some(upgrade), None) => keeper.upgrade_is_done(upgrade, held),
            (Some(upgrade), Some(why)) => keeper.upgrade_has_failed(upgrade, why),
        }
        // A signal that came meanwhile is pending; one that came just before may have been read already.
        keeper.reap();
        keeper
    }

    /// Makes everything in the table this keeper's own.
    fn adopt(mut self, options: &Options, table: Table, now: Instant) -> (Self, Option<Upgrade>, Vec<Held>) {
        // SAFETY: all numbers are open and differ (`WayBack::read`); nobody else in this process owns them.
        let own = |number: RawFd| unsafe { OwnedFd::from_raw_fd(number) };
        let shared = |number: RawFd| Rc::new(own(number));
        let supervisor = Present {
            pid: table.supervisor.pid,
            age: table.supervisor.age,
            start: Pending::from(own(table.supervisor.start)),
            link: own(table.supervisor.link).into(),
            unanswered: table.supervisor.unanswered,
            starts: table.supervisor.starts,
            short_lives: table.supervisor.short_lives,
        };
        self.supervisor = Supervisor::taken_over(options, supervisor, now);
        self.store = table.store.into_iter().map(|(name, number)| (name, shared(number))).collect();
        self.snapshot = table.snapshot.map(shared);
        self.lock = table.lock.map(shared);
        self.runs.0 = table.runs.into_iter().map(|entry| (entry.run, Run::taken_over(entry, own))).collect();
        self.open_files = table.open_files;
        self.since = table.since;
        self.announced = table.announced;
        self.terminate = table.terminate;
        self.home = table.home;
        let held = table.held.into_iter();
        let held = held
            .map(|HeldOrder { order, attached }| Held {
                order,
                attached: attached.into_iter().map(own).collect(),
            })
            .collect();
        (self, table.upgrade, held)
    }
}

fn write(table: &Table) -> io::Result<OwnedFd> {
    memfd::write(c"supd-table", &serde_json::to_vec(table)?)
}

impl Run {
    fn written_down(&self, run: RunId) -> RunEntry {
        let phase = match &self.phase {
            Phase::Spawning(pending) => PhaseEntry::Spawning { status: pending.as_fd().as_raw_fd() },
            Phase::Failing(Failure { step, errno }) => {
                PhaseEntry::Failing { step: *step, errno: *errno as i32 }
            }
            Phase::Alive => PhaseEntry::Alive,
            Phase::Exited { exit, survivors } => PhaseEntry::Exited { exit: *exit, survivors: *survivors },
        };
        RunEntry {
            run,
            pid: self.pid,
            doomed: self.doomed,
            peak_memory: self.peak_memory,
            leaf: self.leaf.clone(),
            phase,
        }
    }

    fn taken_over(entry: RunEntry, own: impl Fn(RawFd) -> OwnedFd) -> Self {
        let phase = match entry.phase {
            PhaseEntry::Spawning { status } => Phase::Spawning(Pending::from(own(status))),
            PhaseEntry::Failing { step, errno } => {
                Phase::Failing(Failure { step, errno: Errno::from_raw(errno) })
            }
            PhaseEntry::Alive => Phase::Alive,
            PhaseEntry::Exited { exit, survivors } => Phase::Exited { exit, survivors },
        };
        Self { pid: entry.pid, phase, doomed: entry.doomed, peak_memory: entry.peak_memory, leaf: entry.leaf }
    }
}
