//! Processor and memory figures of main processes, read when somebody looks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};
use supd_core::{Mono, Pid, RunId};

/// Two looks closer together than this share one sample: the share over a few milliseconds says nothing.
const SAMPLE_AGE: Duration = Duration::from_millis(500);

/// What one process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Percent of one processor since the look before.
    pub(super) cpu: f64,
    /// Processor time so far.
    pub(super) cpu_time: Duration,
    /// Resident memory in bytes.
    pub(super) memory: u64,
    /// A signal (SIGSTOP) holds it: it does nothing until SIGCONT.
    pub(super) held: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Mono,
    ticks: u64,
    cpu: f64,
}

/// The latest sample of each run.
pub(super) struct Figures {
    samples: BTreeMap<RunId, Sample>,
    ticks_per_second: f64,
    page: u64,
}

impl Figures {
    pub(super) fn new() -> Self {
        let setting = |name, otherwise| sysconf(name).ok().flatten().unwrap_or(otherwise);
        Self {
            samples: BTreeMap::new(),
            ticks_per_second: setting(SysconfVar::CLK_TCK, 100) as f64,
            page: setting(SysconfVar::PAGE_SIZE, 4096).unsigned_abs(),
        }
    }

    /// Reads what a run's main process uses; zero for one that has ended.
    pub(super) fn look(&mut self, run: RunId, pid: Pid, started: Mono, now: Mono) -> Usage {
        let Some((held, ticks, pages)) = read(pid) else { return Usage::default() };
        let before = self.samples.get(&run).copied().unwrap_or(Sample { at: started, ticks: 0, cpu: 0.0 });
        let span = now.since(before.at);
        let cpu = if self.samples.contains_key(&run) && span < SAMPLE_AGE {
            before.cpu
        } else {
            let seconds = span.as_secs_f64().max(1e-3);
            let cpu = ticks.saturating_sub(before.ticks) as f64 / self.ticks_per_second / seconds * 100.0;
            self.samples.insert(run, Sample { at: now, ticks, cpu });
            cpu
        };
        Usage { cpu: (cpu * 10.0).round() / 10.0, ..self.usage(held, ticks, pages) }
    }

    /// What one of our own processes uses; zero for one that has ended.
    pub(super) fn own(&self, pid: i32) -> Usage {
        read(Pid(pid)).map_or_else(Usage::default, |(held, ticks, pages)| self.usage(held, ticks, pages))
    }

    fn usage(&self, held: bool, ticks: u64, pages: u64) -> Usage {
        let cpu_time = Duration::from_secs_f64(ticks as f64 / self.ticks_per_second);
        Usage { cpu: 0.0, cpu_time, memory: pages * self.page, held }
    }

    pub(super) fn forget(&mut self, run: RunId) {
        self.samples.remove(&run);
    }
}

/// Whether it is stopped, processor time in ticks and resident pages, from `/proc/PID/stat` (proc_pid_stat(5)).
fn read(pid: Pid) -> Option<(bool, u64, u64)> {
    // More than 52 fields of 20 digits. One read into a buffer of this size: with hundreds of workers the system calls
    // are what a look costs.
    let mut text = [0; 2048];
    let count = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
    // The second field, the command's name in parentheses, may contain any bytes.
    let name_end = text[..count].iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(text.get(name_end + 2..count)?).ok()?;
    let mut fields = fields.split(' ');
    // The next one is number 3; each `nth` goes on after the one before.
    let held = fields.next()? == "T";
    let mut fields = fields.map(|field| field.parse::<u64>().ok());
    let (user, system, pages) = (fields.nth(14 - 4)??, fields.next()??, fields.nth(24 - 16)??);
    Some((held, user + system, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let pid = Pid(std::process::id().cast_signed());
        let usage = Figures::new().look(RunId(1), pid, Mono(0), Mono(1_000_000_000));
        assert!((100_000..1 << 32).contains(&usage.memory), "{usage:?}");
        assert_eq!(Figures::new().look(RunId(1), Pid(-1), Mono(0), Mono(1)), Usage::default());
    }
}
