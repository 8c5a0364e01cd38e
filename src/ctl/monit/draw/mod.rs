//! How does the dashboard look? From the state to cells, the same each time. In 16 colours at most, and without any it tells as much.

mod foot;
mod list;
mod panes;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use supd_api::Status;

use super::state::{Link, State};
use super::text::{fit, width};
use crate::ctl::cells::{self, harmless};

/// An answer that takes so many milliseconds is late.
const LATE: u64 = 2000;

/// Which colours there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// Any at all.
    pub(super) colour: bool,
}

impl Palette {
    fn ink(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn good(self) -> Style {
        self.ink(Color::Green)
    }

    fn bad(self) -> Style {
        self.ink(Color::Red)
    }

    fn warning(self) -> Style {
        self.ink(Color::Yellow)
    }

    /// Titles and lines.
    fn frame(self) -> Style {
        self.ink(Color::Cyan)
    }

    /// What matters less.
    fn faint(self) -> Style {
        self.ink(Color::DarkGray)
    }

    fn status(self, status: Status) -> Style {
        match status {
            Status::Online => self.good(),
            Status::Launching => self.ink(Color::Blue),
            Status::Scheduled | Status::Idle => self.faint(),
            Status::Stopping | Status::Waiting => self.warning(),
            Status::Stopped | Status::Errored => self.bad(),
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The whole screen.
pub(super) fn draw(state: &State, palette: Palette) -> Buffer {
    let (width, height) = state.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    let Some(areas) = state.areas() else {
        let text = format!("{width}x{height} is too small; q quits");
        buffer.set_stringn(0, 0, text, width.into(), Style::new());
        return buffer;
    };
    header(state, palette, areas.header, &mut buffer);
    if state.help {
        let all = Rect { height: areas.foot.y - 1, y: 1, ..areas.header };
        foot::help(palette, all, &mut buffer);
    } else {
        list::draw(state, palette, &areas, &mut buffer);
        panes::draw(state, palette, &areas, &mut buffer);
    }
    foot::draw(state, palette, areas.foot, &mut buffer);
    buffer
}

/// `supd 0.1.0  3 apps, 12 workers: 11 online, 1 errored            up 3h`
fn header(state: &State, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let (right, style) = link(state, palette);
    let room = usize::from(area.width).saturating_sub(2);
    let right = fit(&right, room.saturating_sub(width("supd") + 2));
    let kept = room.saturating_sub(width(&right) + 1);
    let whole = summary(state, palette, true);
    let left = if whole.width() > kept { summary(state, palette, false) } else { whole };
    buffer.set_line(area.x, area.y, &cut(left, kept), area.width);
    let x = area.right() - 1 - width(&right) as u16;
    buffer.set_stringn(x, area.y, &right, right.len(), style);
}

/// What there is. `whole`: with what can be left out.
fn summary(state: &State, palette: Palette, whole: bool) -> Line<'static> {
    let mut spans = vec![Span::styled(" supd", BOLD)];
    let Some(daemon) = &state.daemon else { return Line::from(spans) };
    if whole {
        let apps = state.workers.chunk_by(|a, b| a.app == b.app).count();
        let plural = |count: usize, noun| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let all = format!("  {}, {}", plural(apps, "app"), plural(state.workers.len(), "worker"));
        spans.extend([Span::styled(format!(" {}", daemon.version), BOLD), Span::raw(all)]);
    }
    let mut between = if whole { ": " } else { "  " };
    let order = [
        Status::Errored,
        Status::Waiting,
        Status::Stopped,
        Status::Stopping,
        Status::Launching,
        Status::Online,
        Status::Scheduled,
        Status::Idle,
    ];
    for status in order {
        let count = state.workers.iter().filter(|worker| worker.status == status).count();
        if count > 0 {
            spans.push(Span::raw(between));
            between = ", ";
            spans.push(Span::styled(format!("{count} {}", word(status)), palette.status(status)));
        }
    }
    Line::from(spans)
}

/// How the daemon is reached.
fn link(state: &State, palette: Palette) -> (String, Style) {
    let seconds = |since: u64| cells::span(supd_api::Millis(state.now.saturating_sub(since)));
    match (&state.link, state.looking, &state.daemon) {
        (Link::Lost(since, why), ..) => {
            (format!("{} ({}); trying again", harmless(why), seconds(*since)), palette.bad().patch(REVERSED))
        }
        (Link::Up, Some(since), _) if state.now.saturating_sub(since) >= LATE => (
            format!("no answer for {}: busy, or being upgraded", seconds(since)),
            palette.warning().patch(REVERSED),
        ),
        (Link::Up, _, Some(daemon)) => (format!("up {}", cells::span(daemon.uptime)), palette.faint()),
        (Link::Up, _, None) => ("asking the daemon".to_owned(), palette.faint()),
    }
}

/// PM2's word, without what the time left says anyway.
fn word(status: Status) -> &'static str {
    match status {
        Status::Waiting => "waiting",
        other => other.as_str(),
    }
}

/// A line of at most so many cells.
fn cut(line: Line<'_>, cells: usize) -> Line<'static> {
    let mut left = cells;
    let mut spans = Vec::new();
    for span in line.spans {
        let text = fit(&span.content, left);
        let whole = text.len() == span.content.len();
        left -= width(&text);
        spans.push(Span::styled(text, span.style));
        if !whole {
            break;
        }
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests;
