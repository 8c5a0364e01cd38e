use supd_api::{AppName, LogText};

use super::*;

const PANE: Pane = Pane { cells: 10, rows: 3 };

fn said(text: &str) -> LogLine {
    let text = LogText::Text(text.to_owned());
    LogLine::Line { app: AppName::new("web").unwrap(), worker: Some(0), stream: Stream::Out, at: None, text }
}

fn log(lines: &[&str]) -> Log {
    let mut log = Log::default();
    lines.iter().for_each(|line| log.take(&said(line)));
    log
}

fn shown(log: &Log) -> Vec<&str> {
    log.rows(PANE).into_iter().map(|(entry, _, part)| &entry.text[part]).collect()
}

#[test]
fn the_last_rows_are_shown_as_they_come() {
    let mut log = log(&["one"]);
    assert_eq!(shown(&log), ["one"]);
    log.take(&said("0123456789abc"));
    assert_eq!(shown(&log), ["one", "0123456789", "abc"]);
    log.take(&said("two"));
    assert_eq!(shown(&log), ["0123456789", "abc", "two"]);
    assert!(shown(&Log::default()).is_empty());
}

#[test]
fn what_is_held_stays_whatever_comes() {
    let mut log = log(&["a", "b", "c", "d"]);
    log.hold(PANE);
    assert_eq!(log.held(), Some(0));
    log.take(&said("e"));
    assert_eq!((shown(&log), log.held()), (vec!["b", "c", "d"], Some(1)));
    log.hold(PANE);
    assert_eq!((shown(&log), log.held()), (vec!["c", "d", "e"], None));
}

#[test]
fn a_line_that_is_longer_than_the_pane_can_be_read_whole() {
    let long: String = (b'a'..=b'h').flat_map(|letter| [char::from(letter); 10]).collect();
    let mut log = log(&["first", &long]);
    log.page_up(PANE);
    assert_eq!(shown(&log)[2], "f".repeat(10));
    log.page_up(PANE);
    log.page_up(PANE);
    assert_eq!(shown(&log), ["first".to_owned(), "a".repeat(10), "b".repeat(10)]);
    log.page_up(PANE);
    assert_eq!(shown(&log)[0], "first");
    log.page_down(PANE);
    assert_eq!(shown(&log)[0], "b".repeat(10));
    log.page_down(PANE);
    log.page_down(PANE);
    assert_eq!((shown(&log)[2].to_owned(), log.held()), ("h".repeat(10), None), "at the end it follows");
    log.rewind(PANE);
    assert_eq!(shown(&log)[0], "first");
}

#[test]
fn a_search_goes_from_the_newest_back_and_round() {
    let mut log = log(&["Error 1", "x", "error 2", "y", "z", "error 3", "end"]);
    assert!(log.look_for("error", PANE));
    assert_eq!((shown(&log), log.hit()), (vec!["z", "error 3", "end"], Some((1, 3))));
    assert!(log.older(PANE));
    assert_eq!((shown(&log), log.hit()), (vec!["x", "error 2", "y"], Some((2, 3))));
    assert!(log.older(PANE));
    assert_eq!((shown(&log), log.hit()), (vec!["Error 1", "x", "error 2"], Some((3, 3))));
    assert!(log.older(PANE) && log.hit() == Some((1, 3)), "it goes round");
    assert!(log.newer(PANE) && log.hit() == Some((3, 3)), "both ways");
    assert!(log.newer(PANE) && log.hit() == Some((2, 3)));
    assert!(log.look_for("Error", PANE) && log.hit() == Some((1, 1)), "a capital is meant");
    assert!(!log.look_for("Err.r", PANE), "a dot is a dot");
    assert!(log.look_for("", PANE) && log.search().is_none());
}

#[test]
fn old_lines_are_dropped_also_while_they_are_shown() {
    let mut log = log(&["first", "second", "third"]);
    log.hold(PANE);
    for number in 0..KEPT {
        log.take(&said(&format!("n{number}")));
    }
    assert_eq!(log.entries.len(), KEPT);
    assert_eq!(shown(&log), ["n0"], "what was held is gone");
    log.page_up(PANE);
    assert_eq!(shown(&log), ["n0", "n1", "n2"]);
}

#[test]
fn nothing_in_a_line_moves_the_cursor() {
    let log = log(&["\x1b[31mred\x1b[0m\tx\x07"]);
    assert_eq!(log.entries[0].text, "red     x\\u{7}");
}
