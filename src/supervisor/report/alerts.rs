//! Trouble, told to whom the settings name: between the core, which says what is told and when, and `hooks`, which says it.
//!
//! Incidents and letters belong to the snapshot of the turn in which they arise. Delivery is done beside the loop; what comes of it comes back as
//! [`Delivered`].

use serde::{Deserialize, Serialize};
use supd_api::{Accepted, Fault, FaultCode, HookView};
use supd_core::{Alert, Ground, Happening, Incidents, Letter, Mono, Outbox, Trouble, WorkerId};

use crate::hooks::{Note, deliver};
use crate::nearest::nearest;
use crate::supervisor::call::Reply;
use crate::supervisor::now;
use crate::supervisor::turn::Shell;

/// What lasts, and what is to be told of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Alerts {
    #[serde(default)]
    incidents: Incidents,
    #[serde(default)]
    outbox: Outbox,
}

/// What came of a letter.
pub(crate) struct Delivered {
    number: u64,
    hook: String,
    outcome: Result<(), String>,
}

impl Shell {
    /// Takes note of what has happened.
    pub(crate) fn note_trouble(&mut self, happening: &Happening) {
        let alert = self.alerts.incidents.record(now(), happening);
        alert.into_iter().for_each(|alert| self.write_letters(&alert));
    }

    /// Ends what is over, and sends what is due.
    pub(crate) fn tell_trouble(&mut self) {
        let now = now();
        // On the way out nothing is over: it is only not there any more.
        if !self.alerts.incidents.is_empty() && !self.core.is_halting() {
            let core = &self.core;
            let is_wished = |worker: WorkerId| core.is_wished(worker);
            let exists = |app: &supd_core::AppName| core.revision(app).is_some();
            let ground = Ground { is_wished: &is_wished, exists: &exists };
            let alerts = self.alerts.incidents.settle(now, self.settings.quiet(), &ground);
            self.unsaved |= !alerts.is_empty();
            alerts.iter().for_each(|alert| self.write_letters(alert));
        }
        let due = self.alerts.outbox.take(now);
        if due.is_empty() {
            return;
        }
        // A successor knows of it before anybody else does.
        self.keep();
        let hooks = self.settings.hooks();
        for letter in due {
            match hooks.get(&letter.hook) {
                Some(hook) => {
                    let (target, sent) = (hook.target.clone(), self.outlets.delivered.clone());
                    tokio::spawn(async move {
                        let outcome = deliver(&target, &note(&letter)).await;
                        // The loop may have ended.
                        let _ = sent.send(Delivered { number: letter.number, hook: letter.hook, outcome });
                    });
                }
                None => self.alerts.outbox.done(letter.number),
            }
        }
    }

    /// When there may be something to tell.
    pub(crate) fn alert_deadline(&self) -> Option<Mono> {
        let over = self.alerts.incidents.next_deadline(self.settings.quiet());
        over.filter(|_| !self.core.is_halting()).into_iter().chain(self.alerts.outbox.next_deadline()).min()
    }

    pub(crate) fn on_delivered(&mut self, delivered: Delivered) {
        let Delivered { number, hook, outcome } = delivered;
        self.unsaved = true;
        match outcome {
            Ok(()) => self.alerts.outbox.done(number),
            Err(why) => match self.alerts.outbox.failed(now(), number) {
                Some(_) => tracing::error!("hook {hook}: a word was not delivered and is too old now: {why}"),
                None => tracing::warn!("hook {hook}: {why}; it is tried again"),
            },
        }
        self.tell_trouble();
    }

    fn write_letters(&mut self, alert: &Alert) {
        let hooks = self.settings.hooks();
        for (name, _) in hooks.iter().filter(|(_, hook)| hook.wants(&alert.app.0)) {
            if self.alerts.outbox.post(now(), name, alert.clone()).is_some() {
                tracing::error!("hook {name}: too many words wait; the oldest one is dropped");
            }
        }
    }

    pub(crate) fn hook_views(&self) -> Vec<HookView> {
        let hooks = self.settings.hooks().into_iter();
        hooks
            .map(|(name, hook)| HookView { name, kind: hook.target.kind().to_owned(), apps: hook.apps })
            .collect()
    }

    /// Sends a word to this hook, now and once, and tells what came of it.
    pub(crate) fn test_hook(&self, name: &str, reply: Reply<Accepted>) {
        let mut hooks = self.settings.hooks();
        let Some(hook) = hooks.remove(name) else {
            let fault =
                Fault::new(FaultCode::NotFound, format!("there is no hook `{}`", name.escape_debug()));
            let hint = match nearest(name, hooks.keys().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "`supctl hooks` shows what there is".to_owned(),
            };
            return drop(reply.send(Err(fault.hint(hint))));
        };
        let note = test_note();
        let name = name.to_owned();
        tokio::spawn(async move {
            let failed = |why| {
                Fault::new(FaultCode::Failed, format!("hook {name}: {why}"))
                    .hint(format!("`supctl set supd:hook.{name} …` says where it leads"))
            };
            let outcome = deliver(&hook.target, &note).await.map_err(failed);
            // Who asked may have gone.
            let _ = reply.send(outcome.map(|()| Accepted::default()));
        });
    }
}

fn test_note() -> Note {
    let now = now();
    Note {
        id: format!("test-{}", now.mono.0),
        incident: format!("supd/{}/test", host()),
        app: None,
        trouble: "test",
        over: false,
        host: host(),
        at: now.wall.0,
        text: "this is a test; nothing has happened".to_owned(),
    }
}

/// Numbers begin anew with each daemon: the moment makes them unique.
fn note(letter: &Letter) -> Note {
    let Alert { incident, app, trouble, over, at, text } = &letter.alert;
    let trouble = match trouble {
        Trouble::Failing => "failing",
        Trouble::Down => "down",
        Trouble::Reload => "reload",
        Trouble::Job => "job",
    };
    Note {
        id: format!("{at}-{}", letter.number),
        incident: format!("supd/{}/{app}/{trouble}/{incident}", host()),
        app: Some(app.0.clone()),
        trouble,
        over: *over,
        host: host(),
        at: *at,
        text: text.clone(),
    }
}

fn host() -> String {
    nix::unistd::gethostname()
        .map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}
