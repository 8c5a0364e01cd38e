//! What happened, for people who follow it. Nothing depends on it, and nobody who reads slowly holds anything up.

use std::collections::{BTreeSet, VecDeque};

use supd_api::{AppName, Fault, Happening, HappeningKind, Message, Progress};
use supd_core::What;
use tokio::sync::broadcast;

use crate::supervisor::call::EventQuery;
use crate::supervisor::care::load;
use crate::supervisor::now;
use crate::supervisor::turn::Shell;
use crate::supervisor::view::{ended, spoken};

/// So many are remembered, and a reader may be so many behind before it misses some.
const REMEMBERED: usize = 1000;
/// So many messages of workers a reader may be behind. They are not remembered: a chatty worker drives no event out.
const UNREAD: usize = 128;

/// The last events, and those who follow.
pub(crate) struct Events {
    past: VecDeque<Happening>,
    outlet: broadcast::Sender<Happening>,
    messages: broadcast::Sender<Happening>,
}

/// One reader: what it asked for of the past, then what comes.
pub(crate) struct Follower {
    past: VecDeque<Happening>,
    inlet: Option<broadcast::Receiver<Happening>>,
    messages: Option<broadcast::Receiver<Happening>>,
    /// `None`: all apps.
    apps: Option<BTreeSet<String>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            past: VecDeque::new(),
            outlet: broadcast::channel(REMEMBERED).0,
            messages: broadcast::channel(UNREAD).0,
        }
    }
}

impl Events {
    /// Stamps and publishes what the core tells.
    pub(crate) fn tell(&mut self, happening: supd_core::Happening) {
        let Ok(app) = AppName::new(happening.app.0) else { return };
        let (kind, text, progress) = spelled(happening.what);
        let worker = happening.worker.map(|worker| worker.0);
        let happening = Happening { at: now().wall.0, kind, app, worker, text, progress, message: None };
        tracing::info!("{}{}: {}", happening.app, at(worker), happening.text);
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(happening.clone());
        // It fails when nobody follows.
        let _ = self.outlet.send(happening);
    }

    /// Publishes what a worker said, if anybody listens. So many of its messages before were not heard.
    pub(crate) fn say(&self, app: &str, worker: u32, message: Message, missed: u64) {
        if self.messages.receiver_count() == 0 {
            return;
        }
        let Ok(app) = AppName::new(app) else { return };
        let Message { kind, data } = &message;
        let lost = if missed == 0 { String::new() } else { format!("; {missed} before it were not heard") };
        let text = format!("said {kind} {data}{lost}");
        let kind = HappeningKind::Message;
        let (at, worker, message) = (now().wall.0, Some(worker), Some(message));
        // The last listener may have gone.
        let _ = self.messages.send(Happening { at, kind, app, worker, text, progress: None, message });
    }
}

fn at(worker: Option<u32>) -> String {
    worker.map_or(String::new(), |worker| format!(" {worker}"))
}

impl Follower {
    /// The next event; `None`: there are no more. One that reads too slowly misses some.
    pub(crate) async fn next(&mut self) -> Option<Happening> {
        if let Some(happening) = self.past.pop_front() {
            return Some(happening);
        }
        loop {
            let (inlet, messages) = (self.inlet.as_mut()?, self.messages.as_mut());
            let next = tokio::select! {
                biased;
                next = inlet.recv() => next,
                next = heard(messages) => next,
            };
            match next {
                Ok(happening) if wants(self.apps.as_ref(), &happening) => return Some(happening),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

async fn heard(
    messages: Option<&mut broadcast::Receiver<Happening>>,
) -> Result<Happening, broadcast::error::RecvError> {
    match messages {
        Some(messages) => messages.recv().await,
        None => std::future::pending().await,
    }
}

fn wants(apps: Option<&BTreeSet<String>>, happening: &Happening) -> bool {
    apps.is_none_or(|apps| apps.contains(happening.app.as_str()))
}

impl Shell {
    pub(crate) fn follow_events(&self, query: &EventQuery) -> Result<Follower, Fault> {
        let apps = match query.targets.as_slice() {
            [] => None,
            // It means later ones too.
            targets if targets.iter().any(|target| target == "all") => None,
            targets => {
                let wanted = self.resolve(targets)?;
                let view = self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0));
                Some(view.map(|seat| seat.app.0.clone()).collect())
            }
        };
        let past: Vec<&Happening> = self
            .events
            .past
            .iter()
            .rev()
            .filter(|past| wants(apps.as_ref(), past))
            .take(query.lines)
            .collect();
        let past = past.into_iter().rev().cloned().collect();
        let inlet = query.follow.then(|| self.events.outlet.subscribe());
        let messages = (query.follow && query.messages).then(|| self.events.messages.subscribe());
        Ok(Follower { past, inlet, messages, apps })
    }
}

fn spelled(what: What) -> (HappeningKind, String, Option<Progress>) {
    let (kind, text) = match what {
        What::Started => (HappeningKind::Started, "started".to_owned()),
        What::Ready(after) => (HappeningKind::Ready, format!("ready after {}", spoken(after))),
        What::Failed(death) => (HappeningKind::Failed, ended(&death.exit, death.uptime)),
        What::Completed(after) => (HappeningKind::Completed, format!("completed after {}", spoken(after))),
        What::JobFailed(death) => {
            (HappeningKind::JobFailed, format!("failed: {}", ended(&death.exit, death.uptime)))
        }
        What::Skipped(why) => (HappeningKind::Skipped, format!("not run: {why}")),
        What::Queued(why) => (HappeningKind::Queued, format!("runs after the present run: {why}")),
        What::Unfit(why) => (HappeningKind::Unfit, format!("to be replaced: {why}")),
        What::Oversize(why) => (HappeningKind::Oversize, format!("to be replaced: {why}")),
        What::Draining => (HappeningKind::Draining, "draining".to_owned()),
        What::Stopping => (HappeningKind::Stopping, "asked to stop".to_owned()),
        What::Killed => (HappeningKind::Killed, "killed: it did not stop in time".to_owned()),
        What::Stopped => (HappeningKind::Stopped, "stopped".to_owned()),
        What::Held(why) => (HappeningKind::Held, why),
        What::Waiting(delay) => (HappeningKind::Waiting, format!("next start in {}", spoken(delay))),
        What::GivenUp(why) => (HappeningKind::GivenUp, why),
        What::Renewed(why) => (HappeningKind::Renewed, why),
        What::Scaled { from, to, finding } => (HappeningKind::Scaled, load::scaled(from, to, &finding)),
        What::ScalingHeld { at, finding } => (HappeningKind::ScalingHeld, load::scaling_held(at, &finding)),
        What::ReloadBegan(of) => {
            return (HappeningKind::ReloadBegan, "reload begins".to_owned(), Some(Progress { done: 0, of }));
        }
        What::ReloadMoved(done, of) => {
            let text = format!("{done}/{of} reloaded");
            return (HappeningKind::ReloadMoved, text, Some(Progress { done, of }));
        }
        What::ReloadDone => (HappeningKind::ReloadDone, "reloaded".to_owned()),
        What::ReloadFailed(why) => {
            (HappeningKind::ReloadFailed, format!("reload taken back: the new one {why}"))
        }
        What::RolledBack(why) => (HappeningKind::RolledBack, format!("rolled back: the new one {why}")),
    };
    (kind, text, None)
}
