//! How does a new program take the place of the present one, and how does everything stay as it was when it cannot?
//!
//! First its supervisor, on trial: it gets what every new supervisor gets, restores, and says that it is ready. Whatever else
//! it orders is held back. Then the keeper itself, by exec in place. Only when that has worked too are the orders carried
//! out. So until the very end nothing has happened to the world, no snapshot of the new version has replaced the old
//! one's, and going back is starting the old program's supervisor as after any death.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::keeper::{Keeper, say};
use crate::log::Level;
use crate::protocol::{Order, Report, Upgrade};

/// How long the new supervisor may take to get ready. Restoring takes milliseconds; clients that ask meanwhile wait, and
/// shall have their answer within the ten seconds that they are willing to.
const PROOF_TIME: Duration = Duration::from_secs(8);

/// An upgrade in progress.
pub(crate) struct Trial {
    upgrade: Upgrade,
    program: String,
    stage: Stage,
}

enum Stage {
    /// The present supervisor is leaving.
    Leaving,
    /// The new one has until then.
    Proving { until: Instant, evidence: Evidence },
}

/// An order that has not been carried out, and what was attached to it.
pub(crate) struct Held {
    pub(crate) order: Value,
    pub(crate) attached: Vec<OwnedFd>,
}

/// What a supervisor on trial has said.
#[derive(Default)]
struct Evidence {
    /// The program it runs, when it is ready.
    image: Option<OwnedFd>,
    held: Vec<Held>,
    /// Why it cannot get ready.
    confession: Option<String>,
}

impl Trial {
    /// When the new supervisor's time is over.
    pub(crate) fn until(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Leaving => None,
            Stage::Proving { until, .. } => Some(*until),
        }
    }
}

/// A trial that has come as far as it can in the old image.
pub(crate) struct Proven<'a> {
    pub(crate) upgrade: &'a Upgrade,
    pub(crate) image: &'a OwnedFd,
    pub(crate) held: &'a [Held],
}

impl Keeper {
    /// The supervisor has said its last word: another program shall take its place.
    pub(crate) fn begin_upgrade(&mut self, program: String, upgrade: Upgrade) {
        if self.trial.is_some() || !self.is_serving() {
            return say(Level::Warning, format_args!("an order to upgrade, in the wrong moment"));
        }
        self.trial = Some(Trial { upgrade, program, stage: Stage::Leaving });
        self.supervisor.hang_up();
    }

    /// Whether the supervisor is on trial.
    pub(crate) fn is_trying(&self) -> bool {
        matches!(self.trial, Some(Trial { stage: Stage::Proving { .. }, .. }))
    }

    /// Takes an order of a supervisor on trial. What is held back may be in words that only the new program knows.
    pub(crate) fn weigh(&mut self, order: Value, mut attached: Vec<OwnedFd>) {
        let Some(Trial { stage: Stage::Proving { evidence, .. }, .. }) = &mut self.trial else { return };
        match Order::deserialize(&order) {
            Ok(Order::Pong) => self.supervisor.answered(),
            Ok(Order::Failed { why }) => evidence.confession = Some(why),
            Ok(Order::Ready) => match attached.pop() {
                Some(image) => evidence.image = Some(image),
                None => evidence.confession = Some("it does not show which program it runs".to_owned()),
            },
            Ok(_) | Err(_) => evidence.held.push(Held { order, attached }),
        }
    }

    /// The supervisor has been reaped, or could not be started.
    pub(crate) fn supervisor_is_gone(&mut self, told: &str, now: Instant) {
        let Some(trial) = &mut self.trial else { return };
        match &mut trial.stage {
            Stage::Leaving => {
                self.supervisor.change_program(Some(trial.program.clone()));
                let evidence = Evidence::default();
                trial.stage = Stage::Proving { until: now + PROOF_TIME, evidence };
            }
            Stage::Proving { evidence, .. } => {
                let why = evidence.confession.take();
                self.go_back(why.unwrap_or_else(|| format!("{told}, before it was ready")));
            }
        }
    }

    /// Becomes the new program when its supervisor has proven itself; goes back when its time is over.
    pub(crate) fn advance_upgrade(&mut self, now: Instant) {
        let Some(Trial { upgrade, stage: Stage::Proving { until, evidence }, .. }) = &self.trial else {
            return;
        };
        let attended = self.supervisor.link().is_some() && !self.supervisor.has_outgoing();
        let failure = match (&evidence.confession, &evidence.image) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(image)) if attended => {
                Some(self.become_image(&Proven { upgrade, image, held: &evidence.held }))
            }
            (None, _) if *until <= now => {
                Some(format!("its supervisor was not ready within {} s", PROOF_TIME.as_secs()))
            }
            (None, _) => None,
        };
        if let Some(why) = failure {
            self.go_back(why);
        }
    }

    /// The program that was there before goes on; the supervisor of the new one has to go. What it ordered is forgotten.
    pub(crate) fn go_back(&mut self, why: String) {
        let Some(Trial { upgrade, .. }) = self.trial.take() else { return };
        self.upgrade_has_failed(upgrade, why);
    }

    pub(crate) fn upgrade_has_failed(&mut self, upgrade: Upgrade, why: String) {
        say(Level::Warning, format_args!("no upgrade to {}: {why}; {} goes on", upgrade.to, upgrade.from));
        self.upgrade = Some(Upgrade { failure: Some(why), ..upgrade });
        self.supervisor.change_program(None);
        self.supervisor.hang_up();
        self.supervisor.kill();
    }

    /// This is the new program: what its supervisor has ordered counts from now on.
    pub(crate) fn upgrade_is_done(&mut self, upgrade: Upgrade, held: Vec<Held>) {
        say(Level::Info, format_args!("upgraded from {} to {}", upgrade.from, upgrade.to));
        for Held { order, attached } in held {
            match Order::deserialize(order) {
                Ok(order) => self.obey(order, attached),
                Err(error) => say(Level::Warning, format_args!("an order is not understood: {error}")),
            }
        }
        self.upgrade = Some(upgrade.clone());
        self.supervisor.tell(Report::Upgraded { upgrade }, Vec::new());
    }
}
