//! What passes between a worker and the outside, by its standard input and its IPC channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AppName, LogText, Millis};

/// Body of `POST /v1/workers/input`: text for standard inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputRequest {
    /// App names, worker ids, namespaces, `/regex/` on the name, or `all`.
    pub targets: Vec<String>,
    /// The bytes, the newline included; at most [`InputRequest::MAX`]. Each worker gets all of them or none.
    pub text: LogText,
}

impl InputRequest {
    /// Bytes that a pipe takes whole or not at all (`PIPE_BUF`, pipe(7)), and the longest line of a terminal (termios(3)).
    pub const MAX: usize = 4096;
}

/// Body of `POST /v1/workers/message`: a message for IPC channels. A worker gets `{id, type, topic, data}`, with its own id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageRequest {
    /// As in [`InputRequest::targets`].
    pub targets: Vec<String>,
    /// What the worker finds as `type`.
    #[serde(rename = "type", default = "MessageRequest::default_kind")]
    pub kind: String,
    /// What it finds as `topic`.
    #[serde(default = "MessageRequest::default_topic")]
    pub topic: Value,
    /// What it finds as `data`.
    pub data: Value,
}

impl MessageRequest {
    /// PM2's type of messages that have no other.
    pub const KIND: &str = "process:msg";

    fn default_kind() -> String {
        Self::KIND.to_owned()
    }

    /// PM2 asks for one, and its manual says this.
    pub fn default_topic() -> Value {
        Value::Bool(true)
    }
}

/// Body of `POST /v1/workers/trigger`: an action that workers have announced (`axm:action`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerRequest {
    /// As in [`InputRequest::targets`]. Workers that have not announced the action are left out.
    pub targets: Vec<String>,
    /// The name of the action.
    pub action: String,
    /// What the action gets as its parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<String>,
    /// How long its reply may take. Default: [`TriggerRequest::TIMEOUT`]; at most [`TriggerRequest::TIMEOUT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
}

impl TriggerRequest {
    /// For a reply, unless told otherwise.
    pub const TIMEOUT: Millis = Millis(10_000);
    /// Nobody waits longer.
    pub const TIMEOUT_MAX: Millis = Millis(600_000);
}

/// What came of an action, worker by worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Triggered {
    /// One entry for each worker that has the action, in order of their ids.
    pub workers: Vec<Reply>,
}

/// What one worker replied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reply {
    /// The worker.
    pub id: u32,
    /// Its app.
    pub app: AppName,
    /// What the action returned.
    pub reply: Value,
    /// Why there is no reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// An action that a worker has announced (`axm:action`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// What `trigger` calls it.
    #[serde(rename = "action_name")]
    pub name: String,
    /// `custom`, `internal`, ….
    #[serde(rename = "action_type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many parameters its function has, that for the reply included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arity: Option<u64>,
}

/// What a worker said over its channel (`process.send`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its `type`; `process:msg` for what has none.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its `data`; all of it where there is no `type`. `null` when it is too long to be shown.
    pub data: Value,
}
