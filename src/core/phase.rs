//! The life of one run, as a table: every phase with every fact, none left out.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::clock::Mono;
use crate::id::Pid;
use crate::spec::{OnLate, Readiness, Spec};

/// A spawn that takes longer hangs in the operating system (a dead network disk under the working directory).
pub(crate) const SPAWN_LIMIT: Duration = Duration::from_secs(30);
/// A kill that did not help is repeated after so long: the process may have been in an uninterruptible wait.
pub(crate) const KILL_AGAIN: Duration = Duration::from_secs(1);

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Ordered, not yet executed.
    Spawning {
        /// When the order counts as stuck.
        until: Mono,
    },
    /// Executed, not yet ready.
    Starting {
        /// When it is late.
        until: Mono,
    },
    /// Ready.
    Ready {
        /// Since when.
        since: Mono,
    },
    /// Asked to go.
    Stopping {
        /// When it is killed.
        kill_at: Mono,
    },
    /// Its main process has ended, other processes of it have not.
    Sweeping {
        /// When they are killed.
        kill_at: Mono,
    },
}

/// What can happen to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Spawned(Pid),
    NotStarted,
    Ready,
    Exited { survivors: bool },
    Gone,
    Deadline,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask the run to go, in the app's way.
    Stop,
    /// Ask what is left of it to go.
    Sweep,
    /// Kill all of it.
    Kill,
}

/// What follows from a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Stay,
    /// The next phase, with an order on the way.
    Go(Phase, Option<Order>),
    /// Executed but late, and that counts as failure: the next phase and its order.
    Late(Phase, Order),
    /// The run is over.
    End,
}

impl Phase {
    /// The moment at which [`Fact::Deadline`] is due.
    pub(crate) fn deadline(self) -> Option<Mono> {
        match self {
            Self::Spawning { until } | Self::Starting { until } => Some(until),
            Self::Ready { .. } => None,
            Self::Stopping { kill_at } | Self::Sweeping { kill_at } => Some(kill_at),
        }
    }

    /// Whether the run is wanted or at least not yet told to go.
    pub(crate) fn is_active(self) -> bool {
        match self {
            Self::Spawning { .. } | Self::Starting { .. } | Self::Ready { .. } => true,
            Self::Stopping { .. } | Self::Sweeping { .. } => false,
        }
    }

    /// Since when it is ready, if it is.
    pub(crate) fn ready_since(self) -> Option<Mono> {
        match self {
            Self::Ready { since } => Some(since),
            Self::Spawning { .. } | Self::Starting { .. } | Self::Stopping { .. } | Self::Sweeping { .. } => {
                None
            }
        }
    }

    /// The table. `must_tell` is [`OnLate::Fail`] by another name: silence is failure here, whatever the spec says.
    pub(crate) fn step(self, fact: &Fact, now: Mono, spec: &Spec, must_tell: bool) -> Step {
        use Fact::{Deadline, Exited, Gone, NotStarted, Ready as Told, Spawned};
        let ask = |order| {
            let kill_at = now + spec.kill_timeout;
            Step::Go(Self::Sweeping { kill_at }, Some(order))
        };
        match (self, fact) {
            (Self::Spawning { .. }, Spawned(_)) => Step::Go(Self::executed(now, spec), None),
            (Self::Spawning { .. }, NotStarted | Gone | Exited { survivors: false }) => Step::End,
            // The run's own channel can be faster than the keeper's report.
            (Self::Spawning { .. }, Told) => Step::Go(Self::Ready { since: now }, None),
            (Self::Spawning { .. }, Exited { survivors: true }) => ask(Order::Sweep),
            (Self::Spawning { .. }, Deadline) => {
                Step::Late(Self::Stopping { kill_at: now + KILL_AGAIN }, Order::Kill)
            }

            (Self::Starting { .. }, Spawned(_)) => Step::Stay,
            (Self::Starting { .. }, NotStarted | Gone | Exited { survivors: false }) => Step::End,
            (Self::Starting { .. }, Told) => Step::Go(Self::Ready { since: now }, None),
            (Self::Starting { .. }, Exited { survivors: true }) => ask(Order::Sweep),
            (Self::Starting { .. }, Deadline) => match spec.readiness {
                Readiness::Told { late: OnLate::Assume, .. } if !must_tell => {
                    Step::Go(Self::Ready { since: now }, None)
                }
                Readiness::Told { .. } | Readiness::Executed => {
                    Step::Late(Self::Stopping { kill_at: now + spec.kill_timeout }, Order::Stop)
                }
            },

            (Self::Ready { .. }, Spawned(_) | Told | Deadline) => Step::Stay,
            (Self::Ready { .. }, NotStarted | Gone | Exited { survivors: false }) => Step::End,
            (Self::Ready { .. }, Exited { survivors: true }) => ask(Order::Sweep),

            (Self::Stopping { .. }, Spawned(_) | Told) => Step::Stay,
            (Self::Stopping { .. }, NotStarted | Gone | Exited { survivors: false }) => Step::End,
            // Those left have until the same moment; with `treekill: false` they hear of it only now.
            (Self::Stopping { kill_at }, Exited { survivors: true }) => {
                Step::Go(Self::Sweeping { kill_at }, Some(Order::Sweep))
            }
            (Self::Stopping { .. }, Deadline) => {
                Step::Go(Self::Stopping { kill_at: now + KILL_AGAIN }, Some(Order::Kill))
            }

            (Self::Sweeping { .. }, Spawned(_) | NotStarted | Told | Exited { survivors: true }) => {
                Step::Stay
            }
            (Self::Sweeping { .. }, Gone | Exited { survivors: false }) => Step::End,
            (Self::Sweeping { .. }, Deadline) => {
                Step::Go(Self::Sweeping { kill_at: now + KILL_AGAIN }, Some(Order::Kill))
            }
        }
    }

    /// The phase of a run whose program has just been executed.
    fn executed(now: Mono, spec: &Spec) -> Self {
        match spec.readiness {
            Readiness::Executed => Self::Ready { since: now },
            Readiness::Told { within, .. } => Self::Starting { until: now + within },
        }
    }
}
