//! What is known of ends that nobody asked for.
//!
//! A report begins when the core tells of a death and is written when the last words of the run are on disk. Until then it
//! is part of the snapshot, so that a successor completes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use supd_api::{AppName, Cause, CrashReport, Exit, Fault, LogLine, LogText, Stream};
use supd_core::{Death, RunId, WorkerId};
use supd_keeper::protocol;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::logs::{Filter, Request, Streams, Subscription, TailFile, Wanted, Workers};
use crate::supervisor::care::oom;
use crate::supervisor::now;
use crate::supervisor::report::crash_files;
use crate::supervisor::runs::paths;
use crate::supervisor::turn::Shell;
use crate::supervisor::view::{ended, exit_shown};

/// So many reports may be on their way. They are part of every snapshot, so in a storm of crashes that outruns the disk some are
/// left out: the loop must not become slower with each.
const UNDER_WAY: usize = 8;
/// So many of the last lines of each stream belong to a report.
const LINES: usize = 30;
/// Among so many of the last ones is what tells the cause.
const LINES_READ: usize = 100;
/// So many bytes of each.
const LINE_MAX: usize = 4096;
/// Files that take longer to be read are left out.
const PATIENCE: Duration = Duration::from_secs(10);
/// What V8 says when its heap is full.
const HEAP_FULL: &[u8] = b"JavaScript heap out of memory";
/// A shell's code for a command that SIGABRT has ended, as V8 does with itself.
const ABORTED: i32 = 128 + 6;

/// Reports on their way.
#[derive(Debug, Default)]
pub(crate) struct Crashes {
    pub(crate) awaited: Awaited,
    /// The most memory of runs that have ended, in bytes.
    peaks: BTreeMap<RunId, u64>,
    /// What clients have sent last.
    signals: BTreeMap<RunId, i32>,
    /// How many processes the kernel had killed for want of memory at the last look.
    oom_kills: Option<u64>,
}

/// Reports whose runs may have more to say.
pub(crate) type Awaited = BTreeMap<RunId, Begun>;

/// A report without last words.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    report: CrashReport,
    out_file: Option<PathBuf>,
    error_file: Option<PathBuf>,
    /// The kernel has killed somebody for want of memory since the last look.
    oom: bool,
    /// When it was started: `CLOCK_MONOTONIC` in microseconds.
    since: u64,
    /// A client has sent the signal that ended it.
    by_client: bool,
    /// The kernel ended it at its own bound.
    #[serde(default)]
    at_its_bound: bool,
}

/// Whose reports are wanted.
#[derive(Debug)]
pub(crate) struct Wreckage {
    root: PathBuf,
    /// Each with its namespace.
    apps: BTreeMap<AppName, String>,
    workers: Workers,
}

impl Crashes {
    pub(crate) fn taken_over(awaited: Awaited) -> Self {
        Self { awaited, oom_kills: oom::kills(), ..Self::default() }
    }

    /// What the keeper tells of a run that has ended.
    pub(crate) fn note_peak(&mut self, run: RunId, bytes: u64) {
        if bytes > 0 {
            self.peaks.insert(run, bytes);
        }
    }

    /// A client sends a signal.
    pub(crate) fn note_signal(&mut self, run: RunId, signal: i32) {
        self.signals.insert(run, signal);
    }

    /// Of all other runs nothing needs to be known any more.
    fn retain(&mut self, exists: impl Fn(RunId) -> bool) {
        self.peaks.retain(|run, _| exists(*run));
        self.signals.retain(|run, _| exists(*run));
    }

    fn has_killed_since(&mut self) -> bool {
        let before = std::mem::replace(&mut self.oom_kills, oom::kills());
        self.oom_kills.zip(before).is_some_and(|(now, before)| now > before)
    }
}

impl Shell {
    /// The main process of a run has ended, asked or not.
    pub(crate) fn on_exit(&mut self, run: RunId, peak_memory: u64) {
        self.crashes.retain(|run| self.core.run(run).is_some());
        self.crashes.note_peak(run, peak_memory);
    }

