//! Every decision of supd, and nothing but decisions.
//!
//! Question answered here: *given what is wished and what has happened, what must be done now?* The caller hands in
//! one [`Event`] at a time with the present [`Now`] and carries out the [`Effect`]s it gets back; what they lead to
//! comes back as further events. The core reads no clock, touches no file and knows no process; the same events
//! always lead to the same effects, so a recorded run can be replayed.
//!
//! *Record, then reconcile*: an event writes a fact or a wish down, then a few idempotent rules compare facts with
//! wishes and close the gap (`supervisor.rs`). One process's life is the table in `phase.rs`; one seat's rules are in
//! `seat/`, the moving of many seats to a new revision in `rollout.rs`, the order among apps in `depends.rs`, their
//! number by load in `autoscale.rs`, the restart policy in `restart.rs`.

mod answers;
mod app;
mod autoscale;
mod clock;
mod depends;
mod event;
mod id;
mod incident;
mod outbox;
mod over;
mod phase;
mod restart;
mod rollout;
mod seat;
mod spec;
mod supervisor;
mod view;
mod wishes;

pub use autoscale::{Autoscale, Bytes, Figure, Finding, Hold, Load, Millicpu, ScalingView};
pub use clock::{Mono, Now, Wall};
pub use event::{Death, Effect, Event, Exit, Happening, Known, KnownState, Recalled, What, WorkerResult};
pub use id::{AppName, Pid, RequestId, RevisionId, RunId, WorkerId};
pub use incident::{Alert, Ground, Incidents, Trouble};
pub use outbox::{Letter, Outbox};
pub use over::Over;
pub use phase::Phase;
pub use spec::{Condition, OnLate, PmTwoRules, Readiness, RestartPolicy, Spec};
pub use supervisor::{SNAPSHOT_VERSION, Snapshot, Supervisor};
pub use view::{RunView, SeatView, State};
