//! Where the output of an app goes, in which form, and how much of it is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// When a file is put aside, and how long it is kept.
    #[serde(default)]
    pub rotation: DeclaredRotation,
    /// What happens while a file takes nothing.
    #[serde(default)]
    pub on_full: OnFull,
    /// Where it goes beside its files, or in their place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<LogSink>,
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
            rotation: DeclaredRotation::default(),
            on_full: OnFull::default(),
            sink: None,
        }
    }
}

/// What happens when a file does not take what a worker writes (the disk is full, say) and the worker's pipe has filled up. A file
/// that is merely slow drops nothing: the worker waits at its pipe until there is room in it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// The worker waits, however long it takes; nothing is dropped.
    Block,
    /// The worker goes on; the latest output is kept.
    #[default]
    DropOldest,
    /// The worker goes on; the first output is kept.
    DropNewest,
}

/// Where output goes beside its files, or in their place where there are none. Lines travel whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSink {
    /// systemd's journal, with fields.
    Journald,
    /// The syslog daemon of the machine.
    Syslog,
    /// Standard output and standard error of the daemon, which runs in the foreground.
    Stdout(StdoutForm),
}

/// What a line looks like on the daemon's standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdoutForm {
    /// As in a file.
    #[default]
    Raw,
    /// After `<id>|<name> | `, as `pm2-runtime --formatted` has it.
    Prefixed,
    /// As in a file with `log_type: json`.
    Json,
    /// `timestamp=… app=… id=… type=out` or `error` `message=…`, as `pm2-runtime --format` has it.
    Format,
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

/// When a file is put aside by renaming it to `<name>__<date>.log`, and which of those are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Before it gets larger than so many bytes; `None`: whatever its size.
    pub size: Option<u64>,
    /// At these times: a cron expression in local time.
    pub interval: Option<String>,
    /// So many of each file are kept; `None`: all.
    pub keep: Option<u32>,
    /// They are kept for so many days.
    pub keep_days: Option<u32>,
    /// So many bytes may all files of the app together have.
    pub max_total: Option<u64>,
    /// So many bytes of the file system are left free.
    pub min_free: Option<u64>,
    /// How they are packed.
    pub compress: Option<Compression>,
    /// The date in their names, in PM2's tokens.
    pub date_format: String,
    /// The time zone of that date, as in the IANA's data base; `None`: the machine's.
    pub time_zone: Option<String>,
}

impl Rotation {
    /// Nothing is put aside.
    pub fn never() -> Self {
        Self { size: None, interval: None, ..Self::default() }
    }
}

impl Default for Rotation {
    /// Size, number and date are those of pm2-logrotate; without having to ask for them. The other two keep a small
    /// machine's disk from filling up: 30 files for each stream of each of 8 workers would be 5 GB.
    fn default() -> Self {
        Self {
            size: Some(10 << 20),
            interval: None,
            keep: Some(30),
            keep_days: None,
            max_total: Some(1 << 30),
            min_free: Some(256 << 20),
            compress: None,
            date_format: "YYYY-MM-DD_HH-mm-ss".to_owned(),
            time_zone: None,
        }
    }
}

/// What of a [`Rotation`] somebody has said. The outer `None`: nothing; a member that is `null` has been said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DeclaredRotation {
    /// [`Rotation::size`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub size: Option<Option<u64>>,
    /// [`Rotation::interval`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Option<String>>,
    /// [`Rotation::keep`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub keep: Option<Option<u32>>,
    /// [`Rotation::keep_days`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<Option<u32>>,
    /// [`Rotation::max_total`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub max_total: Option<Option<u64>>,
    /// [`Rotation::min_free`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub min_free: Option<Option<u64>>,
    /// [`Rotation::compress`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub compress: Option<Option<Compression>>,
    /// [`Rotation::date_format`]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_format: Option<String>,
    /// [`Rotation::time_zone`]
    #[serde(deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Option<String>>,
}

/// A member that is there, `null` too.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl DeclaredRotation {
    /// With what lies below where nothing is said.
    pub fn over(self, below: Rotation) -> Rotation {
        Rotation {
            size: self.size.unwrap_or(below.size),
            interval: self.interval.unwrap_or(below.interval),
            keep: self.keep.unwrap_or(below.keep),
            keep_days: self.keep_days.unwrap_or(below.keep_days),
            max_total: self.max_total.unwrap_or(below.max_total),
            min_free: self.min_free.unwrap_or(below.min_free),
            compress: self.compress.unwrap_or(below.compress),
            date_format: self.date_format.unwrap_or(below.date_format),
            time_zone: self.time_zone.unwrap_or(below.time_zone),
        }
    }

    /// Whether something is said about this.
    pub fn says(&self, field: RotationField) -> bool {
        match field {
            RotationField::Size => self.size.is_some(),
            RotationField::Interval => self.interval.is_some(),
            RotationField::Keep => self.keep.is_some(),
            RotationField::KeepDays => self.keep_days.is_some(),
            RotationField::MaxTotal => self.max_total.is_some(),
            RotationField::MinFree => self.min_free.is_some(),
            RotationField::Compress => self.compress.is_some(),
            RotationField::DateFormat => self.date_format.is_some(),
            RotationField::TimeZone => self.time_zone.is_some(),
        }
    }
}

/// A member of [`Rotation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RotationField {
    /// [`Rotation::size`]
    Size,
    /// [`Rotation::interval`]
    Interval,
    /// [`Rotation::keep`]
    Keep,
    /// [`Rotation::keep_days`]
    KeepDays,
    /// [`Rotation::max_total`]
    MaxTotal,
    /// [`Rotation::min_free`]
    MinFree,
    /// [`Rotation::compress`]
    Compress,
    /// [`Rotation::date_format`]
    DateFormat,
    /// [`Rotation::time_zone`]
    TimeZone,
}

/// What counts for an app, and which settings have to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RotationView {
    /// What counts: what the app declares, else the daemon's settings, else the defaults.
    pub policy: Rotation,
    /// The members that come from a setting, and its key.
    pub settings: BTreeMap<RotationField, String>,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_lies_below_and_null_is_said() {
        let below = Rotation { size: Some(1024), ..Rotation::default() };
        let read = |value| serde_json::from_value::<DeclaredRotation>(value).expect("declared");
        let some = read(json!({ "keep": null, "compress": "zstd" }));
        let expected = Rotation { keep: None, compress: Some(Compression::Zstd), ..below.clone() };
        assert_eq!(some.clone().over(below.clone()), expected);
        assert_eq!(json!(some), json!({ "keep": null, "compress": "zstd" }));
        assert!(some.says(RotationField::Keep) && !some.says(RotationField::Size));
        assert_eq!(read(json!({})).over(below.clone()), below);
        // As it was written when all members were always there.
        assert_eq!(read(json!(Rotation::default())).over(below), Rotation::default());
    }
}