    /// A run has ended unasked.
    pub(crate) fn on_death(&mut self, worker: WorkerId, app: &supd_core::AppName, death: &Death) {
        if self.crashes.awaited.len() >= UNDER_WAY {
            return;
        }
        let Ok(name) = AppName::new(app.0.clone()) else { return };
        let Death { run, revision, pid, exit, uptime } = death;
        let now = now();
        let killed = *exit == supd_core::Exit::Signal(nix::libc::SIGKILL);
        let declaration = self.revision(app, *revision).map(|revision| &revision.declaration);
        let file = |stream| paths::log_file(&self.home, declaration?, worker.0, stream);
        let begun = Begun {
            out_file: file(Stream::Out),
            error_file: file(Stream::Err),
            report: CrashReport {
                app: name,
                worker: worker.0,
                run: run.0,
                revision: revision.0,
                pid: pid.map(|pid| pid.0),
                started_at: now.wall.0.saturating_sub((*uptime).as_millis().try_into().unwrap_or(0)),
                at: now.wall.0,
                uptime: (*uptime).into(),
                exit: exit_shown(exit),
                text: ended(exit, *uptime),
                cause: None,
                peak_memory: None,
                answer: self.last_answer_before(*run, exit),
                changed: self.changed_by(app, *revision),
                out: Vec::new(),
                err: Vec::new(),
            },
            oom: killed && self.crashes.has_killed_since(),
            at_its_bound: *exit == supd_core::Exit::OutOfMemory,
            since: now.mono.0.saturating_sub(uptime.as_nanos().try_into().unwrap_or(0)) / 1000,
            by_client: matches!(exit, supd_core::Exit::Signal(signal) if self.crashes.signals.get(run) == Some(signal)),
        };
        self.crashes.awaited.insert(*run, begun);
        self.unsaved = true;
        if !self.outputs.contains_key(run) {
            self.complete_crash(*run);
        }
    }

    /// The last words of this run are on disk: its report, if there is one, is completed.
    pub(crate) fn complete_crash(&mut self, run: RunId) {
        let peak_memory = self.crashes.peaks.get(&run).copied();
        let Some(begun) = self.crashes.awaited.get_mut(&run) else { return };
        begun.report.peak_memory = begun.report.peak_memory.or(peak_memory);
        let begun = begun.clone();
        let words = [
            self.last_words(&begun, Stream::Out, begun.out_file.as_deref()),
            self.last_words(&begun, Stream::Err, begun.error_file.as_deref()),
        ];
        tokio::spawn(write(self.home.crashes(), begun, words, self.outlets.reported.clone()));
    }

    /// What a run has written last to this file.
    fn last_words(&self, begun: &Begun, stream: Stream, path: Option<&Path>) -> Option<Subscription> {
        let CrashReport { app, worker, run, .. } = &begun.report;
        let extent = self.extents.of(*worker, protocol::RunId(*run), stream)?;
        let file = TailFile {
            path: path?.to_owned(),
            app: app.clone(),
            worker: Some(*worker),
            stream,
            extent: Some(extent),
        };
        let nobody = Workers(Vec::new());
        Some(self.logs.subscribe(Request {
            filter: Filter { workers: nobody, streams: Streams::Both },
            wanted: Wanted { tail: Some(LINES_READ), ..Wanted::default() },
            follow: false,
            files: vec![file],
        }))
    }

    pub(crate) fn on_reported(&mut self, run: RunId) {
        self.crashes.awaited.remove(&run);
        self.unsaved = true;
    }

    /// Goes on with reports that a predecessor has begun.
    pub(crate) fn complete_crashes(&mut self) {
        let awaited = self.crashes.awaited.keys().copied();
        let told: Vec<RunId> = awaited.filter(|run| !self.outputs.contains_key(run)).collect();
        told.into_iter().for_each(|run| self.complete_crash(run));
    }

    /// Removes the reports of apps that are no more. Blocks: for the start only.
    pub(crate) fn tidy_crashes(&self) {
        let apps = self.core.view(now().mono).filter_map(|seat| AppName::new(seat.app.0.as_str()).ok());
        let apps: BTreeSet<AppName> = apps.collect();
        if let Err(error) = crash_files::retain(&self.home.crashes(), apps.iter()) {
            tracing::warn!("{}: {error}", self.home.crashes().display());
        }
    }

