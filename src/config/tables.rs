//! Which fields of an app are tables, and what a single value in place of one stands for.

use super::vocabulary::Vocabulary;
use super::{job_fields, probe_fields};

/// A table inside of an app.
pub(super) struct Table {
    /// What its members may be called.
    pub(super) names: &'static Vocabulary,
    /// The member that a text alone stands for.
    pub(super) text: &'static str,
    /// The member that a number alone stands for.
    pub(super) number: Option<&'static str>,
    /// What is expected in its place.
    pub(super) expected: &'static str,
}

/// The table in that field; `None`: the field is no table.
pub(super) fn table(field: &str) -> Option<Table> {
    let probe = probe_fields::table(field).map(|names| Table {
        names,
        text: "http",
        number: Some("tcp"),
        expected: "expected a table with `http`, `tcp` or `exec`, or a path such as \"/health\", or a port",
    });
    let job = || Table {
        names: job_fields::vocabulary(),
        text: "cron",
        number: None,
        expected: "expected a table such as { cron = \"0 3 * * *\" }, or that cron expression alone",
    };
    probe.or_else(|| (field == "job").then(job))
}
