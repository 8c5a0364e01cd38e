//! Lines of output on their way to a reader.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::AppName;

/// Which of a worker's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line of `GET /v1/logs` (NDJSON: one such object a line).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogLine {
    /// The last lines of this file follow.
    File {
        /// Its path.
        path: String,
        /// How many lines, at most.
        lines: usize,
    },
    /// A line of output, without its newline.
    Line {
        /// The app.
        app: AppName,
        /// The worker's id; `None` when several workers share the file it was read from.
        worker: Option<u32>,
        /// Which stream.
        stream: Stream,
        /// The text.
        text: LogText,
    },
    /// The reader was too slow: so many lines were left out here.
    Missed {
        /// How many.
        lines: u64,
    },
}

/// Output is bytes. What is valid UTF-8 travels as a string, anything else as an array of byte values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LogText {
    /// Valid UTF-8.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl LogText {
    /// The bytes as they were written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for LogText {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }
}
