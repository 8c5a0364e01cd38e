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

/// A run that has drained may have work left behind its last answer, and most end by themselves: so long it is let be.
const LINGER: Duration = Duration::from_secs(1);

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
    /// Told to accept nothing more; it finishes what it has.
    Draining {
        /// When it is asked to go all the same.
        until: Mono,
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
    Drained,
    Exited {
        survivors: bool,
    },
    Gone,
    Deadline,
    /// It will not get ready.
    Hopeless,
    /// While it starts, it asks for so much from now on. Who is asked to go has no more than its declaration says.
    MoreTime(Duration),
}

/// What a run owes before it counts as ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proof {
    /// What its declaration says.
    #[default]
    Usual,
    /// It takes the place of another: where its declaration asks for no proof, it has to live for a while.
    Life,
    /// It stands beside one that told, and must tell too: silence is failure here, whatever the declaration says.
    Word,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Tell the run to accept nothing more.
    Drain,
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
            Self::Spawning { until } | Self::Starting { until } | Self::Draining { until } => Some(until),
            Self::Ready { .. } => None,
            Self::Stopping { kill_at } | Self::Sweeping { kill_at } => Some(kill_at),
        }
    }

    /// Whether the run is wanted or at least not yet told to go.
    pub(crate) fn is_active(self) -> bool {
        match self {
            Self::Spawning { .. } | Self::Starting { .. } | Self::Ready { .. } => true,
            Self::Draining { .. } | Self::Stopping { .. } | Self::Sweeping { .. } => false,
        }
    }

    /// Since when it is ready, if it is.
    pub(crate) fn ready_since(self) -> Option<Mono> {
        match self {
            Self::Ready { since } => Some(since),
            Self::Spawning { .. }
            | Self::Starting { .. }
            | Self::Draining { .. }
            | Self::Stopping { .. }
            | Self::Sweeping { .. } => None,
        }
    }

    /// The table.
    pub(crate) fn step(self, fact: &Fact, now: Mono, spec: &Spec, proof: Proof) -> Step {
        use Fact::{Deadline, Drained, Exited, Gone, Hopeless, MoreTime, NotStarted, Ready as Told, Spawned};
        let ask = |order| {
            let kill_at = now + spec.kill_timeout;
            Step::Go(Self::Sweeping { kill_at }, Some(order))
        };
        match (self, fact) {
            // Whatever it was about to do, it is over.
            (_, Gone | NotStarted | Exited { survivors: false }) => Step::End,

            (Self::Spawning { .. }, Spawned(_)) => Step::Go(Self::executed(now, spec, proof), None),
            (Self::Spawning { .. }, Drained | Hopeless | MoreTime(_)) => Step::Stay,
            // The run's own channel can be faster than the keeper's report.
            (Self::Spawning { .. }, Told) => Step::Go(Self::Ready { since: now }, None),
            (Self::Spawning { .. }, Exited { survivors: true }) => ask(Order::Sweep),
            (Self::Spawning { .. }, Deadline) => {
                Step::Late(Self::Stopping { kill_at: now + KILL_AGAIN }, Order::Kill)
            }

            (Self::Starting { .. }, Spawned(_) | Drained) => Step::Stay,
            (Self::Starting { .. }, Told) => Step::Go(Self::Ready { since: now }, None),
            (Self::Starting { .. }, Exited { survivors: true }) => ask(Order::Sweep),
            (Self::Starting { .. }, Deadline) if silence_is_consent(spec, proof) => {
                Step::Go(Self::Ready { since: now }, None)
            }
            // It may have accepted something before it has told, or although it is not well.
            (Self::Starting { .. }, Deadline | Hopeless) => match spec.farewell() {
                Some(limit) => Step::Late(Self::Draining { until: now + limit }, Order::Drain),
                None => Step::Late(Self::Stopping { kill_at: now + spec.kill_timeout }, Order::Stop),
            },
            (Self::Starting { until }, MoreTime(more)) => {
                Step::Go(Self::Starting { until: until.max(now + *more) }, None)
            }

            (Self::Ready { .. }, Spawned(_) | Told | Drained | Deadline | Hopeless | MoreTime(_)) => {
                Step::Stay
            }
            (Self::Ready { .. }, Exited { survivors: true }) => ask(Order::Sweep),

            (Self::Draining { .. }, Spawned(_) | Told | Hopeless | MoreTime(_)) => Step::Stay,
            (Self::Draining { .. }, Exited { survivors: true }) => ask(Order::Sweep),
            (Self::Draining { until }, Drained) => {
                Step::Go(Self::Draining { until: until.min(now + LINGER) }, None)
            }
            (Self::Draining { .. }, Deadline) => {
                Step::Go(Self::Stopping { kill_at: now + spec.kill_timeout }, Some(Order::Stop))
            }

            (Self::Stopping { .. }, Spawned(_) | Told | Drained | Hopeless | MoreTime(_)) => Step::Stay,
            // Those left have until the same moment; with `treekill: false` they hear of it only now.
            (Self::Stopping { kill_at }, Exited { survivors: true }) => {
                Step::Go(Self::Sweeping { kill_at }, Some(Order::Sweep))
            }
            (Self::Stopping { .. }, Deadline) => {
                Step::Go(Self::Stopping { kill_at: now + KILL_AGAIN }, Some(Order::Kill))
            }

            (
                Self::Sweeping { .. },
                Spawned(_) | Told | Drained | Hopeless | MoreTime(_) | Exited { survivors: true },
            ) => Step::Stay,
            (Self::Sweeping { .. }, Deadline) => {
                Step::Go(Self::Sweeping { kill_at: now + KILL_AGAIN }, Some(Order::Kill))
            }
        }
    }

    /// The phase of a run whose program has just been executed.
    fn executed(now: Mono, spec: &Spec, proof: Proof) -> Self {
        match grace(spec, proof) {
            Some(grace) => Self::Starting { until: now + grace },
            None => Self::Ready { since: now },
        }
    }
}

/// Whether a run that has not said in time that it is ready is taken as ready.
fn silence_is_consent(spec: &Spec, proof: Proof) -> bool {
    match (spec.readiness, proof) {
        (Readiness::Executed, _) => true,
        (Readiness::Told { late: OnLate::Assume, .. }, Proof::Usual | Proof::Life) => true,
        (Readiness::Told { late: OnLate::Assume, .. }, Proof::Word)
        | (Readiness::Told { late: OnLate::Fail, .. }, _) => false,
    }
}

/// How long a run may be neither ready nor late; `None`: it is ready as soon as its program is executed.
pub(crate) fn grace(spec: &Spec, proof: Proof) -> Option<Duration> {
    match (spec.readiness, proof) {
        (Readiness::Executed, Proof::Usual) => None,
        (Readiness::Executed, Proof::Life | Proof::Word) => {
            Some(spec.settle).filter(|settle| !settle.is_zero())
        }
        (Readiness::Told { within, .. }, Proof::Usual | Proof::Life) => Some(within),
        (Readiness::Told { within, .. }, Proof::Word) => Some(within.max(spec.reload_within)),
    }
}
