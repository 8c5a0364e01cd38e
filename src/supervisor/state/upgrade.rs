//! Making way for a new program: what this supervisor does before it leaves, and what it is told when it has come.
//!
//! In order: the keeper writes down what it would hand over; the new program is shown all of it and says whether it can read
//! that (`successor.rs`); the client is told that the change begins; the doors are closed, so that who comes later waits in the
//! queue of the control socket, which the keeper holds; who waits for an outcome is told under which number the
//! successor knows it; the last snapshot goes out, then the order to upgrade, and nothing after it.

use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use supd_api::{Fault, FaultCode, UpgradeBegun};
use supd_keeper::memfd;
use supd_keeper::protocol::{Order, Upgrade};

use crate::supervisor::call::Reply;
use crate::supervisor::requests::internal;
use crate::supervisor::state::successor::{self, State};
use crate::supervisor::turn::Shell;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The first version of the keeper's protocol that knows upgrades.
const SINCE: u32 = 2;
/// A larger table is none of the keeper's.
const TABLE_MAX: u64 = 256 << 20;

/// How far an upgrade is.
#[derive(Default)]
pub(crate) enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// The keeper writes its table down.
    Rehearsing { binary: PathBuf, reply: Reply<UpgradeBegun> },
    /// The new program reads everything.
    Checking,
    /// Those who are being served get their answers.
    Leaving { program: String, upgrade: Upgrade },
    /// The last order has been given.
    Left,
}

/// What has been done beside the loop.
pub(crate) enum Step {
    /// The new program was asked; its version.
    Checked { binary: PathBuf, reply: Reply<UpgradeBegun>, version: Result<String, Fault> },
    /// Nobody is being served any more.
    DoorsClosed,
}

impl Shell {
    pub(crate) fn begin_upgrade(&mut self, binary: PathBuf, reply: Reply<UpgradeBegun>) {
        let refused = self.refuse_while_halting().and_then(|()| match self.upgrade {
            Stage::Idle if self.keeper_facts.version < SINCE => Err(Fault::new(
                FaultCode::Conflict,
                "the keeper is of a version that cannot be upgraded in place",
            )
            .hint("`supctl kill` and start again; apps come back")),
            Stage::Idle => Ok(()),
            Stage::Rehearsing { .. } | Stage::Checking | Stage::Leaving { .. } | Stage::Left => {
                Err(Fault::new(FaultCode::Conflict, "another upgrade is in progress"))
            }
        });
        if let Err(fault) = refused {
            return drop(reply.send(Err(fault)));
        }
        self.upgrade = Stage::Rehearsing { binary, reply };
        self.keeper.order(Order::Rehearse, Vec::new());
    }

    /// The keeper's table has come.
    pub(crate) fn on_rehearsal(&mut self, mut attached: Vec<OwnedFd>) {
        let Stage::Rehearsing { binary, reply } = mem::take(&mut self.upgrade) else { return };
        let table = attached.pop().ok_or_else(|| std::io::Error::other("it came without its document"));
        let state = table.and_then(|table| {
            Ok(State {
                protocol: self.keeper_facts.version,
                snapshot: serde_json::to_string(&self.snapshot())?,
                ledger: serde_json::to_string(&self.entrusted())?,
                table: String::from_utf8(memfd::read(table.as_fd(), TABLE_MAX)?)
                    .map_err(std::io::Error::other)?,
            })
        });
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                let fault = internal(&format!("the present state cannot be written down: {error}"));
                return drop(reply.send(Err(fault)));
            }
        };
        self.upgrade = Stage::Checking;
        let (steps, home) = (self.outlets.steps.clone(), self.home.clone());
        tokio::task::spawn_blocking(move || {
            let checked = successor::check(&binary, &home, &state);
            let (binary, version) = match checked {
                Ok((canonical, version)) => (canonical, Ok(version)),
                Err(fault) => (binary, Err(fault)),
            };
            // The loop may have ended.
            let _ = steps.send(Step::Checked { binary, reply, version });
        });
    }

    pub(crate) fn on_step(&mut self, step: Step) {
        match step {
            Step::Checked { reply, version: Err(fault), .. } => {
                self.upgrade = Stage::Idle;
                let _ = reply.send(Err(fault));
            }
            Step::Checked { binary, reply, version: Ok(version) } => self.leave(&binary, reply, version),
            Step::DoorsClosed => {
                let Stage::Leaving { program, upgrade } = mem::take(&mut self.upgrade) else { return };
                self.keep();
                self.keeper.order(Order::Upgrade { program, upgrade }, Vec::new());
                self.upgrade = Stage::Left;
            }
        }
    }

    fn leave(&mut self, binary: &std::path::Path, reply: Reply<UpgradeBegun>, to: String) {
        self.upgrade = Stage::Idle;
        if let Err(fault) = self.refuse_while_halting() {
            return drop(reply.send(Err(fault)));
        }
        let Some(program) = binary.to_str().map(str::to_owned) else {
            let text = format!("{}: its path is not UTF-8", binary.display());
            return drop(reply.send(Err(Fault::new(FaultCode::Invalid, text))));
        };
        let attempt = self.keeper_facts.upgrade.as_ref().map_or(1, |last| last.attempt.saturating_add(1));
        let from = VERSION.to_owned();
        // Who has gone meanwhile (Ctrl-C) does not want it any more.
        if reply.send(Ok(UpgradeBegun { attempt, from: from.clone(), to: to.clone() })).is_err() {
            return tracing::warn!("no upgrade to {to}: whoever asked for it has gone");
        }
        tracing::info!("making way for {program}, version {to}");
        self.door = None;
        self.upgrade = Stage::Leaving { program, upgrade: Upgrade { attempt, from, to, failure: None } };
        // It fails when nobody listens any more, and then there is nobody to be seen off.
        let _ = self.doors.send(true);
        self.answer_if_leaving();
    }

    /// Those who wait for an outcome are told to ask the successor.
    pub(crate) fn answer_if_leaving(&mut self) {
        if let Stage::Leaving { .. } = self.upgrade {
            self.requests.hand_over();
        }
    }

    /// Whether nothing may be done any more, for the successor would not know of it.
    pub(crate) fn has_left(&self) -> bool {
        match self.upgrade {
            Stage::Left => true,
            Stage::Idle | Stage::Rehearsing { .. } | Stage::Checking | Stage::Leaving { .. } => false,
        }
    }

    pub(crate) fn on_upgraded(&mut self, upgrade: Upgrade) {
        tracing::info!("upgraded from {} to {}", upgrade.from, upgrade.to);
        self.keeper_facts.upgrade = Some(upgrade);
    }
}
