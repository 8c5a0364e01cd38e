//! What is said to workers and by them for their own purposes: messages over IPC channels, actions and their replies.
//!
//! Nothing that supd does depends on it. Whoever waits for a worker here waits in a task of its own, and not for ever.

use std::time::Duration;

use serde_json::{Value, json};
use supd_api::{
    Accepted, Action, AppName, Fault, FaultCode, MessageRequest, Millis, TriggerRequest, Triggered,
    WorkerOutcome,
};
use supd_core::RunId;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::cluster::{Heard, Unheard};
use crate::nearest::nearest;
use crate::supervisor::call::Reply;
use crate::supervisor::now;
use crate::supervisor::runs::agents::Said;
use crate::supervisor::runs::launch::channel_number;
use crate::supervisor::turn::Shell;

/// The longest name of an action that is asked for, in bytes: none is announced that is longer.
const ACTION_MAX: usize = 128;

/// One worker that is spoken to.
struct Listener {
    id: u32,
    app: AppName,
    run: Option<RunId>,
}

impl Shell {
    /// Takes note of a message. Whether a successor has to know of it.
    pub(crate) fn on_word(&mut self, run: RunId, text: &str, missed: u64) -> bool {
        // Of one that is forgotten nothing more is kept.
        let Some((app, worker, _, _)) = self.core.run(run) else { return false };
        match self.agents.hear(run, text) {
            Said::Noted => false,
            Said::Announced => true,
            Said::Told(message) => {
                self.events.say(&app.0, worker.0, message, missed);
                false
            }
        }
    }

    /// Sends a message to workers.
    pub(crate) fn message(&mut self, request: MessageRequest, reply: Reply<Accepted>) {
        let listeners = match self.listeners(&request.targets) {
            Ok(listeners) => listeners,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let MessageRequest { kind, topic, data, .. } = request;
        let told: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                let message = json!({ "id": listener.id, "type": kind, "topic": topic, "data": data });
                let heard = self.tell(&listener, &message);
                (listener, heard)
            })
            .collect();
        tokio::spawn(async move {
            let mut accepted = Accepted::default();
            for (Listener { id, app, .. }, heard) in told {
                let failure = reached(heard).await.err();
                accepted.workers.push(WorkerOutcome { id, app, failure, exit: None });
            }
            // The client may be gone.
            let _ = reply.send(Ok(accepted));
        });
    }

    /// Has an action carried out by the workers that have announced it, and waits for their replies.
    pub(crate) fn trigger(&mut self, request: &TriggerRequest, reply: Reply<Triggered>) {
        let (patience, able) = match self.able(request) {
            Ok(able) => able,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let action = &request.action;
        // As PM2 sends it: an action without a parameter is a bare name.
        let message = match &request.params {
            Some(params) => json!({ "msg": action, "opts": params }),
            None => json!(action),
        };
        let asked: Vec<_> = able
            .into_iter()
            .map(|listener| {
                let expected = listener.run.and_then(|run| self.agents.expect(run, action));
                let heard = match expected {
                    Some(_) => self.tell(&listener, &message),
                    None => Err("too many wait for its replies already".to_owned()),
                };
                (listener, heard, expected)
            })
            .collect();
        tokio::spawn(async move {
            let deadline = Instant::now() + patience;
            let mut triggered = Triggered::default();
            for (Listener { id, app, .. }, heard, expected) in asked {
                let replied = match reached(heard).await {
                    Ok(()) => replied(expected, deadline, patience).await,
                    Err(why) => Err(why),
                };
                let (reply, failure) = match replied {
                    Ok(reply) => (reply, None),
                    Err(why) => (Value::Null, Some(why)),
                };
                triggered.workers.push(supd_api::Reply { id, app, reply, failure });
            }
            // The client may be gone.
            let _ = reply.send(Ok(triggered));
        });
    }

    /// How long to wait, and for which workers.
    fn able(&self, request: &TriggerRequest) -> Result<(Duration, Vec<Listener>), Fault> {
        let TriggerRequest { targets, action, timeout, .. } = request;
        let patience = timeout.unwrap_or(TriggerRequest::TIMEOUT);
        if patience == Millis(0) || patience > TriggerRequest::TIMEOUT_MAX {
            let text =
                format!("timeout: {} ms; 1 to {} are possible", patience.0, TriggerRequest::TIMEOUT_MAX.0);
            return Err(Fault::new(FaultCode::Invalid, text));
        }
        let listeners = self.listeners(targets)?;
        let actions = |listener: &Listener| listener.run.map_or(&[][..], |run| self.agents.actions(run));
        let has = |listener: &Listener| actions(listener).iter().any(|known| known.name == *action);
        let (able, unable): (Vec<_>, Vec<_>) = listeners.into_iter().partition(has);
        if !able.is_empty() {
            return Ok((patience.duration(), able));
        }
        Err(unknown_action(action, unable.iter().flat_map(actions)))
    }

    fn listeners(&self, targets: &[String]) -> Result<Vec<Listener>, Fault> {
        let wanted = self.resolve(targets)?;
        let seats = self.core.view(now().mono).filter(|seat| wanted.contains(&seat.worker.0));
        let listener = |seat: supd_core::SeatView<'_>| {
            let app = AppName::new(seat.app.0.clone()).ok()?;
            let run = seat.run.filter(|run| run.pid.is_some()).map(|run| run.run);
            Some(Listener { id: seat.worker.0, app, run })
        };
        let mut listeners: Vec<Listener> = seats.filter_map(listener).collect();
        listeners.sort_by_key(|listener| listener.id);
        Ok(listeners)
    }

    /// Says something to a worker, or why that cannot be.
    fn tell(&self, listener: &Listener, message: &Value) -> Result<Heard, String> {
        let run = listener.run.ok_or("it does not run")?;
        match self.channels.get(&run) {
            Some(channel) => Ok(channel.tell(message)),
            None if self.revision_of(run).is_some_and(|it| channel_number(&it.declaration, 0).is_some()) => {
                Err("it has closed its IPC channel".to_owned())
            }
            None => Err("it has no IPC channel; declare `ipc: true` to give it one".to_owned()),
        }
    }
}

