//! What has each run announced of itself over its channel, in the words of PM2's agent (`@pm2/io`), and who waits for its replies?
//!
//! Actions (`axm:action`), metrics (`axm:monitor`), replies (`axm:reply`). It is shown to people and decided upon by nobody, and a run that
//! announces without end is cut short. Actions are announced once, so a successor is told of them; metrics come again by themselves.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use supd_api::{Action, Message, MessageRequest};
use supd_core::RunId;
use tokio::sync::oneshot;

/// So many actions and metrics of a run are shown.
const ENTRIES_MAX: usize = 64;
/// A longer name is none, in bytes.
const NAME_MAX: usize = 128;
/// The longest value of a metric, with its unit and what else belongs to it, in bytes of JSON.
const METRIC_MAX: usize = 512;
/// The longest message that followers of events are shown, in bytes.
const SHOWN_MAX: usize = 16 << 10;
/// So many may wait for replies of one run.
const WAITING_MAX: usize = 64;

/// Those of all runs.
#[derive(Default)]
pub(crate) struct Agents {
    runs: BTreeMap<RunId, Agent>,
}

#[derive(Default)]
struct Agent {
    actions: Vec<Action>,
    metrics: Map<String, Value>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    action: String,
    reply: oneshot::Sender<Value>,
}

/// What follows from a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// Nothing more.
    Noted,
    /// A successor has to know of it too.
    Announced,
    /// It is for whoever follows.
    Told(Message),
}

impl Agents {
    /// Goes on where a predecessor was.
    pub(crate) fn taken_over(announced: Vec<(RunId, Vec<Action>)>) -> Self {
        let agent = |(run, actions)| (run, Agent { actions, ..Agent::default() });
        Self { runs: announced.into_iter().map(agent).collect() }
    }

    /// For a successor.
    pub(crate) fn announced(&self) -> Vec<(RunId, Vec<Action>)> {
        let runs = self.runs.iter().filter(|(_, agent)| !agent.actions.is_empty());
        runs.map(|(run, agent)| (*run, agent.actions.clone())).collect()
    }

    /// Takes note of one message, a JSON document.
    pub(crate) fn hear(&mut self, run: RunId, text: &str) -> Said {
        let Message { kind, data } = sorted(text);
        match kind.as_str() {
            "axm:action" => self.announce(run, data),
            "axm:monitor" => self.measure(run, data),
            // How the agent is configured.
            "axm:option:configuration" => Said::Noted,
            "axm:reply" => self.reply(run, data, text.len()),
            _ => Said::Told(shown(kind, data, text.len())),
        }
    }

    fn announce(&mut self, run: RunId, data: Value) -> Said {
        let Ok(action) = Action::deserialize(data) else { return Said::Noted };
        let actions = &mut self.runs.entry(run).or_default().actions;
        let long = |text: &str| text.is_empty() || text.len() > NAME_MAX;
        if long(&action.name) || action.kind.as_deref().is_some_and(long) || actions.contains(&action) {
            return Said::Noted;
        }
        match actions.iter().position(|known| known.name == action.name) {
            Some(at) => actions[at] = action,
            None if actions.len() < ENTRIES_MAX => actions.push(action),
            None => return Said::Noted,
        }
        Said::Announced
    }

    fn measure(&mut self, run: RunId, data: Value) -> Said {
        let Value::Object(measured) = data else { return Said::Noted };
        let metrics = &mut self.runs.entry(run).or_default().metrics;
        for (name, value) in measured {
            let known = metrics.contains_key(&name) || metrics.len() < ENTRIES_MAX;
            if known && name.len() <= NAME_MAX && value.to_string().len() <= METRIC_MAX {
                metrics.insert(name, value);
            }
        }
        Said::Noted
    }

    /// Goes to whoever has waited longest for that action; an action's name is all that a reply says.
    fn reply(&mut self, run: RunId, data: Value, length: usize) -> Said {
        let name = data["action_name"].as_str().unwrap_or_default();
        let waiting = self.runs.get_mut(&run).map(|agent| &mut agent.waiting);
        let next = waiting.and_then(|waiting| {
            let at = waiting.iter().position(|one| one.action == name && !one.reply.is_closed())?;
            Some(waiting.remove(at))
        });
        match next {
            // Who waited may go this very moment.
            Some(waiting) => drop(waiting.reply.send(data["return"].clone())),
            None => return Said::Told(shown("axm:reply".to_owned(), data, length)),
        }
        Said::Noted
    }

    /// What can be triggered in this run.
    pub(crate) fn actions(&self, run: RunId) -> &[Action] {
        self.runs.get(&run).map_or(&[], |agent| &agent.actions)
    }

    /// What it measures.
    pub(crate) fn metrics(&self, run: RunId) -> Map<String, Value> {
        self.runs.get(&run).map(|agent| agent.metrics.clone()).unwrap_or_default()
    }

    /// The next reply of this action, an error if there will be none. `None`: too many wait already.
    pub(crate) fn expect(&mut self, run: RunId, action: &str) -> Option<oneshot::Receiver<Value>> {
        let waiting = &mut self.runs.entry(run).or_default().waiting;
        waiting.retain(|one| !one.reply.is_closed());
        (waiting.len() < WAITING_MAX).then(|| {
            let (reply, receiver) = oneshot::channel();
            waiting.push(Waiting { action: action.to_owned(), reply });
            receiver
        })
    }

    /// It cannot say anything any more.
    pub(crate) fn hang_up(&mut self, run: RunId) {
        if let Some(agent) = self.runs.get_mut(&run) {
            agent.waiting.clear();
        }
    }

