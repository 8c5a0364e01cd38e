//! How does the list look? On a narrow terminal the least important columns go first. A row that needs words has them in place of its
//! figures.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use supd_api::{Millis, WorkerView};

use super::{BOLD, Palette, REVERSED, word};
use crate::ctl::monit::history::Load;
use crate::ctl::monit::layout::Areas;
use crate::ctl::monit::rows::{Row, words};
use crate::ctl::monit::state::State;
use crate::ctl::monit::text::{fit, width};
use crate::ctl::{cells, table};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A name is not cut below so many cells while another column can go instead.
const NAME_LEAST: usize = 12;
/// As far as a longer name is of use in a list.
const NAME_MOST: usize = 48;
/// So many bars at least and at most.
const CHART: (usize, usize) = (6, 24);
/// A worker that is idle has low bars, however its little load goes up and down. Percent of a processor.
const CPU_SCALE: f64 = 20.0;
/// Memory that stays as it is has bars of middling height, so that more and less are seen beside it.
const MEMORY_ROOM: f64 = 1.6;

/// The widths of the columns in cells; 0: not shown.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    id: usize,
    name: usize,
    status: usize,
    restarts: usize,
    uptime: usize,
    cpu: usize,
    cpu_chart: usize,
    memory: usize,
    memory_chart: usize,
}

impl Columns {
    /// As they fit into so many cells.
    fn fitting(rows: &[Row<'_>], cells: usize) -> Self {
        let widest = |text: &dyn Fn(&Row<'_>) -> usize| rows.iter().map(text).max().unwrap_or(0);
        let id = widest(&|row| row.workers().iter().map(|it| it.id.to_string().len()).max().unwrap_or(0));
        let name = widest(&|row| width(&title(row))).clamp(NAME_LEAST, NAME_MOST);
        let mut columns = Self {
            id: id.max(2),
            name: NAME_LEAST,
            status: 10,
            restarts: 4,
            uptime: 6,
            cpu: 6,
            cpu_chart: CHART.0,
            memory: 8,
            memory_chart: CHART.0,
        };
        let expendable: [fn(&mut Self) -> &mut usize; 6] = [
            |it| &mut it.memory_chart,
            |it| &mut it.cpu_chart,
            |it| &mut it.uptime,
            |it| &mut it.restarts,
            |it| &mut it.memory,
            |it| &mut it.cpu,
        ];
        for column in expendable {
            if columns.total() > cells {
                *column(&mut columns) = 0;
            }
        }
        let spare = cells.saturating_sub(columns.total());
        columns.name += spare.min(name - NAME_LEAST);
        let spare = cells.saturating_sub(columns.total()) / 2;
        if columns.memory_chart > 0 {
            columns.cpu_chart += spare.min(CHART.1 - CHART.0);
            columns.memory_chart += spare.min(CHART.1 - CHART.0);
        }
        columns.name += cells.saturating_sub(columns.total());
        columns
    }

    /// A space before each column, and one at the end.
    fn total(self) -> usize {
        let all = [self.id, self.name, self.status, self.figures().0, self.figures().1];
        all.into_iter().map(|width| width + usize::from(width > 0)).sum::<usize>() + 1
    }

    /// Restarts, and what follows them.
    fn figures(self) -> (usize, usize) {
        let rest = [self.uptime, self.cpu, self.cpu_chart, self.memory, self.memory_chart];
        let shown: Vec<usize> = rest.into_iter().filter(|width| *width > 0).collect();
        (self.restarts, (shown.iter().sum::<usize>() + shown.len()).saturating_sub(1))
    }
}

/// Fewer cells have no room for words.
const WORDS_LEAST: usize = 12;

/// Writes cells from left to right.
struct Pen<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    y: u16,
}

impl Pen<'_> {
    /// A space and a column of this width, if there is one.
    fn left(&mut self, text: &str, cells: usize, style: Style) {
        if cells > 0 {
            self.buffer.set_stringn(self.x + 1, self.y, fit(text, cells), cells, style);
            self.x += cells as u16 + 1;
        }
    }

    /// The same, with the text at its right end.
    fn right(&mut self, text: &str, cells: usize, style: Style) {
        let text = fit(text, cells);
        let before = cells - width(&text);
        self.left(&(" ".repeat(before) + &text), cells, style);
    }
}

pub(super) fn draw(state: &State, palette: Palette, areas: &Areas, buffer: &mut Buffer) {
    let rows = state.rows();
    let columns = Columns::fitting(&rows, areas.list.width.into());
    heads(columns, palette, areas.heads, buffer);
    let first = state.top.min(rows.len());
    for (row, y) in rows[first..].iter().zip(areas.list.top()..areas.list.bottom()) {
        let selected = Some(row.target()) == state.selected;
        // A reversed row is of one colour: others would be unreadable backgrounds.
        let palette = if selected { Palette { colour: false } } else { palette };
        let pen = Pen { buffer, x: areas.list.x, y };
        figures(row, state, columns, palette, pen);
        if selected {
            buffer.set_style(Rect { y, height: 1, ..areas.list }, REVERSED);
        }
    }
    if rows.is_empty() {
        let text = match (state.daemon.is_some(), state.filter_text()) {
            (false, _) => String::new(),
            (true, "") => "nothing here yet: `supctl start app.js`".to_owned(),
            (true, filter) => format!("nothing has `{filter}` in its name or status"),
        };
        buffer.set_stringn(1, areas.list.y, text, usize::from(areas.list.width) - 1, Style::new());
    }
}

