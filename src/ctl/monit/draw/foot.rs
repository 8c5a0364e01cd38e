//! What does the last row say? What is asked, else what was told, else what goes on, else which keys there are. And the help.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use supd_api::{Status, WorkerView};

use super::{BOLD, Palette, REVERSED, cut};
use crate::ctl::monit::keys::{Command, KEYS};
use crate::ctl::monit::layout::is_wide;
use crate::ctl::monit::state::{Asking, Purpose, State};
use crate::ctl::monit::text::{fit, width};

/// Between two hints.
const GAP: usize = 2;
/// The column of keys in the help.
const KEY: usize = 6;

pub(super) fn draw(state: &State, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width).saturating_sub(2);
    let (line, style) = match (&state.asking, &state.news, state.acting.last()) {
        (Some(Asking::Whether(_, question)), ..) => {
            let keys = "  y yes  n no";
            let question = fit(question, room.saturating_sub(width(keys)));
            let line = Line::from(vec![Span::styled(question, BOLD), Span::raw(keys)]);
            (line, palette.warning().patch(REVERSED))
        }
        (Some(Asking::Line(purpose, text)), ..) => (typed(purpose, text, room), Style::new()),
        (None, Some(news), _) => {
            let style = if news.bad { palette.bad() } else { palette.good() };
            let mark = if news.bad { "error: " } else { "" };
            (Line::from(Span::styled(format!("{mark}{}", news.text), style.patch(BOLD))), Style::new())
        }
        (None, None, Some(action)) => (Line::from(Span::styled(action.going(), BOLD)), Style::new()),
        (None, None, None) => (hints(state, palette, room), Style::new()),
    };
    buffer.set_style(area, style);
    buffer.set_line(area.x + 1, area.y, &cut(line, room), area.width);
}

/// The end of a line that is too long is what is being typed.
fn typed(purpose: &Purpose, text: &str, room: usize) -> Line<'static> {
    let title = match purpose {
        Purpose::Filter => "filter: ".to_owned(),
        Purpose::Search => "search: ".to_owned(),
        Purpose::Scale(app, crew) => format!("scale {} from {crew} to: ", fit(app.as_str(), room / 3)),
    };
    let mut text = text;
    while width(&title) + width(text) + 1 > room {
        let mut letters = text.chars();
        letters.next();
        text = letters.as_str();
    }
    Line::from(vec![Span::styled(title, BOLD), Span::raw(text.to_owned()), Span::styled(" ", REVERSED)])
}

fn hints(state: &State, palette: Palette, room: usize) -> Line<'static> {
    let (mut spans, mut left) = (Vec::new(), room + GAP);
    for key in KEYS.iter().filter(|key| !key.hint.is_empty()) {
        if !is_of_use(key.command, state) {
            continue;
        }
        let hint = match key.command {
            Command::Swap if state.swapped => "log",
            Command::Hold if state.log.held().is_some() => "follow",
            _ => key.hint,
        };
        let taken = GAP + width(key.shown) + 1 + width(hint);
        if taken > left {
            break;
        }
        left -= taken;
        spans.push(Span::styled(key.shown, palette.frame().patch(BOLD)));
        spans.push(Span::raw(format!(" {hint}{:GAP$}", "")));
    }
    Line::from(spans)
}

/// Whether a key would do something now.
fn is_of_use(command: Command, state: &State) -> bool {
    let row = state.row();
    let any = |is: fn(&WorkerView) -> bool| row.is_some_and(|row| row.workers().iter().any(is));
    match command {
        Command::Swap => !is_wide(state.size.0),
        Command::Start => any(|worker| matches!(worker.status, Status::Stopped | Status::Errored)),
        Command::Stop => any(|worker| !matches!(worker.status, Status::Stopped | Status::Errored)),
        Command::Restart | Command::Reload | Command::Scale | Command::Delete => row.is_some(),
        _ => true,
    }
}

/// All keys, in as many columns as they need.
pub(super) fn help(palette: Palette, area: Rect, buffer: &mut Buffer) {
    let rows = usize::from(area.height).saturating_sub(1).max(1);
    let columns = KEYS.len().div_ceil(rows);
    let room = usize::from(area.width) / columns;
    for (at, key) in KEYS.iter().enumerate() {
        let (column, row) = (at / rows, at % rows);
        let (x, y) = (area.x + (column * room) as u16 + 1, area.y + 1 + row as u16);
        buffer.set_stringn(x, y, format!("{:>KEY$}", key.shown), KEY, palette.frame().patch(BOLD));
        let cells = room.saturating_sub(KEY + 3);
        buffer.set_stringn(x + KEY as u16 + 1, y, fit(key.help, cells), cells, Style::new());
    }
}