async fn reached(heard: Result<Heard, String>) -> Result<(), String> {
    match heard?.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Unheard::TooLong(length))) => {
            Err(format!("the message has {length} bytes; at most 32 KiB are sent over an IPC channel"))
        }
        Ok(Err(Unheard::Deaf)) => Err("it does not read its IPC channel, which is full".to_owned()),
        Ok(Err(Unheard::Closed)) | Err(_) => Err("it has closed its IPC channel".to_owned()),
    }
}

async fn replied(
    expected: Option<oneshot::Receiver<Value>>,
    deadline: Instant,
    patience: Duration,
) -> Result<Value, String> {
    let ended = || "it ended, or closed its IPC channel, before it replied".to_owned();
    match timeout_at(deadline, expected.ok_or_else(ended)?).await {
        Ok(reply) => reply.map_err(|_| ended()),
        Err(_) => Err(format!("no reply within {}", crate::supervisor::view::spoken(patience))),
    }
}

fn unknown_action<'a>(action: &str, known: impl Iterator<Item = &'a Action>) -> Fault {
    let shown: String = action.chars().take(ACTION_MAX).flat_map(char::escape_debug).collect();
    let text = format!("none of these workers runs and has an action `{shown}`");
    let fault = Fault::new(FaultCode::NotFound, text);
    let names: Vec<&str> = known.map(|action| action.name.as_str()).collect();
    if names.is_empty() {
        return fault.hint(
            "an app announces its actions over its IPC channel, for example with `io.action` of @pm2/io",
        );
    }
    match nearest(action, names.iter().copied()) {
        Some(name) => fault.hint(format!("did you mean `{name}`?")),
        None => fault.hint("`supctl describe` shows the actions of a worker"),
    }
}