    /// Where the reports of these targets are.
    pub(crate) fn wreckage(&self, targets: &[String]) -> Result<Wreckage, Fault> {
        let workers = self.meant_or_all(targets)?;
        let candidates = self.candidates();
        let meant = candidates.iter().filter(|candidate| candidate.is_of(&workers));
        let apps =
            meant.filter_map(|it| Some((AppName::new(it.app).ok()?, it.namespace.to_owned()))).collect();
        Ok(Wreckage { root: self.home.crashes(), apps, workers })
    }
}

impl Wreckage {
    /// So many of the latest reports of each app, the latest first. Blocks.
    pub(crate) fn read(&self, limit: usize) -> Vec<CrashReport> {
        let mut reports = Vec::new();
        for (app, namespace) in &self.apps {
            let all = crash_files::read(&self.root, app).into_iter();
            let meant = |report: &CrashReport| self.workers.include(app.as_str(), namespace, report.worker);
            reports.extend(all.filter(meant).take(limit));
        }
        reports.sort_by_key(|report| std::cmp::Reverse(report.at));
        reports
    }
}

async fn write(
    root: PathBuf,
    begun: Begun,
    [out, err]: [Option<Subscription>; 2],
    reported: mpsc::UnboundedSender<RunId>,
) {
    let (out, err) = tokio::join!(lines(out), lines(err));
    let run = RunId(begun.report.run);
    let written = tokio::task::spawn_blocking(move || {
        let cause = cause(&begun, &err);
        crash_files::add(&root, &CrashReport { out: last(out), err: last(err), cause, ..begun.report })
    });
    match written.await.map_err(io::Error::other) {
        Ok(Ok(())) => {}
        Ok(Err(error)) | Err(error) => tracing::warn!("run {run}: its crash report cannot be kept: {error}"),
    }
    // The loop may have ended meanwhile.
    let _ = reported.send(run);
}

async fn lines(subscription: Option<Subscription>) -> Vec<LogText> {
    let mut lines = Vec::new();
    let Some(mut subscription) = subscription else { return lines };
    let read = async {
        while let Some(line) = subscription.next().await {
            if let LogLine::Line { text, .. } = line {
                lines.push(clipped(text));
            }
        }
    };
    // What has been read until then is better than nothing.
    let _ = timeout(PATIENCE, read).await;
    lines
}

fn last(mut lines: Vec<LogText>) -> Vec<LogText> {
    lines.split_off(lines.len().saturating_sub(LINES))
}

fn clipped(text: LogText) -> LogText {
    match text {
        LogText::Text(text) => {
            let end = (0..=text.len().min(LINE_MAX)).rev().find(|at| text.is_char_boundary(*at));
            LogText::Text(text[..end.unwrap_or(0)].to_owned())
        }
        LogText::Bytes(mut bytes) => {
            bytes.truncate(LINE_MAX);
            LogText::Bytes(bytes)
        }
    }
}

/// Who or what ended it. Blocks.
fn cause(begun: &Begun, err: &[LogText]) -> Option<Cause> {
    use nix::libc::{SIGABRT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
    let heap_full =
        || err.iter().any(|line| line.as_bytes().windows(HEAP_FULL.len()).any(|it| it == HEAP_FULL));
    match begun.report.exit {
        Exit::Signal(_) if begun.at_its_bound => Some(Cause::MemoryMax),
        Exit::Signal(_) if begun.by_client => Some(Cause::Client),
        Exit::Signal(SIGABRT) | Exit::Code(ABORTED) => heap_full().then_some(Cause::HeapFull),
        Exit::Signal(SIGKILL) => match oom::names(begun.report.pid?, begun.since) {
            Some(true) => Some(Cause::OutOfMemory),
            Some(false) => Some(Cause::Stranger),
            None => begun.oom.then_some(Cause::PerhapsOutOfMemory),
        },
        Exit::Signal(SIGHUP | SIGINT | SIGQUIT | SIGTERM) => Some(Cause::Stranger),
        Exit::Signal(_) | Exit::Code(_) | Exit::NotStarted(_) | Exit::TimedOut(_) | Exit::Unknown => None,
    }
}
