//! Which processes does each run consist of, and what do they use together?
//!
//! One pass over the numbers in `/proc`, for any number of runs. What a process belongs to is found out once: it descends from a
//! main process, or the keeper has adopted it and it is in a main process's session or bears the mark of its run
//! ([`supd_keeper::marked`]). After that only what belongs to the runs in question is read, which costs what they cost.
//!
//! **Memory** is what the processes have for themselves, and of what they share with files or others the largest part: resident
//! memory less its shared part (proc_pid_statm(5)), summed up, and the largest of those parts. For a single process that is its
//! resident memory, as PM2 and `top` show it; the program text of a family of processes counts once. Their proportional share (PSS)
//! would be exact where they share pages since fork too, but reading it walks through all page tables and is for privileged
//! eyes, and what a control group is charged with includes cached files that the kernel would give up at once.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io::Write;

use nix::dir::Dir;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{SysconfVar, read, sysconf};
use supd_core::{Pid, RunId};
use supd_keeper::marked;

/// A line of proc_pid_stat(5) has 52 fields of at most 20 digits and a name.
const LINE_MAX: usize = 2048;
/// A longer line of ancestors is none of ours.
const DEPTH_MAX: usize = 100;

/// What all processes of a run use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) run: RunId,
    main: Pid,
    pub(super) processes: u32,
    /// Processor time so far, of children that were waited for too.
    pub(super) ticks: u64,
    /// Bytes; see the head of this file.
    pub(super) memory: u64,
    /// A signal (SIGSTOP) holds the main process.
    pub(super) held: bool,
    /// Of the memory, the part that counts once.
    shared: u64,
}

/// To what a process belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Run(RunId),
    /// It does not descend from the keeper.
    Stranger,
}

/// What was found out about a process.
#[derive(Clone, Copy, Debug)]
struct Known {
    owner: Owner,
    /// When it was started, in ticks since boot: tells it from a later owner of its number.
    born: u64,
    /// The last pass that saw it.
    pass: u64,
}

/// Everything known of the processes of this machine.
pub(super) struct Census {
    keeper: i32,
    page: u64,
    ticks_per_second: u64,
    proc: Option<Dir>,
    known: HashMap<i32, Known>,
    pass: u64,
    /// These three are kept for their memory: a pass allocates nothing.
    pids: Vec<i32>,
    totals: Vec<Total>,
    line: Box<[u8; LINE_MAX]>,
}

