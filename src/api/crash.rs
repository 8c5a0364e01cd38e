//! Ends that nobody asked for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppName, Difference, Exit, LogText, Millis};

/// One element of `GET /v1/crashes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrashReport {
    /// The app.
    pub app: AppName,
    /// Its worker's id.
    pub worker: u32,
    /// Number of the run. A daemon uses it only once.
    pub run: u64,
    /// Number of the version it was of.
    pub revision: u64,
    /// Its main process; `None`: there was none.
    pub pid: Option<i32>,
    /// When it was started. Unix time in milliseconds.
    pub started_at: u64,
    /// When it ended. Unix time in milliseconds.
    pub at: u64,
    /// How long it had been up.
    pub uptime: Millis,
    /// How it ended.
    pub exit: Exit,
    /// That in words, e.g. `killed by SIGKILL after 3 s`.
    pub text: String,
    /// Who or what ended it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The most resident memory that its main process had, in bytes; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// What its probe heard last, where it was ended for not being ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// What its version had changed; `None`: no version before it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Difference>,
    /// The last lines of its standard output.
    pub out: Vec<LogText>,
    /// The last lines of its standard error.
    pub err: Vec<LogText>,
}

/// Who or what ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The kernel, because memory was short: its log names the process.
    OutOfMemory,
    /// The kernel, because it had reached its `memory_max`.
    MemoryMax,
    /// Probably the kernel, because memory was short: it has killed somebody since the last look, and its log may not be read.
    PerhapsOutOfMemory,
    /// The JavaScript engine, because its heap was full.
    HeapFull,
    /// Somebody, by `supctl signal`.
    Client,
    /// Somebody who is neither supd nor, by the kernel's log, the kernel for want of memory.
    Stranger,
}

impl fmt::Display for Cause {
    /// In words that go on after `killed by SIGKILL after 3 s: `.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::OutOfMemory => "the kernel ended it because memory was short (OOM)",
            Self::MemoryMax => "it had reached its memory_max, and the kernel ended it (OOM)",
            Self::PerhapsOutOfMemory => {
                "probably by the kernel because memory was short (OOM): it has killed a process since; its log may not be read"
            }
            Self::HeapFull => "the JavaScript heap was full; see --max-old-space-size",
            Self::Client => "sent by `supctl signal`",
            Self::Stranger => "sent by somebody else: not by supd, and not for want of memory",
        })
    }
}
