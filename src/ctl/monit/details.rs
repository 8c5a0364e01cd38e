//! What is to be known about what is selected? What `describe` tells, in brief, the most important first.

use std::ops::Range;

use supd_api::{AppView, Millis, WorkerView};

use super::rows::{Row, words};
use super::state::State;
use super::text::wrap;
use crate::ctl::cells::{self, harmless};
use crate::ctl::{policy, table};

/// The column of names.
pub(super) const NAMES: usize = 12;

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// It is bad news.
    pub(super) bad: bool,
}

impl Line {
    /// The parts of the value, a row each, where there are so many cells for name and value.
    pub(super) fn parts(&self, cells: usize) -> Vec<Range<usize>> {
        wrap(&self.value, cells.saturating_sub(NAMES).max(1))
    }

    /// How many rows it takes.
    pub(super) fn rows(&self, cells: usize) -> usize {
        self.parts(cells).len()
    }
}

/// The lines about what is selected.
pub(super) fn lines(state: &State) -> Vec<Line> {
    let Some(row) = state.row() else { return Vec::new() };
    let target = row.target();
    let app = state.app.as_ref().filter(|app| app.declaration.name == target.app);
    let mut lines = match row {
        Row::App { workers: [worker], .. } | Row::Worker(worker) => about(worker, state.now),
        Row::App { workers, .. } => crew(workers),
    };
    lines.extend(app.into_iter().flat_map(declared));
    lines
}

fn line(name: &'static str, value: impl Into<String>) -> Line {
    Line { name, value: harmless(&value.into()), bad: false }
}

fn bad(name: &'static str, value: impl Into<String>) -> Line {
    Line { bad: true, ..line(name, value) }
}

fn about(worker: &WorkerView, now: u64) -> Vec<Line> {
    let ago = |at: u64| cells::span(Millis(now.saturating_sub(at)));
    let mut lines = vec![status(worker)];
    lines.extend(worker.message.iter().map(|text| line("says", text)));
    lines.extend(worker.notice.iter().map(|text| bad("notice", text)));
    let pid = worker.pid.map_or_else(|| "none".to_owned(), |pid| pid.to_string());
    let up = worker.uptime.map(|up| format!(", up {}", cells::span(up))).unwrap_or_default();
    lines.push(line("pid", pid + &up));
    let unstable = match worker.unstable_restarts {
        0 => String::new(),
        times => format!(", {times} after short lives"),
    };
    lines.push(line("restarts", format!("{}{unstable}", worker.restarts)));
    lines.extend(
        worker.last_exit.iter().map(|exit| line("last exit", format!("{}, {} ago", exit.text, ago(exit.at)))),
    );
    lines.push(line("load", format!("{}, {}", cells::cpu(worker.cpu), cells::memory(worker.memory))));
    lines.extend(worker.logs.trouble.iter().map(|trouble| {
        bad("log", format!("{} cannot be written: {}", trouble.path.display(), trouble.text))
    }));
    let lost = worker.logs.out.lost_lines + worker.logs.error.lost_lines;
    if lost > 0 {
        lines.push(bad("log", format!("{lost} lines were dropped")));
    }
    for (name, file) in [("out log", &worker.out_file), ("error log", &worker.error_file)] {
        lines.extend(file.iter().map(|file| line(name, file.display().to_string())));
    }
    lines
}

fn status(worker: &WorkerView) -> Line {
    let reason = if worker.reason.is_empty() { String::new() } else { format!(": {}", worker.reason) };
    let text = format!("{}{reason}{}", worker.status.as_str(), table::left(worker.remaining));
    Line { bad: words(worker).is_some(), ..line("status", text) }
}

/// What is alike is told once.
fn crew(workers: &[WorkerView]) -> Vec<Line> {
    let mut told: Vec<(Line, Vec<u32>)> = Vec::new();
    for worker in workers {
        let notes = worker.message.iter().map(|text| line("says", text));
        let all = [status(&WorkerView { remaining: None, ..worker.clone() })].into_iter().chain(notes);
        for line in all {
            match told.iter_mut().find(|(known, _)| *known == line) {
                Some((_, ids)) => ids.push(worker.id),
                None => told.push((line, vec![worker.id])),
            }
        }
    }
    told.sort_by_key(|(line, ids)| (!line.bad, ids[0]));
    let mut lines: Vec<Line> = told
        .into_iter()
        .map(|(line, ids)| Line { value: format!("{} ({})", line.value, cells::numbers(&ids)), ..line })
        .collect();
    lines.extend(workers[0].notice.iter().map(|text| bad("notice", text)));
    let restarts: u32 = workers.iter().map(|worker| worker.restarts).sum();
    lines.push(line("restarts", restarts.to_string()));
    let (cpu, memory) =
        workers.iter().fold((0.0, 0), |(cpu, memory), worker| (cpu + worker.cpu, memory + worker.memory));
    lines.push(line("load", format!("{}, {}", cells::cpu(cpu), cells::memory(memory))));
    lines
}

fn declared(view: &AppView) -> Vec<Line> {
    let app = &view.declaration;
    let program = &app.program;
    let words = program.interpreter.iter().chain(&program.interpreter_args).chain([&program.script]);
    let command: Vec<&str> = words.chain(&program.args).map(String::as_str).collect();
    let before = view.previous_revision.map(|before| format!(", before it {before}")).unwrap_or_default();
    let mut lines = Vec::new();
    lines.extend(view.progress.map(|it| line("reload", format!("{} of {} workers moved", it.done, it.of))));
    lines.push(line("command", command.join(" ")));
    lines.push(line("directory", app.cwd.display().to_string()));
    let user = view.workers.first().map(|worker| format!(", user {}", worker.user)).unwrap_or_default();
    lines.push(line("mode", format!("{}{user}", cells::mode(app.exec_mode))));
    if !app.listen.is_empty() {
        let listen: Vec<String> = app.listen.iter().map(ToString::to_string).collect();
        lines.push(line("listen", listen.join(", ")));
    }
    lines.push(line("revision", format!("{}{before}", view.revision)));
    lines.push(line("readiness", policy::readiness(app)));
    lines.push(line("liveness", policy::liveness(&app.live)));
    lines.push(line("stop", policy::stop(app)));
    let source = app.source.as_ref();
    lines.push(line(
        "declared in",
        source.map_or_else(|| "the command line".to_owned(), |source| source.file.display().to_string()),
    ));
    lines
}