    /// It is no more.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.runs.remove(&run);
    }
}

/// By PM2's rule: what has both a `type` and `data` is of that type.
fn sorted(text: &str) -> Message {
    let plain = |data| Message { kind: MessageRequest::KIND.to_owned(), data };
    match serde_json::from_str(text) {
        Ok(Value::Object(mut object)) => {
            match (object.get("type").and_then(Value::as_str), object.get("data")) {
                (Some(kind), Some(data)) if !kind.is_empty() && !data.is_null() && kind.len() <= NAME_MAX => {
                    let kind = kind.to_owned();
                    Message { kind, data: object.remove("data").unwrap_or_default() }
                }
                (_, _) => plain(Value::Object(object)),
            }
        }
        Ok(other) => plain(other),
        // More levels than serde_json follows.
        Err(_) => plain(Value::Null),
    }
}

fn shown(kind: String, data: Value, length: usize) -> Message {
    Message { kind, data: if length > SHOWN_MAX { Value::Null } else { data } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RUN: RunId = RunId(7);

    fn hear(agents: &mut Agents, message: &Value) -> Said {
        agents.hear(RUN, &message.to_string())
    }

    fn action(name: &str) -> Value {
        json!({ "type": "axm:action", "data": { "action_name": name, "action_type": "custom", "arity": 1 } })
    }

    fn told(kind: &str, data: Value) -> Said {
        Said::Told(Message { kind: kind.to_owned(), data })
    }

    #[test]
    fn messages_are_told_by_their_type() {
        let mut agents = Agents::default();
        for (message, kind, data) in [
            (json!({ "type": "order", "data": { "n": 1 } }), "order", json!({ "n": 1 })),
            (json!({ "type": "order" }), "process:msg", json!({ "type": "order" })),
            (json!({ "type": 1, "data": 2 }), "process:msg", json!({ "type": 1, "data": 2 })),
            (json!("hello"), "process:msg", json!("hello")),
            (json!({ "type": "big", "data": "x".repeat(SHOWN_MAX) }), "big", Value::Null),
        ] {
            assert_eq!(hear(&mut agents, &message), told(kind, data));
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(agents.hear(RUN, &deep), told("process:msg", Value::Null));
    }

    #[test]
    fn actions_are_told_to_a_successor_once_and_are_not_without_end() {
        let mut agents = Agents::default();
        assert_eq!(hear(&mut agents, &action("hello")), Said::Announced);
        assert_eq!(hear(&mut agents, &action("hello")), Said::Noted);
        for bad in [action(""), action(&"x".repeat(NAME_MAX + 1)), json!({ "type": "axm:action", "data": 1 })]
        {
            assert_eq!(hear(&mut agents, &bad), Said::Noted);
        }
        let text = serde_json::to_string(&agents.announced()).expect("JSON");
        let mut next = Agents::taken_over(serde_json::from_str(&text).expect("what was written"));
        assert_eq!(next.actions(RUN), agents.actions(RUN));
        for n in 0..2 * ENTRIES_MAX {
            hear(&mut next, &action(&n.to_string()));
        }
        assert_eq!(next.actions(RUN).len(), ENTRIES_MAX);
        next.forget(RUN);
        assert!(next.announced().is_empty());
    }

    #[test]
    fn metrics_are_the_last_ones_and_not_without_end() {
        let mut agents = Agents::default();
        let mut measure = |data: Value| {
            assert_eq!(hear(&mut agents, &json!({ "type": "axm:monitor", "data": data })), Said::Noted);
            agents.metrics(RUN)
        };
        measure(json!({ "queue": { "value": 1 }, "loop": { "value": 5 } }));
        let metrics = measure(json!({ "queue": { "value": 2 }, "long": "x".repeat(METRIC_MAX) }));
        assert_eq!(Value::Object(metrics), json!({ "queue": { "value": 2 }, "loop": { "value": 5 } }));
        let many: Map<String, Value> = (0..2 * ENTRIES_MAX).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(measure(Value::Object(many)).len(), ENTRIES_MAX);
        assert_eq!(measure(json!({ "queue": 3 }))["queue"], 3, "one that is known goes on");
    }

    #[test]
    fn a_reply_is_for_who_has_waited_longest_and_still_does() {
        let mut agents = Agents::default();
        let reply = |n: u32| json!({ "type": "axm:reply", "data": { "action_name": "go", "return": n } });
        let gone = agents.expect(RUN, "go");
        let mut first = agents.expect(RUN, "go").expect("room");
        let mut other = agents.expect(RUN, "else").expect("room");
        let mut second = agents.expect(RUN, "go").expect("room");
        drop(gone);
        assert_eq!(hear(&mut agents, &reply(1)), Said::Noted);
        assert_eq!((first.try_recv(), second.try_recv().is_err()), (Ok(json!(1)), true));
        assert_eq!(hear(&mut agents, &reply(2)), Said::Noted);
        assert_eq!(second.try_recv(), Ok(json!(2)));
        let late = json!({ "action_name": "go", "return": 3 });
        assert_eq!(hear(&mut agents, &reply(3)), told("axm:reply", late), "nobody waits");
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        agents.hang_up(RUN);
        assert_eq!(other.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| agents.expect(RUN, "go").expect("room")).collect();
        assert!(agents.expect(RUN, "go").is_none());
        drop(waiting);
        assert!(agents.expect(RUN, "go").is_some(), "who has gone takes no room");
    }
}
