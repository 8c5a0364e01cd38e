//! Everything that can wake the loop, apart from the keeper and the clock.

use supd_core::RunId;
use tokio::sync::mpsc;

use crate::cluster::Delivery;
use crate::logs::Notice;
use crate::supervisor::call::Call;
use crate::supervisor::care::cgroups::Bell;
use crate::supervisor::care::figures::{Excess, Loads};
use crate::supervisor::care::watching::Tidings;
use crate::supervisor::report::alerts::Delivered;
use crate::supervisor::settings::Written;
use crate::supervisor::state::ledger::Saved;
use crate::supervisor::state::upgrade::Step;
use crate::{notify, probe};

/// So many calls may wait; further clients wait for their turn.
const CALLS_WAITING: usize = 256;

/// The receiving ends, for the loop.
pub(super) struct Inbox {
    pub(super) calls: mpsc::Receiver<Call>,
    pub(super) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) saved: mpsc::UnboundedReceiver<Saved>,
    pub(super) settings: mpsc::UnboundedReceiver<Written>,
    pub(super) notes: mpsc::UnboundedReceiver<notify::Delivery>,
    pub(super) answers: mpsc::UnboundedReceiver<probe::Outgoing>,
    pub(super) doubts: mpsc::UnboundedReceiver<RunId>,
    pub(super) steps: mpsc::UnboundedReceiver<Step>,
    pub(super) reported: mpsc::UnboundedReceiver<RunId>,
    pub(super) excesses: mpsc::UnboundedReceiver<Excess>,
    pub(super) bells: mpsc::UnboundedReceiver<Bell>,
    pub(super) loads: mpsc::UnboundedReceiver<Loads>,
    pub(super) delivered: mpsc::UnboundedReceiver<Delivered>,
    pub(super) tidings: mpsc::UnboundedReceiver<Tidings>,
    pub(super) alarms: mpsc::UnboundedReceiver<()>,
}

/// The sending ends, for everyone else. Unbounded ones carry at most a few messages per run.
#[derive(Clone)]
pub(super) struct Outlets {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) deliveries: mpsc::UnboundedSender<Delivery>,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) saved: mpsc::UnboundedSender<Saved>,
    pub(super) settings: mpsc::UnboundedSender<Written>,
    pub(super) notes: mpsc::UnboundedSender<notify::Delivery>,
    pub(super) answers: mpsc::UnboundedSender<probe::Outgoing>,
    /// Runs to look at again.
    pub(super) doubts: mpsc::UnboundedSender<RunId>,
    pub(super) steps: mpsc::UnboundedSender<Step>,
    /// Runs whose crash report is on disk.
    pub(super) reported: mpsc::UnboundedSender<RunId>,
    /// Runs that use more memory than they may.
    pub(super) excesses: mpsc::UnboundedSender<Excess>,
    /// Of control groups.
    pub(super) bells: mpsc::UnboundedSender<Bell>,
    /// What apps use that scale themselves.
    pub(super) loads: mpsc::UnboundedSender<Loads>,
    /// What came of words to hooks.
    pub(super) delivered: mpsc::UnboundedSender<Delivered>,
    /// Of watched files.
    pub(super) tidings: mpsc::UnboundedSender<Tidings>,
    /// An app is due by the clock.
    pub(super) alarms: mpsc::UnboundedSender<()>,
}

pub(super) fn inbox() -> (Outlets, Inbox) {
    let (calls, calls_in) = mpsc::channel(CALLS_WAITING);
    let (deliveries, deliveries_in) = mpsc::unbounded_channel();
    let (notices, notices_in) = mpsc::unbounded_channel();
    let (saved, saved_in) = mpsc::unbounded_channel();
    let (settings, settings_in) = mpsc::unbounded_channel();
    let (notes, notes_in) = mpsc::unbounded_channel();
    let (answers, answers_in) = mpsc::unbounded_channel();
    let (doubts, doubts_in) = mpsc::unbounded_channel();
    let (steps, steps_in) = mpsc::unbounded_channel();
    let (reported, reported_in) = mpsc::unbounded_channel();
    let (excesses, excesses_in) = mpsc::unbounded_channel();
    let (bells, bells_in) = mpsc::unbounded_channel();
    let (loads, loads_in) = mpsc::unbounded_channel();
    let (delivered, delivered_in) = mpsc::unbounded_channel();
    let (tidings, tidings_in) = mpsc::unbounded_channel();
    let (alarms, alarms_in) = mpsc::unbounded_channel();
    let inbox = Inbox {
        calls: calls_in,
        deliveries: deliveries_in,
        notices: notices_in,
        saved: saved_in,
        settings: settings_in,
        notes: notes_in,
        answers: answers_in,
        doubts: doubts_in,
        steps: steps_in,
        reported: reported_in,
        excesses: excesses_in,
        bells: bells_in,
        loads: loads_in,
        delivered: delivered_in,
        tidings: tidings_in,
        alarms: alarms_in,
    };
    let outlets = Outlets {
        calls,
        deliveries,
        notices,
        saved,
        settings,
        notes,
        answers,
        doubts,
        steps,
        reported,
        excesses,
        bells,
        loads,
        delivered,
        tidings,
        alarms,
    };
    (outlets, inbox)
}
