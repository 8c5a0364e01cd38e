//! Where the output of an app goes, in which form, and how much of it is kept.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the output of an app goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogPolicy {
    /// Standard output.
    pub out_file: LogTarget,
    /// Standard error.
    pub error_file: LogTarget,
    /// Both of them, in addition.
    #[serde(default = "LogTarget::nowhere")]
    pub log_file: LogTarget,
    /// `true`: all workers write into one file; `false`: `-<id>` goes before `.log`, as PM2 does.
    pub merge_logs: bool,
    /// What a line looks like in the files.
    #[serde(default)]
    pub form: LogForm,
}

impl Default for LogPolicy {
    /// A file for each stream of each worker.
    fn default() -> Self {
        Self {
            out_file: LogTarget::Default,
            error_file: LogTarget::Default,
            log_file: LogTarget::Discard,
            merge_logs: false,
            form: LogForm::Plain,
        }
    }
}

/// Where one stream goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    /// `<SUPD_HOME>/logs/<name>-out.log`, `-error.log`, or `.log` for both.
    Default,
    /// An absolute path.
    File(PathBuf),
    /// Nowhere (`NULL`, `/dev/null`, `disable_logs`).
    Discard,
}

impl LogTarget {
    fn nowhere() -> Self {
        Self::Discard
    }
}

/// What a line looks like in its file. Formats of dates have PM2's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogForm {
    /// As it was written, byte for byte.
    #[default]
    Plain,
    /// After the time in this format, a colon and a space.
    Dated(String),
    /// An object with the members of PM2's; its `timestamp` is in this format, or as in RFC 3339.
    Json(Option<String>),
}