impl Census {
    /// Of the descendants of this process.
    pub(super) fn new(keeper: i32) -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
        let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Self {
            keeper,
            page: page.unsigned_abs(),
            ticks_per_second: ticks.unsigned_abs().max(1),
            proc: None,
            known: HashMap::new(),
            pass: 0,
            pids: Vec::new(),
            totals: Vec::new(),
            line: Box::new([0; LINE_MAX]),
        }
    }

    /// In which processor time is counted.
    pub(super) fn ticks_per_second(&self) -> u64 {
        self.ticks_per_second
    }

    /// Looks at these runs, by their main processes.
    pub(super) fn take(&mut self, mains: impl Iterator<Item = (RunId, Pid)>) {
        self.pass += 1;
        self.totals.clear();
        self.totals.extend(mains.map(|(run, main)| Total::none(run, main)));
        self.totals.sort_unstable_by_key(|total| total.run);
        for total in &self.totals {
            let owner = Owner::Run(total.run);
            let known = self.known.entry(total.main.0).or_insert(Known { owner, born: 0, pass: 0 });
            known.owner = owner;
        }
        self.list();
        for at in 0..self.pids.len() {
            self.look(self.pids[at]);
        }
        let pass = self.pass;
        self.known.retain(|_, known| known.pass == pass);
        let page = self.page;
        self.totals.iter_mut().for_each(|total| total.memory = (total.memory + total.shared) * page);
    }

    /// What the last pass has found of a run; `None`: it was not asked for, or nothing of it is there.
    pub(super) fn total(&self, run: RunId) -> Option<Total> {
        let at = self.totals.binary_search_by_key(&run, |total| total.run).ok()?;
        self.totals.get(at).copied().filter(|total| total.processes > 0)
    }

    /// Processor time in ticks, without its children's, and resident memory in bytes of one process, whatever it belongs to.
    pub(super) fn single(&mut self, pid: i32) -> Option<(u64, u64)> {
        let (stat, (resident, _)) = (self.stat(pid)?, self.statm(pid)?);
        Some((stat.own_ticks, resident * self.page))
    }

    /// The numbers of all processes there are.
    fn list(&mut self) {
        self.pids.clear();
        if self.proc.is_none() {
            self.proc = Dir::open("/proc", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok();
        }
        let entries = self.proc.iter_mut().flat_map(Dir::iter).flatten();
        self.pids.extend(entries.filter_map(|entry| entry.file_name().to_str().ok()?.parse::<i32>().ok()));
    }

    fn look(&mut self, pid: i32) {
        let known = self.known.get_mut(&pid);
        if let Some(known) = known {
            known.pass = self.pass;
            let wanted = |run| self.totals.binary_search_by_key(&run, |total| total.run).is_ok();
            if !matches!(known.owner, Owner::Run(run) if wanted(run)) {
                return;
            }
        }
        let Some(stat) = self.stat(pid) else { return };
        match self.owner(pid, &stat) {
            Some(Owner::Run(run)) => {
                if let Ok(at) = self.totals.binary_search_by_key(&run, |total| total.run) {
                    self.add(at, pid, &stat);
                }
            }
            Some(Owner::Stranger) | None => {}
        }
    }

    /// To what it belongs; `None`: the keeper's own child, of which that is not to be seen yet.
    fn owner(&mut self, pid: i32, stat: &Stat) -> Option<Owner> {
        if let Some(known) = self.known.get_mut(&pid).filter(|it| it.born == stat.born || it.born == 0) {
            known.born = stat.born;
            return Some(known.owner);
        }
        let owner = self.trace(pid, *stat)?;
        self.known.insert(pid, Known { owner, born: stat.born, pass: self.pass });
        Some(owner)
    }

    fn trace(&mut self, mut pid: i32, mut stat: Stat) -> Option<Owner> {
        for _ in 0..DEPTH_MAX {
            if stat.parent == self.keeper {
                let in_session = self.totals.iter().find(|total| total.main.0 == stat.session);
                let marked = || marked(pid).map(|run| RunId(run.0));
                // Whatever started the daemon may be a run of another one, and then the supervisor has the mark of that.
                let supervisor = pid == std::process::id().cast_signed();
                let run = in_session.map(|total| total.run).or_else(marked).filter(|_| !supervisor);
                return run.map(Owner::Run);
            }
            if let Some(known) = self.known.get(&stat.parent) {
                return Some(known.owner);
            }
            if stat.parent == 0 {
                break;
            }
            pid = stat.parent;
            stat = self.stat(pid)?;
        }
        Some(Owner::Stranger)
    }

    fn add(&mut self, at: usize, pid: i32, stat: &Stat) {
        let (resident, shared) = self.statm(pid).unwrap_or_default();
        let total = &mut self.totals[at];
        total.memory += resident.saturating_sub(shared);
        total.shared = total.shared.max(shared);
        total.processes += 1;
        total.ticks += stat.ticks;
        total.held |= pid == total.main.0 && stat.held;
    }

    fn stat(&mut self, pid: i32) -> Option<Stat> {
        let text = file(pid, "stat", self.line.as_mut_slice())?;
        // The second field, the command's name in parentheses, may contain any bytes.
        let name_end = text.iter().rposition(|&byte| byte == b')')?;
        let mut fields = std::str::from_utf8(text.get(name_end + 2..)?).ok()?.split(' ');
        // The next one is number 3; each `nth` goes on after the one before.
        let held = fields.next()? == "T";
        let mut numbers = fields.map(|field| field.parse::<i64>().unwrap_or_default());
        let (parent, session) = (numbers.next()?, numbers.nth(6 - 5)?);
        let mut numbers = numbers.map(i64::unsigned_abs);
        let ticks = [numbers.nth(14 - 7)?, numbers.next()?, numbers.next()?, numbers.next()?];
        let born = numbers.nth(22 - 18)?;
        let pid = |number| i32::try_from(number).unwrap_or_default();
        let [user, system, ..] = ticks;
        let (own_ticks, ticks) = (user + system, ticks.iter().sum());
        Some(Stat { held, parent: pid(parent), session: pid(session), own_ticks, ticks, born })
    }

    /// Resident pages, and how many of them are shared. Newer kernels count them exactly here, and in `stat` roughly.
    fn statm(&mut self, pid: i32) -> Option<(u64, u64)> {
        let text = std::str::from_utf8(file(pid, "statm", self.line.as_mut_slice())?).ok()?;
        let mut numbers = text.split(' ').skip(1).map(|field| field.parse::<u64>().ok());
        Some((numbers.next()??, numbers.next()??))
    }
}

impl Total {
    fn none(run: RunId, main: Pid) -> Self {
        Self { run, main, processes: 0, ticks: 0, memory: 0, held: false, shared: 0 }
    }
}

