//! What do runs use of processor and memory, all their processes together? Read when somebody looks, for runs with a limit
//! once a second, and for those of apps that scale themselves every 15 s.

mod available;
mod census;
mod sampler;

use std::collections::BTreeMap;
use std::time::Duration;

use supd_core::{AppName, Event, Mono, Phase, Pid, RunId, RunView};

use crate::supervisor::turn::Shell;
use census::Census;
pub(crate) use sampler::{Excess, Loads, Outlet};
use sampler::{Sampler, Watched};

/// Two looks closer together than this share one sample: the share over a few milliseconds says nothing.
const SAMPLE_AGE: Duration = Duration::from_millis(500);

/// What a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Percent of one processor since the look before.
    pub(crate) cpu: f64,
    /// Processor time so far, of children that were waited for too.
    pub(crate) cpu_time: Duration,
    /// Bytes of memory, as `census.rs` counts them.
    pub(crate) memory: u64,
    /// A signal (SIGSTOP) holds its main process: it does nothing until SIGCONT.
    pub(crate) held: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Mono,
    ticks: u64,
    cpu: f64,
}

/// The latest sample of each run.
pub(crate) struct Figures {
    census: Census,
    samples: BTreeMap<RunId, Sample>,
    sampler: Sampler,
}

impl Figures {
    /// Of what descends from this process. What the runs that are looked at by themselves use goes into the outlet.
    pub(crate) fn new(keeper: i32, outlet: Outlet) -> Self {
        Self { census: Census::new(keeper), samples: BTreeMap::new(), sampler: Sampler::new(keeper, outlet) }
    }

    /// Looks at these runs.
    pub(crate) fn look(&mut self, runs: impl Iterator<Item = (RunId, Pid)>) {
        self.census.take(runs);
    }

    /// What the last look has shown of a run; zero for one that has ended.
    pub(crate) fn usage(&mut self, run: RunId, started: Mono, now: Mono) -> Usage {
        let Some(total) = self.census.total(run) else { return Usage::default() };
        let before = self.samples.get(&run).copied().unwrap_or(Sample { at: started, ticks: 0, cpu: 0.0 });
        let span = now.since(before.at);
        let cpu = if self.samples.contains_key(&run) && span < SAMPLE_AGE {
            before.cpu
        } else {
            let (ticks, seconds) = (total.ticks, span.as_secs_f64().max(1e-3));
            let cpu =
                ticks.saturating_sub(before.ticks) as f64 / self.census.ticks_per_second() as f64 / seconds
                    * 100.0;
            self.samples.insert(run, Sample { at: now, ticks, cpu });
            cpu
        };
        let cpu_time = self.time(total.ticks);
        Usage { cpu: (cpu * 10.0).round() / 10.0, cpu_time, memory: total.memory, held: total.held }
    }

    /// Processor time and resident memory in bytes of one of our own processes; zero for one that has ended.
    pub(crate) fn own(&mut self, pid: Pid) -> (Duration, u64) {
        let (ticks, memory) = self.census.single(pid.0).unwrap_or_default();
        (self.time(ticks), memory)
    }

    fn time(&self, ticks: u64) -> Duration {
        Duration::from_secs_f64(ticks as f64 / self.census.ticks_per_second() as f64)
    }

    pub(crate) fn forget(&mut self, run: RunId) {
        self.samples.remove(&run);
        self.sampler.leave(run);
    }
}

impl Shell {
    /// A run that is up is held to its limit, if it has one, and looked at for its load, if its app scales itself.
    pub(crate) fn sample(&mut self, run: RunId) {
        let ready = |view: &RunView| matches!(view.phase, Phase::Ready { .. });
        let view = self.core.run(run).map(|(.., view)| view).filter(ready);
        let (Some(main), Some(revision)) = (view.and_then(|view| view.pid), self.revision_of(run)) else {
            return;
        };
        let limit = revision.declaration.restart.max_memory_restart;
        let scales = revision.declaration.autoscale.is_some();
        if limit.is_some() || scales {
            self.figures.sampler.watch(Watched { run, main, limit, scales });
        }
    }

    /// The limit of this app, or whether it scales itself, may have changed while its runs go on.
    pub(crate) fn sample_anew(&mut self, app: &AppName) {
        let runs = self.core.runs().filter(|(name, ..)| *name == app);
        let runs: Vec<RunId> = runs.map(|(.., run)| run.run).collect();
        for run in runs {
            self.sample_no_more(run);
            self.sample(run);
        }
    }

    /// One that is told to go may use what it likes.
    pub(crate) fn sample_no_more(&mut self, run: RunId) {
        self.figures.sampler.leave(run);
    }

    pub(crate) fn on_excess(&mut self, excess: Excess) {
        let Excess { run, memory, limit } = excess;
        let why = format!("uses {} of memory, its limit is {}", spoken(memory), spoken(limit));
        self.turn(Event::Oversize { run, why });
    }
}

/// As `supctl list` shows memory.
pub(crate) fn spoken(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match bytes {
        0..0x10_0000 => format!("{kib:.1}kb"),
        0x10_0000..0x4000_0000 => format!("{:.1}mb", kib / 1024.0),
        0x4000_0000.. => format!("{:.2}gb", kib / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = Pid(std::process::id().cast_signed());
        let outlet = Outlet {
            excesses: tokio::sync::mpsc::unbounded_channel().0,
            loads: tokio::sync::mpsc::unbounded_channel().0,
        };
        let mut figures = Figures::new(nix::unistd::getppid().as_raw(), outlet);
        figures.look([(RunId(1), pid), (RunId(2), Pid(-1))].into_iter());
        let usage = figures.usage(RunId(1), Mono(0), Mono(1_000_000_000));
        assert!((100_000..1 << 36).contains(&usage.memory) && !usage.held, "{usage:?}");
        assert_eq!(figures.usage(RunId(2), Mono(0), Mono(1)), Usage::default());
    }

    #[test]
    fn amounts_of_memory() {
        for (bytes, text) in
            [(1, "0.0kb"), (512 << 10, "512.0kb"), (300 << 20, "300.0mb"), (3 << 29, "1.50gb")]
        {
            assert_eq!(spoken(bytes), text);
        }
    }
}
