//! Does a run use more memory than its declaration allows? Looked at every second by a thread of its own, as long as there is a
//! run with a limit; otherwise nothing wakes it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use supd_core::{Pid, RunId};
use tokio::sync::mpsc::UnboundedSender;

use super::census::Census;

/// From one look to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// A run with a limit.
#[derive(Clone, Copy, Debug)]
pub(in crate::supervisor) struct Limited {
    pub(in crate::supervisor) run: RunId,
    pub(in crate::supervisor) main: Pid,
    /// Bytes.
    pub(in crate::supervisor) limit: u64,
}

/// A run that uses more than it may. Told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::supervisor) struct Excess {
    pub(in crate::supervisor) run: RunId,
    /// Bytes.
    pub(in crate::supervisor) memory: u64,
    /// Bytes.
    pub(in crate::supervisor) limit: u64,
}

enum Order {
    Watch(Limited),
    Leave(RunId),
}

/// The thread, from outside. It ends with this.
pub(super) struct Sampler {
    keeper: i32,
    outlet: UnboundedSender<Excess>,
    /// `None`: there was no need for it yet.
    orders: Option<Sender<Order>>,
}

impl Sampler {
    pub(super) fn new(keeper: i32, outlet: UnboundedSender<Excess>) -> Self {
        Self { keeper, outlet, orders: None }
    }

    /// From now on looks at this run too.
    pub(super) fn watch(&mut self, limited: Limited) {
        if self.orders.is_none() {
            self.orders = self.start();
        }
        self.say(Order::Watch(limited));
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
        let watch =
            Watch { census: Census::new(self.keeper), watched: Vec::new(), outlet: self.outlet.clone() };
        let started = thread::Builder::new().name("figures".to_owned()).spawn(move || watch.run(&inlet));
        match started {
            Ok(_) => Some(orders),
            Err(error) => {
                tracing::error!("memory limits cannot be kept: no thread could be started: {error}");
                None
            }
        }
    }
}

struct Watch {
    census: Census,
    watched: Vec<Limited>,
    outlet: UnboundedSender<Excess>,
}

impl Watch {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut next = Instant::now();
        loop {
            let idle = self.watched.is_empty();
            let order = match idle {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(next.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(order) => {
                    self.follow(order);
                    if idle {
                        next = Instant::now() + PERIOD;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    next = Instant::now() + PERIOD;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn follow(&mut self, order: Order) {
        let run = match &order {
            Order::Watch(limited) => limited.run,
            Order::Leave(run) => *run,
        };
        self.watched.retain(|known| known.run != run);
        if let Order::Watch(limited) = order {
            self.watched.push(limited);
        }
    }

    fn look(&mut self) {
        self.census.take(self.watched.iter().map(|limited| (limited.run, limited.main)));
        let (census, outlet) = (&self.census, &self.outlet);
        self.watched.retain(|&Limited { run, limit, .. }| {
            let memory = census.total(run).map_or(0, |total| total.memory);
            if memory > limit {
                // The loop may have ended; then nobody needs to know.
                let _ = outlet.send(Excess { run, memory, limit });
            }
            memory <= limit
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn only_the_one_that_is_too_large_is_told_of_and_once() {
        let us = Pid(std::process::id().cast_signed());
        let keeper = nix::unistd::getppid().as_raw();
        let (outlet, mut inlet) = unbounded_channel();
        let mut sampler = Sampler::new(keeper, outlet);
        for (run, limit) in [(1, u64::MAX), (2, 1), (3, 1)] {
            sampler.watch(Limited { run: RunId(run), main: us, limit });
        }
        sampler.leave(RunId(3));
        // Both sides of the limit are asked about in one look, so that after the second one both have been seen twice.
        let excess = inlet.blocking_recv().expect("one is too large");
        assert!(excess.run == RunId(2) && excess.limit == 1 && excess.memory > 100_000, "{excess:?}");
        sampler.watch(Limited { run: RunId(4), main: us, limit: 2 });
        assert_eq!(inlet.blocking_recv().map(|excess| excess.run), Some(RunId(4)));
    }
}
