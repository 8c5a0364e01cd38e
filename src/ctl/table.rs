//! How do all workers fit into one table? PM2's columns; on a narrow terminal the least important go first. What needs
//! words stands below.

mod remarks;

use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, ContentLineStyle, LineStyle, Row, Table,
    TableStyle, Width,
};
use supd_api::{Status, WorkerView};

use super::cells;
use super::output::Style;
pub(crate) use remarks::left;

const LINES: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('┌', '─', '┬', '┐'))
    .header_lines(ContentLineStyle::new('│', '│', '│'))
    .header_separator(LineStyle::new('├', '─', '┼', '┤'))
    .content_lines(ContentLineStyle::new('│', '│', '│'))
    .bottom_border(LineStyle::new('└', '─', '┴', '┘'));

/// A name is not cut below so many characters while another column can go instead.
const NAME_MIN: usize = 12;

/// The column of names on a terminal: PM2's 40 characters and a space on each side.
const NAME_MAX: Width = Width::Fixed(42);

/// One column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    Name,
    Namespace,
    Version,
    Mode,
    Pid,
    Uptime,
    Restarts,
    Status,
    Cpu,
    Memory,
    User,
}

use Column::{Cpu, Id, Memory, Mode, Name, Namespace, Pid, Restarts, Uptime, User, Version};

/// PM2's order.
const ORDER: [Column; 12] =
    [Id, Name, Namespace, Version, Mode, Pid, Uptime, Restarts, Column::Status, Cpu, Memory, User];

/// What a narrow terminal does without, first to go first.
const EXPENDABLE: [Column; 9] = [Version, User, Namespace, Pid, Mode, Uptime, Restarts, Cpu, Memory];

impl Column {
    const fn title(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Namespace => "namespace",
            Self::Version => "version",
            Self::Mode => "mode",
            Self::Pid => "pid",
            Self::Uptime => "uptime",
            Self::Restarts => "↺",
            Self::Status => "status",
            Self::Cpu => "cpu",
            Self::Memory => "mem",
            Self::User => "user",
        }
    }

    fn text(self, worker: &WorkerView) -> String {
        match self {
            Self::Id => worker.id.to_string(),
            Self::Name => worker.app.to_string(),
            Self::Namespace => cells::harmless(&worker.namespace),
            Self::Version => worker.version.as_deref().map_or_else(|| "N/A".to_owned(), cells::harmless),
            Self::Mode => cells::mode(worker.exec_mode).to_owned(),
            Self::Pid => worker.pid.unwrap_or(0).to_string(),
            Self::Uptime => cells::uptime(worker.uptime),
            Self::Restarts => worker.restarts.to_string(),
            Self::Status => worker.status.as_str().to_owned(),
            Self::Cpu => cells::cpu(worker.cpu),
            Self::Memory => cells::memory(worker.memory),
            Self::User => cells::harmless(&worker.user),
        }
    }
}

/// The colour of a state, as PM2 chooses it.
pub(crate) fn colour(status: Status) -> Color {
    match status {
        Status::Online => Color::Green,
        Status::Launching => Color::Blue,
        Status::Scheduled | Status::Idle => Color::Cyan,
        Status::Stopping | Status::Stopped | Status::Errored | Status::Waiting => Color::Red,
    }
}

/// The table and what follows it, without a newline at the end.
pub(crate) fn list(workers: &[WorkerView], style: Style) -> String {
    let columns = fitting(workers, style.width);
    let mut table = framed(style);
    table.set_header(columns.iter().map(|column| heading(column.title())));
    table.add_rows(workers.iter().map(|worker| row(&columns, worker)));
    for (column, kind) in table.column_iter_mut().zip(&columns) {
        column.set_constraint(match kind {
            Column::Name if style.width.is_some() => ColumnConstraint::UpperBoundary(NAME_MAX),
            _ => ColumnConstraint::ContentWidth,
        });
    }
    let mut text = table.to_string();
    for remark in remarks::remarks(workers) {
        text.push_str("\n  ");
        text.push_str(&remark);
    }
    text
}

/// Two columns, name and value.
pub(crate) fn pairs(pairs: &[(&str, String)], style: Style) -> String {
    let mut table = framed(style);
    for (name, value) in pairs {
        table.add_row([heading(&cells::harmless(name)), Cell::new(cells::harmless(value))]);
    }
    if let Some(names) = table.column_mut(0) {
        names.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.to_string()
}

/// One column.
pub(crate) fn column<'a>(rows: impl Iterator<Item = &'a str>, style: Style) -> String {
    let mut table = framed(style);
    for row in rows {
        table.add_row([Cell::new(cells::harmless(row))]);
    }
    table.to_string()
}

fn framed(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(LINES).force_no_tty();
    if style.colour {
        table.enforce_styling();
    }
    match style.width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    table
}

fn heading(title: &str) -> Cell {
    Cell::new(title).fg(Color::Cyan).add_attribute(Attribute::Bold)
}

fn row(columns: &[Column], worker: &WorkerView) -> Row {
    let mut row = Row::new();
    for column in columns {
        let cell = Cell::new(column.text(worker));
        row.add_cell(match column {
            Column::Status => cell.fg(colour(worker.status)),
            _ => cell,
        });
    }
    row.max_height(1);
    row
}

/// The columns that fit into a terminal of this width; all of them where there is none.
fn fitting(workers: &[WorkerView], width: Option<u16>) -> Vec<Column> {
    let mut columns = ORDER.to_vec();
    let Some(width) = width else { return columns };
    let needed = |column: Column| {
        let widest = workers
            .iter()
            .map(|worker| column.text(worker).chars().count())
            .chain([column.title().chars().count()])
            .max()
            .unwrap_or(0);
        // One space on each side and the line before it.
        3 + if column == Column::Name { widest.min(NAME_MIN) } else { widest }
    };
    for expendable in EXPENDABLE {
        // One more for the line after the last.
        if columns.iter().map(|column| needed(*column)).sum::<usize>() < usize::from(width) {
            break;
        }
        columns.retain(|column| *column != expendable);
    }
    columns
}

#[cfg(test)]
mod tests;