/// A process as proc_pid_stat(5) shows it.
#[derive(Clone, Copy, Debug)]
struct Stat {
    held: bool,
    parent: i32,
    session: i32,
    own_ticks: u64,
    /// Those of children that were waited for, too.
    ticks: u64,
    born: u64,
}

/// What stands in one of its small files.
fn file<'a>(pid: i32, name: &str, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut path = [0; 32];
    write!(&mut path[..], "/proc/{pid}/{name}\0").ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let length = read(&file, buffer).ok()?;
    buffer.get(..length)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// A shell in a session of its own that has said a line, as a main process of ours would be.
    fn shell(script: &str) -> (Child, String) {
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        (shell, line.trim().to_owned())
    }

    fn pid(child: &Child) -> Pid {
        Pid(child.id().cast_signed())
    }

    fn end(mut shell: Child) {
        let group = nix::unistd::Pid::from_raw(shell.id().cast_signed());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("it is ours");
        shell.wait().expect("its end");
    }

    const ONE: RunId = RunId(1);
    const TWO: RunId = RunId(2);

    fn census() -> Census {
        Census::new(std::process::id().cast_signed())
    }

    #[test]
    fn a_run_is_its_whole_tree_and_nothing_else() {
        let (one, _) = shell("(sh -c 'sleep 1000 & echo x; wait') & wait");
        let (two, _) = shell("echo x; read x");
        let mut census = census();
        for _ in 0..2 {
            census.take([(TWO, pid(&two)), (ONE, pid(&one))].into_iter());
            let processes = |run| census.total(run).map(|total| total.processes);
            assert_eq!((processes(ONE), processes(TWO)), (Some(3), Some(1)));
            census.take([(TWO, pid(&two))].into_iter());
            assert_eq!(census.total(ONE), None, "it was not asked for");
        }
        end(one);
        end(two);
    }

    #[test]
    fn a_child_that_comes_later_is_seen_and_one_that_goes_is_not() {
        let (mut one, _) = shell("echo x; read x; sleep 1000 & echo x; wait");
        let mut census = census();
        let take = |census: &mut Census, main| {
            census.take([(ONE, main)].into_iter());
            census.total(ONE).map(|total| total.processes)
        };
        let main = pid(&one);
        assert_eq!(take(&mut census, main), Some(1));
        writeln!(one.stdin.as_mut().expect("its input"), "go").expect("it reads");
        let mut line = String::new();
        BufReader::new(one.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        assert_eq!(take(&mut census, main), Some(2));
        end(one);
        // What is left of it may need a moment to die.
        while take(&mut census, main).is_some() {
            std::thread::yield_now();
        }
        assert!(!census.known.contains_key(&main.0), "what is gone is forgotten");
    }

    #[test]
    fn one_process_has_its_resident_memory_and_more_of_one_kind_share_their_text() {
        let (one, _) = shell("echo x; read x");
        let (two, _) = shell("sleep 1000 & sleep 1000 & echo x; wait");
        let mut census = census();
        census.take([(ONE, pid(&one)), (TWO, pid(&two))].into_iter());
        let resident = |main: Pid, census: &mut Census| census.single(main.0).expect("it lives").1;
        let alone = census.total(ONE).expect("it lives");
        assert_eq!(alone.memory, resident(pid(&one), &mut census));
        // Two of the three are still being executed at first; what they share in the end is mostly libc.
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            census.take([(TWO, pid(&two))].into_iter());
            let three = census.total(TWO).expect("it lives");
            assert_eq!(three.processes, 3);
            let of_two = census.known.iter().filter(|(_, it)| it.owner == Owner::Run(TWO));
            let family: Vec<Pid> = of_two.map(|(pid, _)| Pid(*pid)).collect();
            let each: Vec<u64> = family.into_iter().map(|pid| resident(pid, &mut census)).collect();
            let most = each.iter().copied().max().unwrap_or_default();
            if three.memory < each.iter().sum() && three.memory > most {
                break;
            }
            assert!(Instant::now() < patience, "{three:?}: {each:?}");
            std::thread::yield_now();
        }
        end(one);
        end(two);
    }

    #[test]
    fn this_process_and_its_descent() {
        let us = Pid(std::process::id().cast_signed());
        let mut census = Census::new(nix::unistd::getppid().as_raw());
        census.take([(ONE, us), (TWO, Pid(-1))].into_iter());
        let total = census.total(ONE).expect("we live");
        assert!((100_000..1 << 36).contains(&total.memory), "{total:?}");
        assert_eq!(census.total(TWO), None, "there is no such process");
    }
}
