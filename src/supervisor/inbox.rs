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
    calls: mpsc::Receiver<Call>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    notices: mpsc::UnboundedReceiver<Notice>,
    saved: mpsc::UnboundedReceiver<Saved>,
    settings: mpsc::UnboundedReceiver<Written>,
    notes: mpsc::UnboundedReceiver<notify::Delivery>,
    answers: mpsc::UnboundedReceiver<probe::Outgoing>,
    doubts: mpsc::UnboundedReceiver<RunId>,
    steps: mpsc::UnboundedReceiver<Step>,
    reported: mpsc::UnboundedReceiver<RunId>,
    excesses: mpsc::UnboundedReceiver<Excess>,
    bells: mpsc::UnboundedReceiver<Bell>,
    loads: mpsc::UnboundedReceiver<Loads>,
    delivered: mpsc::UnboundedReceiver<Delivered>,
    tidings: mpsc::UnboundedReceiver<Tidings>,
    alarms: mpsc::UnboundedReceiver<()>,
}

/// One thing that has come in.
pub(super) enum Item {
    Delivery(Delivery),
    Notice(Notice),
    Saved(Saved),
    Reported(RunId),
    Notes(notify::Delivery),
    Delivered(Delivered),
    Answer(probe::Outgoing),
    Doubt(RunId),
    Tidings(Tidings),
    Alarm,
    Settings(Written),
    Excess(Excess),
    Bell(Bell),
    Loads(Loads),
    Step(Step),
    Call(Call),
}

impl Inbox {
    /// The next thing of any kind; whatever one kind is flooded with, the others have their turns. Nothing is lost if it is not waited for to
    /// the end.
    pub(super) async fn next(&mut self) -> Item {
        tokio::select! {
            Some(it) = self.deliveries.recv() => Item::Delivery(it),
            Some(it) = self.notices.recv() => Item::Notice(it),
            Some(it) = self.saved.recv() => Item::Saved(it),
            Some(it) = self.reported.recv() => Item::Reported(it),
            Some(it) = self.notes.recv() => Item::Notes(it),
            Some(it) = self.delivered.recv() => Item::Delivered(it),
            Some(it) = self.answers.recv() => Item::Answer(it),
            Some(it) = self.doubts.recv() => Item::Doubt(it),
            Some(it) = self.tidings.recv() => Item::Tidings(it),
            Some(()) = self.alarms.recv() => Item::Alarm,
            Some(it) = self.settings.recv() => Item::Settings(it),
            Some(it) = self.excesses.recv() => Item::Excess(it),
            Some(it) = self.bells.recv() => Item::Bell(it),
            Some(it) = self.loads.recv() => Item::Loads(it),
            Some(it) = self.steps.recv() => Item::Step(it),
            Some(it) = self.calls.recv() => Item::Call(it),
        }
    }
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
