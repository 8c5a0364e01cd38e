//! The table `[apps.job]` as users write it.
//!
//! Question answered here: *which members has it, what are their types, and what contradicts it?*

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use supd_api::{CronPolicy, JobPolicy};

use super::problem::Report;
use super::read::App;
use super::value::{Cron, Flag, Limit, Overlapping, Text};
use super::vocabulary::Vocabulary;

/// An app that runs when it is its time or when it is asked to, and comes to an end. A text in its place is its `cron`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct JobFields {
    /// When it runs: `hourly`, `daily`, `weekly`, or a cron expression. Default: only when asked to, by `supctl run`.
    pub(super) cron: Option<Cron>,
    /// The time zone of `cron`, such as `Europe/Berlin`. Default: the local time of the daemon.
    pub(super) time_zone: Option<Text>,
    /// What becomes of a run that is due while another goes on: `skip`: nothing; `queue`: it begins after the other, and one at
    /// most waits; `kill`: the other is stopped in its favour. Default: `skip`.
    pub(super) overlap: Option<Overlapping>,
    /// A run that takes longer is stopped and has failed. Milliseconds, or a text such as `2h`. Default: no limit.
    pub(super) timeout: Option<Limit>,
    /// `true`: when a time was missed because the daemon or the machine was down, it runs once after the start. Default: `false`.
    pub(super) catch_up: Option<Flag>,
}

/// Names of Kubernetes' CronJob and of systemd.
const FOREIGN: &[(&str, &str)] = &[
    ("schedule", "write `cron`"),
    ("concurrency_policy", "Kubernetes' `Forbid` is `overlap = \"skip\"` here, `Replace` is `\"kill\"`"),
    (
        "active_deadline_seconds",
        "write `timeout`, and seconds as in `\"5s\"`: a bare number means milliseconds",
    ),
    ("persistent", "systemd's `Persistent=true` is `catch_up = true` here"),
    ("on_calendar", "write `cron`, a cron expression"),
    ("cron_time_zone", "write `time_zone`"),
];

static JOB: LazyLock<Vocabulary> =
    LazyLock::new(|| Vocabulary { foreign: FOREIGN, ..Vocabulary::of::<JobFields>() });

/// The names of its members.
pub(super) fn vocabulary() -> &'static Vocabulary {
    &JOB
}

/// The schema of a table, or its `cron` alone.
pub(super) fn table_or_cron(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        generator.subschema_for::<Cron>(),
        { "type": "null" },
        generator.subschema_for::<JobFields>(),
    ] })
}

/// What the fields mean together, if the app is a job.
pub(super) fn job(app: &App, report: &mut Report) -> Option<JobPolicy> {
    let fields = app.fields.job.as_ref()?;
    if app.fields.cron_time_zone.is_some() {
        let hint = "the time zone of a job is `time_zone` in its table";
        report.problem(
            &app.at("cron_time_zone"),
            "it is about `cron_restart`, which a job has not",
            Some(hint.to_owned()),
        );
    }
    let cron = fields.cron.as_ref().and_then(|Cron(expression)| expression.clone());
    let time_zone = fields.time_zone.as_ref().map(|text| text.0.clone()).filter(|zone| !zone.is_empty());
    if cron.is_none() {
        let idle = [("job.time_zone", time_zone.is_some()), ("job.catch_up", flag(fields.catch_up.as_ref()))];
        for (field, _) in idle.into_iter().filter(|(_, given)| *given) {
            report.problem(
                &app.at(field),
                "without `cron` there are no times that this could be about",
                None,
            );
        }
    }
    Some(JobPolicy {
        cron: cron.map(|expression| CronPolicy { expression, time_zone }),
        overlap: fields.overlap.as_ref().map(|overlap| overlap.0).unwrap_or_default(),
        timeout: fields.timeout.as_ref().map(|limit| limit.0),
        catch_up: flag(fields.catch_up.as_ref()),
    })
}

fn flag(field: Option<&Flag>) -> bool {
    field.is_some_and(|flag| flag.0)
}
