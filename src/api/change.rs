//! In what two versions of an app differ, and what follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AppDeclaration, AppName, Fault, Millis};

/// Body of `POST /v1/apps/diff`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareApps {
    /// Complete declarations.
    pub apps: Vec<AppDeclaration>,
}

/// Body of `POST /v1/apps/apply`: an app that is as declared is left alone, one whose processes need not be replaced is
/// amended, others are moved as in a reload, unknown ones are started. What was stopped stays so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyApps {
    /// Complete declarations.
    pub apps: Vec<AppDeclaration>,
    /// Answer when the reload has begun.
    #[serde(default)]
    pub no_wait: bool,
    /// A reload that has not ended by then goes back, as if a replacement had failed.
    #[serde(default)]
    pub timeout: Option<Millis>,
}

/// One element of the answer of `POST /v1/apps/diff`: a declaration against what runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppDifference {
    /// The app.
    pub app: AppName,
    /// What `POST /v1/apps/apply` would do.
    pub step: Step,
    /// What differs; empty for an app that is not known yet.
    pub changes: Vec<Change>,
    /// None of its workers is to run: somebody has stopped them, or their end was final.
    #[serde(default)]
    pub stopped: bool,
    /// The declaration would be refused, for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Fault>,
}

/// What makes an app as it is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is so already.
    Nothing,
    /// It is not known yet: it is started, or registered where it has `autostart = false`.
    Start,
    /// Its processes go on; only their number may change.
    Amend,
    /// Its processes are replaced as in a reload.
    Reload,
}

/// One field or variable that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Its name in a declaration file; `env.NAME` for a variable. What no file says has a name in words.
    pub field: String,
    /// Whether it was there before and is there now.
    pub kind: ChangeKind,
    /// Before. Never the value of a variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Now. Never the value of a variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// What it takes.
    pub acts: Acts,
}

/// Whether something was there before and is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// It has another value.
    Changed,
}

/// When a change acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acts {
    /// At once, on the processes that run.
    AtOnce,
    /// On new processes only.
    NewProcesses,
}

/// What has changed from one version of an app to a later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Number of the earlier version.
    pub since: u64,
    /// In order of the fields, the variables last.
    pub changes: Vec<Change>,
}