fn heads(columns: Columns, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let style = palette.frame().patch(BOLD);
    let mut pen = Pen { buffer, x: area.x, y: area.y };
    pen.right("id", columns.id, style);
    pen.left("name", columns.name, style);
    pen.left("status", columns.status, style);
    pen.right("↺", columns.restarts, style);
    pen.right("uptime", columns.uptime, style);
    pen.right("cpu", columns.cpu, style);
    pen.left("", columns.cpu_chart, style);
    pen.right("mem", columns.memory, style);
}

/// `▾ web ×4`, `  web`, `    pid 4001`.
fn title(row: &Row<'_>) -> String {
    match row {
        Row::App { workers: [worker], .. } => format!("  {}", worker.app),
        Row::App { workers, folded } => {
            let mark = if *folded { '▸' } else { '▾' };
            format!("{mark} {} ×{}", workers[0].app, workers.len())
        }
        Row::Worker(worker) => {
            let pid = worker.pid.map_or_else(|| "no process".to_owned(), |pid| format!("pid {pid}"));
            format!("    {pid}")
        }
    }
}

fn figures(row: &Row<'_>, state: &State, columns: Columns, palette: Palette, mut pen: Pen<'_>) {
    let workers = row.workers();
    let worst = row.worst();
    let id = if workers.len() == 1 { worst.id.to_string() } else { String::new() };
    pen.right(&id, columns.id, palette.faint());
    let name = match row {
        Row::App { .. } => BOLD,
        Row::Worker(_) => palette.faint(),
    };
    pen.left(&shortened(row, columns.name), columns.name, name);
    let colour = match words(worst) {
        Some(_) if worst.status == supd_api::Status::Online => palette.warning(),
        _ => palette.status(worst.status),
    };
    pen.left(&status(workers, columns.status), columns.status, colour);
    let restarts: u32 = workers.iter().map(|worker| worker.restarts).sum();
    pen.right(&restarts.to_string(), columns.restarts, Style::new());
    match explained(row) {
        Some(text) if columns.figures().1 >= WORDS_LEAST => pen.left(&text, columns.figures().1, colour),
        _ => load(workers, state, columns, palette, pen),
    }
}

/// A name that is too long keeps the number of its workers.
fn shortened(row: &Row<'_>, cells: usize) -> String {
    let title = title(row);
    match (row, title.rsplit_once(" ×")) {
        (Row::App { workers: [_, _, ..], .. }, Some((name, count))) if width(&title) > cells => {
            let count = format!(" ×{count}");
            fit(name, cells.saturating_sub(width(&count))) + &count
        }
        _ => title,
    }
}

/// `online`, `3/4 online`.
fn status(workers: &[WorkerView], cells: usize) -> String {
    let up = workers.iter().filter(|worker| worker.status == supd_api::Status::Online).count();
    if workers.iter().all(|worker| worker.status == workers[0].status) {
        return word(workers[0].status).to_owned();
    }
    let text = format!("{up}/{} online", workers.len());
    if width(&text) > cells { format!("{up}/{}", workers.len()) } else { text }
}

/// What is said in place of figures. The workers below an app say it themselves.
fn explained(row: &Row<'_>) -> Option<String> {
    if let Row::App { workers: [_, _, ..], folded: false } = row {
        return None;
    }
    let worst = row.worst();
    words(worst).map(|reason| cells::harmless(reason) + &table::left(worst.remaining))
}

fn load(workers: &[WorkerView], state: &State, columns: Columns, palette: Palette, mut pen: Pen<'_>) {
    let plain = Style::new();
    let youngest: Option<Millis> = workers.iter().filter_map(|worker| worker.uptime).min();
    let runs = workers.iter().any(|worker| worker.pid.is_some());
    let figure = |text: String| if runs { text } else { "-".to_owned() };
    let cpu: f64 = workers.iter().map(|worker| worker.cpu).sum();
    let memory: u64 = workers.iter().map(|worker| worker.memory).sum();
    let most = if runs { columns.cpu_chart.max(columns.memory_chart) } else { 0 };
    let loads = state.history.last(workers, most);
    pen.right(&youngest.map_or_else(|| "-".to_owned(), cells::span), columns.uptime, plain);
    pen.right(&figure(cells::cpu(cpu)), columns.cpu, plain);
    let style = palette.good();
    let bars = chart(&loads, columns.cpu_chart, |most| most.max(CPU_SCALE), |load| load.cpu);
    pen.right(&bars, columns.cpu_chart, style);
    pen.right(&figure(cells::memory(memory)), columns.memory, plain);
    let bars =
        chart(&loads, columns.memory_chart, |most| most * MEMORY_ROOM + 1.0, |load| load.memory as f64);
    pen.right(&bars, columns.memory_chart, palette.frame());
}

/// The last loads as bars. `full`: how much a full one is when the highest is so much.
fn chart(loads: &[Load], cells: usize, full: impl Fn(f64) -> f64, of: impl Fn(&Load) -> f64) -> String {
    let loads = &loads[loads.len().saturating_sub(cells)..];
    let full = full(loads.iter().map(&of).fold(0.0, f64::max));
    let top = (BARS.len() - 1) as f64;
    loads.iter().map(|load| BARS[((of(load) / full * top).round() as usize).min(BARS.len() - 1)]).collect()
}
