//! Does a run use more memory than its declaration allows, and how busy are those of apps that scale themselves? Looked at by a
//! thread of its own, every second as long as there is a run with a limit, and every 15 s as long as there is one of the
//! other kind; otherwise nothing wakes it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use supd_core::{Bytes, Load, Millicpu, Pid, RunId};
use tokio::sync::mpsc::UnboundedSender;

use super::available::available;
use super::census::{Census, Total};

/// From one look at limits to the next; and from the first run of an app that scales itself to the first look at it.
const PERIOD: Duration = Duration::from_secs(1);
/// From one look at the load to the next, as Kubernetes' `--horizontal-pod-autoscaler-sync-period`.
const LOAD_PERIOD: Duration = Duration::from_secs(15);

/// A run that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    pub(crate) run: RunId,
    pub(crate) main: Pid,
    /// It is told of when it uses more than so many bytes.
    pub(crate) limit: Option<u64>,
    /// Its app scales itself: what it uses is told every time.
    pub(crate) scales: bool,
}

/// A run that uses more than it may. Told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) run: RunId,
    /// Bytes.
    pub(crate) memory: u64,
    /// Bytes.
    pub(crate) limit: u64,
}

/// What all runs use whose apps scale themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) runs: Vec<Load>,
    /// What the machine could give to others.
    pub(crate) available: Option<Bytes>,
}

/// Where both are told.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    pub(crate) excesses: UnboundedSender<Excess>,
    pub(crate) loads: UnboundedSender<Loads>,
}

enum Order {
    Watch(Watched),
    Leave(RunId),
}

/// The thread, from outside. It ends with this.
pub(super) struct Sampler {
    keeper: i32,
    outlet: Outlet,
    /// `None`: there was no need for it yet.
    orders: Option<Sender<Order>>,
}

impl Sampler {
    pub(super) fn new(keeper: i32, outlet: Outlet) -> Self {
        Self { keeper, outlet, orders: None }
    }

    /// From now on looks at this run too.
    pub(super) fn watch(&mut self, watched: Watched) {
        if self.orders.is_none() {
            self.orders = self.start();
        }
        self.say(Order::Watch(watched));
    }

    /// Looks at this one no more.
    pub(super) fn leave(&mut self, run: RunId) {
        self.say(Order::Leave(run));
    }

    fn say(&self, order: Order) {
        // Its thread ends after us.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    fn start(&self) -> Option<Sender<Order>> {
        let (orders, inlet) = channel();
        let watch = Watch {
            census: Census::new(self.keeper),
            watched: Vec::new(),
            limits_at: None,
            loads_at: None,
            outlet: self.outlet.clone(),
        };
        let started = thread::Builder::new().name("figures".to_owned()).spawn(move || watch.run(&inlet));
        match started {
            Ok(_) => Some(orders),
            Err(error) => {
                tracing::error!(
                    "memory limits cannot be kept and nothing scales itself: no thread could be started: {error}"
                );
                None
            }
        }
    }
}

struct Watch {
    census: Census,
    /// With the processor time in ticks that the last look at its load has shown, and when.
    watched: Vec<(Watched, Option<(Instant, u64)>)>,
    limits_at: Option<Instant>,
    loads_at: Option<Instant>,
    outlet: Outlet,
}

