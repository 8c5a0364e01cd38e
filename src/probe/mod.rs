//! Asking a worker whether it works.
//!
//! Question answered here: *does this worker do its work?* By a request, a connection or a command, again and again, as
//! Kubernetes defines its startup, readiness and liveness probes (`pkg/kubelet/prober/worker.go`). This module may
//! not decide what follows from an answer, and it knows neither the core nor how a worker was started.
//!
//! [`watch`] starts one task per probe. It sleeps until the next check is due; what may block (looking a host name or a user
//! up, starting a command) is done by a thread that lives for that check alone, so that one app's slow disk or name
//! server does not hold up another app's probes.
//!
//! * `tally`: how many answers make a finding.
//! * `question`: what is asked where; `address`, `http`, `hand_over` and `command` do the asking.

mod address;
mod command;
mod hand_over;
mod http;
mod question;
mod tally;
mod thread;
mod watch;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;

use supd_api::{ListenAddress, VariableView};
use supd_keeper::protocol::RunId;

pub use watch::{Watch, watch};

/// The worker that is asked, and everything of it that the asking needs.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its run.
    pub run: RunId,
    /// What for.
    pub role: Role,
    /// Where it is asked when the probe names no address.
    pub reach: Reach,
    /// Its variables: for `${NAME}` in addresses and for commands.
    pub environment: Vec<VariableView>,
    /// Its working directory, for commands.
    pub cwd: String,
    /// Its user, name or id; `None`: the daemon's own.
    pub user: Option<String>,
    /// Its group, name or id; `None`: the user's primary one.
    pub group: Option<String>,
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Whether it has started. The first finding is the last one.
    Startup,
    /// Whether it is ready.
    Ready,
    /// Whether it is still alive.
    Live,
}

/// Where a worker itself is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It takes connections from its IPC channel (a Node cluster worker, which shares its port with others).
    HandOver,
    /// It accepts here.
    Listen(ListenAddress),
    /// At the port that its variable `PORT` names, on the loopback interface.
    Port,
}

/// What a probe has to say to the supervisor.
#[derive(Debug)]
pub enum Outgoing {
    /// A worker has passed or failed.
    Finding(Finding),
    /// This worker shall treat the attached end of a TCP connection as one that it has accepted. When that is not possible,
    /// the socket is to be closed; the check then fails by itself.
    HandOver {
        /// Which.
        run: RunId,
        /// The connection.
        socket: OwnedFd,
    },
}

/// So many answers in a row were the same that it counts. Told once, and again when it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose.
    pub run: RunId,
    /// Of which probe.
    pub role: Role,
    /// Whether it passed.
    pub passed: bool,
    /// The last answer, for people: `GET /health on localhost:8080: 503 Service Unavailable`.
    pub answer: String,
}
