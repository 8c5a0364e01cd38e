//! How do the runs of a job read?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use supd_api::{AppDeclaration, JobResult, JobRun, JobView, Millis, Overlap, WorkerView};

use super::cells;
use super::policy;

/// `, 12s ago, after 3 s; another run waits; next run in 5h`, to be put after why the worker is as it is.
pub(crate) fn times(worker: &WorkerView) -> String {
    let Some(job) = &worker.job else { return String::new() };
    let last = job.last.as_ref().map(|JobRun { result, at, took, .. }| {
        let (ago, took) = (cells::since(*at), cells::duration(*took));
        match worker.pid {
            None => format!(", {ago} ago, after {took}"),
            Some(_) => format!("; the one before {}, {ago} ago, after {took}", word(*result)),
        }
    });
    let queued = job.queued.then(|| "; another run waits".to_owned());
    let next = job.next.map(|at| format!("; next run in {}", until(at)));
    last.into_iter().chain(queued).chain(next).collect()
}

fn word(result: JobResult) -> &'static str {
    match result {
        JobResult::Completed => "has completed",
        JobResult::Failed => "has failed",
        JobResult::TimedOut => "took too long",
        JobResult::Stopped => "was stopped",
    }
}

fn until(unix_millis: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    cells::span(Millis::from(Duration::from_millis(unix_millis).saturating_sub(now)))
}

/// When it runs and by what rules; `None`: it is no job.
pub(crate) fn rules(app: &AppDeclaration, next: Option<u64>) -> Option<String> {
    let job = app.job.as_ref()?;
    let times =
        job.cron.as_ref().map_or_else(|| "only when asked to".to_owned(), |cron| policy::times(cron, next));
    let overlap = match job.overlap {
        Overlap::Skip => "skip",
        Overlap::Queue => "queue",
        Overlap::Kill => "kill",
    };
    let timeout =
        job.timeout.map(|limit| format!(", timeout {}", cells::duration(limit))).unwrap_or_default();
    let catch_up = if job.catch_up { ", catches up" } else { "" };
    Some(format!("{times}; overlap {overlap}{timeout}{catch_up}"))
}

/// How its runs ended since the daemon was started.
pub(crate) fn runs(job: &JobView) -> String {
    let runs = job.runs;
    let all = [
        (runs.completed, "completed"),
        (runs.failed, "failed"),
        (runs.timed_out, "timed out"),
        (runs.skipped, "skipped"),
    ];
    let all: Vec<String> = all
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if all.is_empty() { "none yet".to_owned() } else { all.join(", ") }
}