impl Watch {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.limits_at.into_iter().chain(self.loads_at).min() {
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(next) => orders.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(order) => self.follow(order),
                Err(RecvTimeoutError::Timeout) => self.look(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn follow(&mut self, order: Order) {
        let run = match &order {
            Order::Watch(watched) => watched.run,
            Order::Leave(run) => *run,
        };
        self.watched.retain(|(known, _)| known.run != run);
        if let Order::Watch(watched) = order {
            self.watched.push((watched, None));
        }
        self.set_times(Instant::now() + PERIOD);
    }

    /// What nobody needs has no time, and what is needed and has none gets this one.
    fn set_times(&mut self, first: Instant) {
        let limits = self.watched.iter().any(|(watched, _)| watched.limit.is_some());
        let loads = self.watched.iter().any(|(watched, _)| watched.scales);
        self.limits_at = limits.then(|| self.limits_at.unwrap_or(first));
        self.loads_at = loads.then(|| self.loads_at.unwrap_or(first));
    }

    /// One pass for everything that is due.
    fn look(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (limits, loads) = (is_due(self.limits_at), is_due(self.loads_at));
        let wanted = |watched: &Watched| (limits && watched.limit.is_some()) || (loads && watched.scales);
        let wanted = self.watched.iter().map(|(watched, _)| watched).filter(|watched| wanted(watched));
        self.census.take(wanted.map(|watched| (watched.run, watched.main)));
        if limits {
            self.tell_excesses();
            self.limits_at = Some(now + PERIOD);
        }
        if loads {
            self.tell_loads(now);
            self.loads_at = Some(now + LOAD_PERIOD);
        }
        self.set_times(now + PERIOD);
    }

    fn tell_excesses(&mut self) {
        let Self { census, watched, outlet, .. } = self;
        for (watched, _) in watched.iter_mut() {
            let Some(limit) = watched.limit else { continue };
            let (run, memory) = (watched.run, census.total(watched.run).map_or(0, |total| total.memory));
            if memory > limit {
                // The loop may have ended; then nobody needs to know.
                let _ = outlet.excesses.send(Excess { run, memory, limit });
                watched.limit = None;
            }
        }
        watched.retain(|(watched, _)| watched.limit.is_some() || watched.scales);
    }

    fn tell_loads(&mut self, now: Instant) {
        let census = &self.census;
        let of_run = |(watched, before): &mut (Watched, Option<(Instant, u64)>)| {
            let Total { ticks, memory, .. } = census.total(watched.run)?;
            let cpu = before.replace((now, ticks)).map(|before| census.share(before, (now, ticks)));
            Some(Load { run: watched.run, cpu, memory: Bytes(memory) })
        };
        let runs = self.watched.iter_mut().filter(|(watched, _)| watched.scales).filter_map(of_run).collect();
        let _ = self.outlet.loads.send(Loads { runs, available: available() });
    }
}

impl Census {
    /// Of one processor, between two looks.
    fn share(&self, (then, before): (Instant, u64), (now, after): (Instant, u64)) -> Millicpu {
        let millis = now.duration_since(then).as_millis().max(1);
        let used = u128::from(after.saturating_sub(before)) * 1_000_000 / u128::from(self.ticks_per_second());
        Millicpu(u64::try_from(used / millis).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn sampler() -> (Sampler, UnboundedReceiver<Excess>, UnboundedReceiver<Loads>) {
        let keeper = nix::unistd::getppid().as_raw();
        let ((excesses, excesses_in), (loads, loads_in)) = (unbounded_channel(), unbounded_channel());
        (Sampler::new(keeper, Outlet { excesses, loads }), excesses_in, loads_in)
    }

    fn us(run: u64, limit: Option<u64>, scales: bool) -> Watched {
        Watched { run: RunId(run), main: Pid(std::process::id().cast_signed()), limit, scales }
    }

    #[test]
    fn only_the_one_that_is_too_large_is_told_of_and_once() {
        let (mut sampler, mut inlet, mut loads) = sampler();
        for (run, limit) in [(1, u64::MAX), (2, 1), (3, 1)] {
            sampler.watch(us(run, Some(limit), false));
        }
        sampler.leave(RunId(3));
        // Both sides of the limit are asked about in one look, so that after the second one both have been seen twice.
        let excess = inlet.blocking_recv().expect("one is too large");
        assert!(excess.run == RunId(2) && excess.limit == 1 && excess.memory > 100_000, "{excess:?}");
        sampler.watch(us(4, Some(2), false));
        assert_eq!(inlet.blocking_recv().map(|excess| excess.run), Some(RunId(4)));
        assert!(loads.try_recv().is_err(), "none scales itself");
    }

    #[test]
    fn the_load_is_told_of_those_that_scale_and_nothing_wakes_for_others() {
        let (sampler, _excesses, mut loads) = sampler();
        let start = Instant::now();
        let mut watch = Watch {
            census: Census::new(sampler.keeper),
            watched: Vec::new(),
            limits_at: None,
            loads_at: None,
            outlet: sampler.outlet,
        };
        watch.follow(Order::Watch(us(1, None, true)));
        assert!(watch.limits_at.is_none() && watch.loads_at.is_some());
        let after = |seconds| start + Duration::from_secs(seconds);
        watch.look(after(2));
        let first = loads.try_recv().expect("it is told");
        assert!(matches!(first.runs[..], [Load { run: RunId(1), cpu: None, memory: Bytes(100_000..) }]));
        assert!(first.available.is_some());
        assert_eq!(watch.loads_at, Some(after(17)));
        watch.follow(Order::Watch(Watched { main: Pid(-1), ..us(2, Some(u64::MAX), false) }));
        watch.look(after(3));
        assert!(loads.try_recv().is_err(), "it was the limit's turn only");
        watch.look(after(17));
        let second = loads.try_recv().expect("it is told again");
        assert!(matches!(second.runs[..], [Load { run: RunId(1), cpu: Some(_), .. }]), "{second:?}");
        watch.follow(Order::Leave(RunId(1)));
        watch.follow(Order::Leave(RunId(2)));
        assert!(watch.limits_at.is_none() && watch.loads_at.is_none());
    }

    #[test]
    fn shares_of_a_processor() {
        let census = Census::new(1);
        let (start, rate) = (Instant::now(), census.ticks_per_second());
        let share =
            |seconds, used| census.share((start, 7), (start + Duration::from_secs(seconds), 7 + used));
        assert_eq!(share(15, 15 * rate), Millicpu(1000));
        assert_eq!(share(10, 15 * rate), Millicpu(1500));
        assert_eq!(share(15, 0), Millicpu(0));
        assert_eq!(census.share((start, 9), (start, 7)), Millicpu(0), "a child was not waited for");
    }
}
