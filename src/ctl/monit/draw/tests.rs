use supd_api::{Fault, FaultCode, Stream, WorkerView};

use super::*;
use crate::ctl::fake::worker;
use crate::ctl::monit::fixture::{NOW, crowd, look, press, say, state};
use crate::ctl::monit::state::Message;

/// Row by row, without the spaces at the ends. `>`: the row is reversed.
fn shown(state: &State) -> String {
    let buffer = draw(state, Palette { colour: false });
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut x = 0;
        let mut row = String::new();
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            row.push_str(symbol);
            // The second cell of a wide letter is not drawn.
            x += (width(symbol) as u16).max(1);
        }
        if buffer.area.width > 0
            && buffer[(0, y)].modifier.contains(Modifier::REVERSED)
            && y < buffer.area.height - 1
        {
            row.replace_range(..1, ">");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// With a log, and some loads.
fn dashboard(size: (u16, u16)) -> State {
    let mut state = state(size, crowd());
    for second in 1..40 {
        let busy = |worker: WorkerView| {
            let up = worker.pid.is_some();
            let cpu = if up { (f64::from(worker.id) * 7.0 + second as f64 * 3.0) % 90.0 } else { 0.0 };
            WorkerView { cpu, memory: worker.memory + (second << 20) * u64::from(up), ..worker }
        };
        state.update(NOW + second * 1000, look(crowd().into_iter().map(busy).collect()));
    }
    press(&mut state, "jjj");
    for number in 0..30 {
        say(&mut state, 4, Stream::Out, &format!("GET /orders/{number} 200 in {} ms", number * 7 % 50));
    }
    say(
        &mut state,
        4,
        Stream::Err,
        "TypeError: Cannot read properties of undefined (reading 'id') at Order.total (/srv/web/order.js:17:23) and on",
    );
    say(&mut state, 4, Stream::Out, "日本語のログ\tafter a tab");
    state
}

#[test]
fn on_80_columns() {
    insta::assert_snapshot!("80x24", shown(&dashboard((80, 24))));
}

#[test]
fn on_a_wide_terminal_the_details_are_beside_the_log() {
    insta::assert_snapshot!("120x40", shown(&dashboard((120, 40))));
}

#[test]
fn on_a_tiny_one() {
    insta::assert_snapshot!("40x12", shown(&dashboard((40, 12))));
    assert_eq!(shown(&dashboard((29, 5))).lines().next(), Some("29x5 is too small; q quits"));
}

#[test]
fn details_of_an_app_and_of_a_worker() {
    let mut state = dashboard((80, 24));
    press(&mut state, "d");
    insta::assert_snapshot!("details-app", shown(&state));
    press(&mut state, "jjjj");
    insta::assert_snapshot!("details-worker", shown(&state));
    press(&mut state, "gjj");
    let text = shown(&state);
    assert!(text.contains("waiting restart: exited with code 1 (8s left)"), "{text}");
    assert!(text.contains("exited with code 1 after 80 ms, 42s ago"), "{text}");
}

#[test]
fn a_hundred_workers() {
    let workers: Vec<WorkerView> = (0..100).map(|id| worker(id, "web")).collect();
    let mut state = state((80, 24), workers);
    press(&mut state, "Gkkk");
    insta::assert_snapshot!("hundred", shown(&state));
    press(&mut state, "z");
    assert!(shown(&state).contains("▸ web ×100"), "{}", shown(&state));
}

#[test]
fn the_help_fits() {
    for size in [(80, 24), (120, 40)] {
        let mut state = dashboard(size);
        press(&mut state, "?");
        insta::assert_snapshot!(format!("help-{}x{}", size.0, size.1), shown(&state));
    }
}

fn foot(state: &State) -> String {
    shown(state).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_foot() {
    let mut state = dashboard((80, 24));
    assert_eq!(foot(&state), " ? help  q quit  r restart  l reload  x stop  d details  / search  f filter");
    press(&mut state, "r");
    assert_eq!(foot(&state), " restart web and its 4 workers?  y yes  n no");
    press(&mut state, "n");
    assert_eq!(foot(&state), " not done: restart web and its 4 workers");
    press(&mut state, "ry");
    assert_eq!(foot(&state), " restarting web …");
    press(&mut state, "c+1");
    assert_eq!(foot(&state), " scale web from 4 to: +1");
    press(&mut state, "<Esc>/nowhere<Enter>");
    assert_eq!(foot(&state), " error: `nowhere` is not in the log");
    let mut state = dashboard((40, 12));
    press(&mut state, "gjD");
    assert_eq!(foot(&state), " stop and forget a-name-t…  y yes  n no");
    press(&mut state, "nj/");
    press(&mut state, &"long ".repeat(20));
    assert_eq!(foot(&state).trim_end(), " search: ong long long long long long");
    press(&mut state, "<Esc>gj");
    assert_eq!(foot(&state), " ? help  q quit  r restart  l reload");
}

#[test]
fn the_header() {
    let mut state = dashboard((80, 24));
    let head = |state: &State| shown(state).lines().next().unwrap_or_default().to_owned();
    assert_eq!(
        head(&state),
        " supd 0.1.0  5 apps, 8 workers: 1 waiting, 1 stopped, 6 online            up 3h"
    );
    let gone = Fault::new(FaultCode::Unreachable, "no daemon runs in /home/u/.supd");
    state.update(NOW + 50_000, Message::Looked(Err(gone)));
    state.update(NOW + 62_000, Message::Tick);
    assert_eq!(
        head(&state),
        " supd  1 waiting, 1 stopp…  no daemon runs in /home/u/.supd (12s); trying again"
    );
    state.update(NOW + 63_000, look(crowd()));
    state.update(NOW + 64_000, Message::Tick);
    state.update(NOW + 67_000, Message::Tick);
    assert!(head(&state).ends_with("no answer for 3s: busy, or being upgraded"), "{}", head(&state));
}

#[test]
fn without_colours_there_are_none_and_with_them_sixteen() {
    let mut state = dashboard((80, 24));
    press(&mut state, "/orders<Enter>");
    for colour in [false, true] {
        let buffer = draw(&state, Palette { colour });
        for cell in &buffer.content {
            for ink in [cell.fg, cell.bg] {
                assert!(!matches!(ink, Color::Rgb(..) | Color::Indexed(_)), "{cell:?}");
                assert!(colour || ink == Color::Reset, "{cell:?}");
            }
        }
    }
}

#[test]
fn nothing_is_drawn_where_nothing_changes() {
    let mut state = dashboard((80, 24));
    let before = draw(&state, Palette { colour: true });
    state.update(state.now, Message::Tick);
    assert!(before.diff(&draw(&state, Palette { colour: true })).is_empty());
}
