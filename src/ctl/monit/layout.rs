//! Where on the screen is what? From above: one row about the daemon, the list, a rule with its title, the log or the details, the keys.

use ratatui::layout::Rect;

use super::log::Pane;

/// A smaller terminal shows nothing of use.
const LEAST: (u16, u16) = (30, 8);
/// From this width on the details have a place beside the log.
const WIDE: u16 = 110;
/// They take so much of it, the line before them included.
const DETAILS: u16 = 50;
/// The list has at least so many rows, if it needs them.
const LIST_LEAST: u16 = 4;
/// A mark and a space before each line of the log; a worker's number before that.
const MARGIN: u16 = 2;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) header: Rect,
    /// Its titles.
    pub(super) heads: Rect,
    pub(super) list: Rect,
    pub(super) rule: Rect,
    /// `None`: the details are in its place.
    pub(super) log: Option<Rect>,
    pub(super) details: Option<Rect>,
    pub(super) foot: Rect,
}

/// The parts of a screen of this size for a list of so many rows. `swapped`: where there is room for one only, it shall be the details.
/// `None`: it is too small.
pub(super) fn areas((width, height): (u16, u16), rows: usize, swapped: bool) -> Option<Areas> {
    if width < LEAST.0 || height < LEAST.1 {
        return None;
    }
    let row = |y, height| Rect { x: 0, y, width, height };
    // Header, heads, rule and foot.
    let rest = height - 4;
    let half = (rest / 2).max(LIST_LEAST).min(rest - 1);
    let list = u16::try_from(rows.max(1)).unwrap_or(u16::MAX).min(half);
    let below = row(3 + list, rest - list);
    let wide = is_wide(width);
    let beside = Rect { x: width.saturating_sub(DETAILS) + 2, width: DETAILS - 2, ..below };
    // Aligned with the list.
    let instead = Rect { x: 1, width: width - 1, ..below };
    let (log, details) = match (wide, swapped) {
        (true, _) => (Some(Rect { width: width - DETAILS, ..below }), Some(beside)),
        (false, true) => (None, Some(instead)),
        (false, false) => (Some(below), None),
    };
    let (header, heads, foot) = (row(0, 1), row(1, 1), row(height - 1, 1));
    Some(Areas { header, heads, list: row(2, list), rule: row(2 + list, 1), log, details, foot })
}

/// Whether log and details stand side by side.
pub(super) fn is_wide(width: u16) -> bool {
    width >= WIDE
}

/// What of it the text of the log has, when lines begin with numbers of so many cells.
pub(super) fn log_pane(area: Rect, numbers: usize) -> Pane {
    let margin = usize::from(MARGIN) + numbers;
    Pane { cells: usize::from(area.width).saturating_sub(margin).max(1), rows: area.height.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_used_once() {
        for size in [(30, 8), (40, 12), (80, 24), (120, 40), (200, 60)] {
            for rows in [0, 1, 3, 100] {
                let areas = areas(size, rows, false).expect("areas");
                let log = areas.log.expect("a log");
                let parts = [areas.header, areas.heads, areas.list, areas.rule, log, areas.foot];
                let mut y = 0;
                for part in parts {
                    assert_eq!(part.y, y, "{size:?} {rows}");
                    assert!(part.height > 0, "{size:?} {rows}");
                    y = part.bottom();
                }
                assert_eq!(y, size.1);
            }
        }
        assert_eq!(areas((29, 24), 1, false), None);
        assert_eq!(areas((80, 7), 1, false), None);
    }
}
