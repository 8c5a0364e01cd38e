//! How does `pm2 list` look? Its columns, widths and words, which scripts cut and search.

use supd_api::{ExecMode, Status, WorkerView};

use crate::ctl::cells;
use crate::ctl::output::Style;

/// What is assumed where there is no terminal.
const ENDLESS: usize = 300;
/// Narrower than the table is wide, it loses columns; narrower than this, more of them.
const NARROW: usize = 67;

/// In which way a cell stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dress {
    Plain,
    Bold,
    Grey,
    Title,
    Fork,
    Cluster,
    Watched,
    State(Status),
}

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
    Watching,
}

use Column::{Cpu, Id, Memory, Mode, Name, Namespace, Pid, Restarts, Uptime, User, Version, Watching};

/// The title and the width of each column, two spaces included.
type Layout = Vec<(Column, &'static str, usize)>;

/// The table.
pub(super) fn table(workers: &[&WorkerView], style: Style) -> String {
    let layout = layout(workers, style.width.map_or(ENDLESS, usize::from));
    let colour = style.colour;
    let rule = |left: &str, cross: &str, right: &str| {
        let lines: Vec<String> = layout.iter().map(|(_, _, width)| "─".repeat(*width)).collect();
        dressed(Dress::Grey, &format!("{left}{}{right}", lines.join(cross)), colour)
    };
    let bar = dressed(Dress::Grey, "│", colour);
    let row = |cells: Vec<String>| format!("{bar}{}{bar}", cells.join(&bar));
    let mut lines = vec![rule("┌", "┬", "┐")];
    lines.push(row(layout
        .iter()
        .map(|(_, title, width)| cell(title, *width, Dress::Title, colour))
        .collect()));
    if !workers.is_empty() {
        lines.push(rule("├", "┼", "┤"));
    }
    for worker in workers {
        let cells = layout.iter().map(|(column, _, width)| {
            let (text, dress) = content(*column, worker);
            cell(&text, *width, dress, colour)
        });
        lines.push(row(cells.collect()));
    }
    lines.push(rule("└", "┴", "┘"));
    lines.join("\n")
}

fn layout(workers: &[&WorkerView], available: usize) -> Layout {
    let widest = |text: fn(&WorkerView) -> String, least: usize| {
        workers.iter().map(|worker| text(worker).chars().count()).max().unwrap_or(least)
    };
    let id = (widest(|worker| worker.id.to_string(), 1) + 2).max(4);
    let name = widest(|worker| worker.app.to_string(), 6) + 5;
    let full = vec![
        (Id, "id", id),
        (Name, "name", name.min(40)),
        (Namespace, "namespace", 13),
        (Version, "version", 9),
        (Mode, "mode", 9),
        (Pid, "pid", 10),
        (Uptime, "uptime", 8),
        (Restarts, "↺", 6),
        (Column::Status, "status", 11),
        (Cpu, "cpu", 10),
        (Memory, "mem", 10),
        (User, "user", 10),
        (Watching, "watching", 10),
    ];
    let width: usize = full.iter().map(|(_, _, width)| width + 1).sum();
    match available {
        enough if enough > width => full,
        some if some >= NARROW => vec![
            (Id, "id", id),
            (Name, "name", name.min(20)),
            (Mode, "mode", 10),
            (Restarts, "↺", 6),
            (Column::Status, "status", 11),
            (Cpu, "cpu", 10),
            (Memory, "memory", 10),
        ],
        _ => vec![
            (Id, "id", id),
            (Name, "name", name.min(16)),
            (Column::Status, "status", 11),
            (Cpu, "cpu", 8),
            (Memory, "mem", 10),
        ],
    }
}

fn content(column: Column, worker: &WorkerView) -> (String, Dress) {
    match column {
        Id => (worker.id.to_string(), Dress::Title),
        Name => (cells::harmless(worker.app.as_str()), Dress::Plain),
        Namespace => (cells::harmless(&worker.namespace), Dress::Plain),
        Version => {
            (worker.version.as_deref().map_or_else(|| "N/A".to_owned(), cells::harmless), Dress::Plain)
        }
        Mode => match worker.exec_mode {
            ExecMode::Fork => ("fork".to_owned(), Dress::Fork),
            ExecMode::Cluster => ("cluster".to_owned(), Dress::Cluster),
        },
        Pid => (worker.pid.unwrap_or(0).to_string(), Dress::Plain),
        Uptime => (cells::uptime(worker.uptime), Dress::Plain),
        Restarts => (worker.restarts.to_string(), Dress::Plain),
        Column::Status => (worker.status.as_pm2().as_str().to_owned(), Dress::State(worker.status)),
        Cpu => (cells::cpu(worker.cpu), Dress::Plain),
        Memory => (cells::memory(worker.memory), Dress::Plain),
        User => (cells::harmless(&worker.user), Dress::Bold),
        Watching if worker.watching == supd_api::Watching::On => ("enabled".to_owned(), Dress::Watched),
        Watching => ("disabled".to_owned(), Dress::Grey),
    }
}

/// A space, the text cut to what fits, and spaces.
fn cell(text: &str, width: usize, dress: Dress, colour: bool) -> String {
    let room = width - 2;
    let length = text.chars().count();
    let shown = match length > room {
        true => text.chars().take(room - 1).chain(['…']).collect(),
        false => text.to_owned(),
    };
    let spaces = " ".repeat(width - 1 - length.min(room));
    format!(" {}{spaces}", dressed(dress, &shown, colour))
}

fn dressed(dress: Dress, text: &str, colour: bool) -> String {
    let codes = match dress {
        Dress::Plain => return text.to_owned(),
        Dress::Bold => "1",
        Dress::Grey => "90",
        Dress::Title => "1;36",
        Dress::Fork => "1;7",
        Dress::Cluster => "1;34",
        Dress::Watched | Dress::State(Status::Online) => "1;32",
        Dress::State(Status::Launching) => "1;34",
        Dress::State(
            Status::Stopping
            | Status::Stopped
            | Status::Errored
            | Status::Waiting
            | Status::Scheduled
            | Status::Idle,
        ) => "1;31",
    };
    if colour { format!("\x1b[{codes}m{text}\x1b[0m") } else { text.to_owned() }
}

/// `list -m`: a paragraph for each worker.
pub(super) fn paragraphs(workers: &[&WorkerView]) -> String {
    let paragraph = |worker: &&WorkerView| {
        let text = |column| content(column, worker).0;
        let error = cells::path(worker.error_file.as_deref());
        let watching = if worker.watching == supd_api::Watching::On { "yes" } else { "no" };
        format!(
            "+--- {}\nnamespace : {}\nversion : {}\npid : {}\npm2 id : {}\nstatus : {}\nmode : {}\nrestarted : {}\n\
            uptime : {}\nmemory usage : {} \nerror log : {error}\nwatching : {watching}\nPID file : {}\n",
            text(Name),
            text(Namespace),
            text(Version),
            text(Pid),
            text(Id),
            text(Column::Status),
            text(Mode),
            text(Restarts),
            text(Uptime),
            text(Memory),
            worker.pid_file.display(),
        )
    };
    workers.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

/// In the order of `--sort FIELD[:asc|desc]`.
///
/// # Errors
/// The fields there are, when this is none of them.
pub(super) fn sort(workers: &mut [WorkerView], by: &str) -> Result<(), &'static str> {
    let (field, order) = by.split_once(':').unwrap_or((by, "asc"));
    match field {
        "name" => workers.sort_by(|a, b| a.app.cmp(&b.app)),
        "namespace" => workers.sort_by(|a, b| a.namespace.cmp(&b.namespace)),
        "id" => workers.sort_by_key(|worker| worker.id),
        "pid" => workers.sort_by_key(|worker| worker.pid),
        "cpu" => workers.sort_by(|a, b| a.cpu.total_cmp(&b.cpu)),
        "memory" | "mem" => workers.sort_by_key(|worker| worker.memory),
        "uptime" => workers.sort_by_key(|worker| worker.uptime),
        "status" => workers.sort_by_key(|worker| worker.status.as_pm2().as_str()),
        _ => return Err("name, namespace, pid, id, cpu, memory, uptime or status, with :asc or :desc"),
    }
    match order {
        "asc" => Ok(()),
        "desc" => {
            workers.reverse();
            Ok(())
        }
        _ => Err("name, namespace, pid, id, cpu, memory, uptime or status, with :asc or :desc"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::fake::{in_state, worker};

    fn some() -> Vec<WorkerView> {
        let waiting = in_state(worker(12, "a-rather-long-name-of-an-app-which-goes-on"), Status::Waiting, "");
        vec![worker(0, "eko"), waiting]
    }

    fn shown(workers: &[WorkerView], width: Option<u16>) -> String {
        table(&workers.iter().collect::<Vec<_>>(), Style { width, ..Style::default() })
    }

    #[test]
    fn the_table_is_pm2s() {
        insta::assert_snapshot!("pm2_list", shown(&some(), None));
        insta::assert_snapshot!("pm2_list_of_one", shown(&some()[..1], None));
        insta::assert_snapshot!("pm2_list_of_none", shown(&[], None));
        insta::assert_snapshot!("pm2_list_condensed", shown(&some(), Some(100)));
        insta::assert_snapshot!("pm2_list_narrow", shown(&some(), Some(60)));
        let workers = some();
        insta::assert_snapshot!("pm2_list_mini", paragraphs(&workers.iter().collect::<Vec<_>>()));
    }

    #[test]
    fn colours_change_no_width() {
        let style = Style { colour: true, ..Style::default() };
        let workers = some();
        let coloured = table(&workers.iter().collect::<Vec<_>>(), style);
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').expect("a code").1;
        }
        plain.push_str(rest);
        assert!(coloured.contains("\x1b[1;32monline\x1b[0m"));
        assert_eq!(plain, shown(&workers, None));
    }

    #[test]
    fn orders() {
        let ids = |by: &str| {
            let mut workers = vec![worker(1, "b"), worker(0, "a"), worker(2, "c")];
            sort(&mut workers, by).map(|()| workers.iter().map(|worker| worker.id).collect::<Vec<_>>())
        };
        assert_eq!(ids("name"), Ok(vec![0, 1, 2]));
        assert_eq!(ids("id:desc"), Ok(vec![2, 1, 0]));
        assert!(ids("colour").is_err() && ids("id:up").is_err());
    }
}
