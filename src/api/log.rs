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
    /// Lines of this log follow, oldest first, those of its rotated files included.
    File {
        /// The path of the file that is being written.
        path: String,
        /// How many lines, at most; absent: all that are wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lines: Option<usize>,
    },
    /// A line of output, without its newline.
    Line {
        /// The app.
        app: AppName,
        /// The worker's id; `None` when several workers share the file it was read from.
        worker: Option<u32>,
        /// Which stream.
        stream: Stream,
        /// When: for a live line the moment it was taken from the worker, for one read from a file the time that it carries at
        /// its beginning. Milliseconds since the epoch; absent: not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
        /// The text.
        text: LogText,
    },
    /// A span of time was asked for, and the lines that follow carry no time: only the times of their file are known.
    Undated {
        /// The file.
        path: String,
        /// They were written after this, in milliseconds since the epoch; absent: not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// And before this.
        before: u64,
    },
    /// Told when `positions` are asked for: this reader has everything of a file up to here. With the latest of each file, `from`
    /// goes on exactly where the stream ended.
    Position {
        /// The path of the log.
        path: String,
        /// Where in it. Means something to the daemon only.
        place: String,
    },
    /// Where the reader was in this log cannot be found any more: lines may be missing or come again.
    Gap {
        /// The path of the file that is being written.
        path: String,
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
