//! How do the log and the details look?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{BOLD, Palette, REVERSED, cut};
use crate::ctl::monit::details::{self, NAMES};
use crate::ctl::monit::layout::Areas;
use crate::ctl::monit::log::{Entry, Kind};
use crate::ctl::monit::state::State;
use crate::ctl::monit::text::width;

pub(super) fn draw(state: &State, palette: Palette, areas: &Areas, buffer: &mut Buffer) {
    rule(areas.rule, palette, buffer);
    if let Some(area) = areas.log {
        let title = Rect { width: area.width, ..areas.rule };
        label(log_title(state, palette), title, buffer);
        log(state, palette, area, buffer);
    }
    if let Some(area) = areas.details {
        let title = Rect { x: area.x - 1, width: area.width, ..areas.rule };
        label(Line::from(Span::styled("details", BOLD)), title, buffer);
        if areas.log.is_some() {
            let x = area.x - 2;
            buffer.set_string(x, areas.rule.y, "┬", palette.faint());
            for y in area.top()..area.bottom() {
                buffer.set_string(x, y, "│", palette.faint());
            }
        }
        about(state, palette, area, buffer);
    }
}

fn rule(area: Rect, palette: Palette, buffer: &mut Buffer) {
    buffer.set_string(area.x, area.y, "─".repeat(area.width.into()), palette.faint());
}

/// A title on the rule.
fn label(line: Line<'_>, area: Rect, buffer: &mut Buffer) {
    let line = cut(line, usize::from(area.width).saturating_sub(4));
    let spans = [Span::raw(" ")].into_iter().chain(line.spans).chain([Span::raw(" ")]);
    buffer.set_line(area.x + 1, area.y, &Line::from_iter(spans), area.width - 1);
}

fn log_title(state: &State, palette: Palette) -> Line<'static> {
    let Some(target) = &state.followed else { return Line::from(Span::styled("log", BOLD)) };
    let mut spans = vec![Span::styled(format!("log of {}", target.title()), BOLD)];
    match state.log.held() {
        Some(0) => spans.push(Span::styled("  paused", palette.warning())),
        Some(unseen) => spans.push(Span::styled(format!("  paused, {unseen} more"), palette.warning())),
        None => {}
    }
    if let Some((at, of)) = state.log.hit() {
        spans.push(Span::styled(format!("  `{}` {at} of {of}", state.search), palette.frame()));
    }
    Line::from(spans)
}

fn log(state: &State, palette: Palette, area: Rect, buffer: &mut Buffer) {
    if state.log.is_empty() {
        let text = if state.followed.is_some() { "nothing was written yet" } else { "" };
        buffer.set_stringn(area.x + 1, area.y, text, usize::from(area.width) - 1, palette.faint());
        return;
    }
    let numbers = state.numbers();
    for ((entry, found, part), y) in state.log.rows(state.pane()).into_iter().zip(area.top()..) {
        let mut line = Line::from(margin(entry, part.start == 0, numbers, palette));
        let text = &entry.text[part.clone()];
        let plain = if entry.kind == Kind::Note { palette.faint() } else { Style::new() };
        let mut at = 0;
        let hits = state.log.search().into_iter().flat_map(|search| search.find_iter(&entry.text));
        for hit in hits {
            let begin = hit.start().clamp(part.start, part.end) - part.start;
            let end = hit.end().clamp(part.start, part.end) - part.start;
            if begin < end {
                let marked = if found { REVERSED.patch(BOLD) } else { REVERSED };
                line.spans.push(Span::styled(text[at..begin].to_owned(), plain));
                line.spans.push(Span::styled(text[begin..end].to_owned(), marked));
                at = end;
            }
        }
        line.spans.push(Span::styled(text[at..].to_owned(), plain));
        buffer.set_line(area.x, y, &line, area.width);
    }
}

/// Who wrote it, and `!` for standard error, so that it can be told without colours.
fn margin(entry: &Entry, begins: bool, numbers: usize, palette: Palette) -> Vec<Span<'static>> {
    let (worker, bar, style) = match entry.kind {
        Kind::Out(worker) => (worker, "│", palette.good()),
        Kind::Err(worker) => (worker, "!", palette.bad()),
        Kind::Note => (None, "·", palette.faint()),
    };
    let number = worker.filter(|_| begins && numbers > 0).map(|id| id.to_string()).unwrap_or_default();
    let number = " ".repeat(numbers.saturating_sub(width(&number))) + &number;
    vec![Span::styled(number, palette.faint()), Span::styled(bar, style), Span::raw(" ")]
}

fn about(state: &State, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let mut rows = Vec::new();
    for line in details::lines(state) {
        let style = if line.bad { palette.warning() } else { Style::new() };
        for part in line.parts(area.width.into()) {
            let name = if part.start == 0 { line.name } else { "" };
            let name = Span::styled(format!("{name:<NAMES$}"), palette.frame());
            rows.push(Line::from(vec![name, Span::styled(line.value[part].to_owned(), style)]));
        }
    }
    for (line, y) in rows.iter().skip(state.details_top).zip(area.top()..area.bottom()) {
        buffer.set_line(area.x, y, line, area.width);
    }
    let more = rows.len().saturating_sub(state.details_top + usize::from(area.height));
    if more > 0 && area.height > 0 {
        let text = format!(" {more} more ");
        let x = area.right().saturating_sub(width(&text) as u16);
        buffer.set_string(x, area.bottom() - 1, text, REVERSED);
    }
}
