use supd_api::{FaultCode, ScaleTo, Status, Stream, UpgradeView, WorkerOutcome};

use super::*;
use crate::ctl::fake::{in_state, worker};
use crate::ctl::monit::action::Verb;
use crate::ctl::monit::fixture::{NOW, crowd, daemon, look, press, say, state};

const SIZE: (u16, u16) = (80, 24);

fn target(app: &str, worker: Option<u32>) -> Target {
    Target { app: AppName::new(app).unwrap(), worker }
}

fn web(count: u32) -> Vec<WorkerView> {
    (0..count).map(|id| worker(id, "web")).collect()
}

fn title(state: &State) -> String {
    state.selected.as_ref().map(Target::title).unwrap_or_default()
}

#[test]
fn one_question_at_a_time() {
    let mut state = State::new(NOW, SIZE);
    assert_eq!(state.update(NOW, Message::Tick), [Wish::Look(None)]);
    assert_eq!(state.update(NOW + 1000, Message::Tick), []);
    let followed = state.update(NOW + 1500, look(web(2)));
    assert_eq!(followed, [Wish::Follow(1, target("web", None))]);
    assert_eq!(state.update(NOW + 2000, Message::Tick), [Wish::Look(Some(AppName::new("web").unwrap()))]);
}

#[test]
fn keys_move_through_the_rows() {
    let mut state = state(SIZE, crowd());
    for (keys, selected) in [
        ("", "api"),
        ("k", "api"),
        ("jjj", "web"),
        ("j", "web 0"),
        ("<Down><Down>", "web 2"),
        ("<Left>", "web"),
        ("j", "データ処理ワーカー"),
        ("G", "データ処理ワーカー"),
        ("<Up>", "web"),
        ("<Right>j", "web 0"),
        ("z", "web"),
        ("zj", "web 0"),
        ("g", "api"),
    ] {
        press(&mut state, keys);
        assert_eq!(title(&state), selected, "after {keys}");
    }
}

#[test]
fn only_the_log_of_what_is_selected_is_taken() {
    let mut state = state(SIZE, web(2));
    assert_eq!(press(&mut state, "j"), [Wish::Follow(2, target("web", Some(0)))]);
    say(&mut state, 1, Stream::Out, "of the other");
    assert!(state.log.is_empty());
    say(&mut state, 2, Stream::Out, "of this one");
    assert!(!state.log.is_empty());
    assert_eq!(state.update(NOW, look(web(2))), [], "a look changes nothing about it");
    press(&mut state, "k");
    assert!(state.log.is_empty());
}

#[test]
fn what_takes_something_down_is_asked_before() {
    let app = target("web", None);
    for (key, verb) in [("x", Verb::Stop), ("r", Verb::Restart), ("l", Verb::Reload), ("D", Verb::Delete)] {
        let mut state = state(SIZE, web(2));
        for no in ["n", "<Enter>", "<Esc>", "q", "Y"] {
            assert_eq!(press(&mut state, key), [], "{key}");
            assert!(state.asking.is_some());
            assert_eq!(press(&mut state, no), [], "{key}{no}");
            assert_eq!(state.asking, None);
        }
        press(&mut state, key);
        let action = Action { verb, target: app.clone() };
        assert_eq!(press(&mut state, "y"), [Wish::Act(action)], "{key}");
    }
    let mut state = state(SIZE, web(2));
    assert_eq!(press(&mut state, "s"), [Wish::Act(Action { verb: Verb::Start, target: app })]);
}

#[test]
fn a_worker_is_meant_where_it_can_be() {
    let mut state = state(SIZE, web(2));
    press(&mut state, "jj");
    let one = Action { verb: Verb::Restart, target: target("web", Some(1)) };
    assert_eq!(press(&mut state, "ry"), [Wish::Act(one)]);
    let all = Action { verb: Verb::Reload, target: target("web", None) };
    assert_eq!(press(&mut state, "ly"), [Wish::Act(all)]);
}

#[test]
fn what_is_asked_about_stays_when_the_list_changes() {
    let mut state = state(SIZE, vec![worker(0, "a"), worker(1, "b")]);
    press(&mut state, "x");
    state.update(NOW, look(vec![worker(1, "b")]));
    assert_eq!(title(&state), "b");
    let of_a = Action { verb: Verb::Stop, target: target("a", None) };
    assert_eq!(press(&mut state, "y"), [Wish::Act(of_a)]);
}

#[test]
fn a_count_is_typed() {
    let scale = |to| Wish::Act(Action { verb: Verb::Scale(to), target: target("web", None) });
    for (typed, wishes) in [
        ("4", vec![scale(ScaleTo::Count(4))]),
        ("+2", vec![scale(ScaleTo::Up(2))]),
        ("12<Back>", vec![scale(ScaleTo::Count(1))]),
        ("-1", vec![scale(ScaleTo::Down(1))]),
        ("", vec![]),
        ("many", vec![]),
    ] {
        let mut state = state(SIZE, web(2));
        assert_eq!(press(&mut state, &format!("c{typed}<Enter>")), wishes, "{typed}");
        assert_eq!(state.news.is_some_and(|news| news.bad), typed == "many");
    }
    let mut state = state(SIZE, web(2));
    assert_eq!(press(&mut state, "c4<Esc>"), []);
}

#[test]
fn an_order_is_given_once_and_its_outcome_told() {
    let mut state = state(SIZE, web(2));
    let Some(Wish::Act(action)) = press(&mut state, "ry").pop() else { panic!("no order") };
    assert_eq!(press(&mut state, "ry"), [], "it goes on already");
    let outcome = |failure: Option<&str>| {
        let app = AppName::new("web").unwrap();
        let workers = vec![WorkerOutcome { id: 1, app, failure: failure.map(str::to_owned), exit: None }];
        Ok(Accepted { workers, ..Accepted::default() })
    };
    let looks = state.update(NOW, Message::Acted(action.clone(), outcome(None)));
    assert!(matches!(looks[..], [Wish::Look(Some(_))]), "{looks:?}");
    let news = |state: &State| state.news.as_ref().map(|news| (news.text.clone(), news.bad));
    assert_eq!(news(&state), Some(("restarted web".to_owned(), false)));
    state.update(NOW, Message::Acted(action.clone(), outcome(Some("exited with code 1\x1b[2J"))));
    assert_eq!(news(&state), Some(("restart web: 1: exited with code 1\\u{1b}[2J".to_owned(), true)));
    state.update(NOW + 60_000, Message::Tick);
    assert!(news(&state).is_some(), "bad news stay");
    press(&mut state, "j");
    assert_eq!(news(&state), None, "until a key is pressed");
    state.update(NOW, Message::Acted(action, Err(Fault::new(FaultCode::Conflict, "not now"))));
    assert_eq!(news(&state), Some(("restart web: not now".to_owned(), true)));
}

#[test]
fn good_news_go_by_themselves() {
    let mut state = state(SIZE, web(1));
    press(&mut state, "xn");
    assert!(state.news.is_some());
    state.update(NOW + NEWS - 1, Message::Tick);
    assert!(state.news.is_some());
    state.update(NOW + NEWS, Message::Tick);
    assert_eq!(state.news, None);
}

#[test]
fn a_filter_works_while_it_is_typed_and_nothing_hidden_is_touched() {
    let mut state = state(SIZE, crowd());
    press(&mut state, "fqu");
    assert_eq!((state.rows().len(), title(&state)), (1, "queue".to_owned()));
    press(&mut state, "x");
    assert_eq!((state.rows().len(), title(&state)), (0, String::new()), "x is a letter now");
    press(&mut state, "<Enter>");
    assert_eq!(press(&mut state, "xsc"), [], "nothing is selected");
    press(&mut state, "<Esc>");
    assert_eq!(state.rows().len(), 9);
    press(&mut state, "fweb<Esc>");
    assert_eq!(state.rows().len(), 9, "it was not meant");
}

#[test]
fn the_neighbour_takes_the_place_of_what_is_gone() {
    let mut state = state(SIZE, vec![worker(0, "a"), worker(1, "b"), worker(2, "c"), worker(3, "c")]);
    press(&mut state, "G");
    assert_eq!(title(&state), "c 3");
    for (left, selected) in [
        (vec![worker(0, "a"), worker(1, "b"), worker(2, "c")], "c"),
        (vec![worker(0, "a"), worker(1, "b")], "b"),
        (vec![worker(0, "a")], "a"),
        (vec![], ""),
        (vec![worker(9, "z")], "z"),
    ] {
        state.update(NOW, look(left));
        assert_eq!(title(&state), selected);
    }
}

#[test]
fn what_is_selected_is_on_the_screen() {
    let mut state = state(SIZE, web(100));
    let visible = |state: &State| {
        let height = usize::from(state.areas().expect("areas").list.height);
        let at = state.rows().iter().position(|row| Some(row.target()) == state.selected);
        at.is_some_and(|at| (state.top..state.top + height).contains(&at))
    };
    for key in ["G", "k", "k", "g", "j", "<Left>", "<Right>", "G"] {
        press(&mut state, key);
        assert!(visible(&state), "after {key}: top {} of {:?}", state.top, state.selected);
    }
    state.update(NOW, Message::Size(80, 10));
    assert!(visible(&state));
    state.update(NOW, look(web(3)));
    assert!(visible(&state) && state.top == 0);
}

#[test]
fn a_lost_daemon_is_told_and_comes_back() {
    let mut state = state(SIZE, web(2));
    let gone = || Message::Looked(Err(Fault::new(FaultCode::Unreachable, "no daemon runs in /h")));
    state.update(NOW + 1000, gone());
    state.update(NOW + 5000, gone());
    assert_eq!(state.link, Link::Lost(NOW + 1000, "no daemon runs in /h".to_owned()));
    assert_eq!(state.workers.len(), 2, "what was known last is still shown");
    assert!(matches!(state.update(NOW + 6000, Message::Tick)[..], [Wish::Look(_)]), "it is asked again");
    state.update(NOW + 6001, look(web(2)));
    assert_eq!((&state.link, state.news.is_some()), (&Link::Up, false));
}

#[test]
fn a_change_of_the_daemon_is_told() {
    let upgrade = |failure: Option<&str>| UpgradeView {
        attempt: 1,
        from: "0.1.0".to_owned(),
        to: "0.2.0".to_owned(),
        failure: failure.map(str::to_owned),
    };
    for (after, told) in [
        (daemon(), None),
        (
            DaemonView { supervisor_pid: 200, ..daemon() },
            Some("another supervisor has taken over; nothing was lost"),
        ),
        (DaemonView { keeper_pid: 200, ..daemon() }, Some("the daemon was started again")),
        (
            DaemonView { supervisor_pid: 200, last_upgrade: Some(upgrade(None)), ..daemon() },
            Some("the daemon was upgraded from 0.1.0 to 0.2.0"),
        ),
        (
            DaemonView { last_upgrade: Some(upgrade(Some("no room"))), ..daemon() },
            Some("the daemon was not upgraded: no room"),
        ),
    ] {
        let mut state = state(SIZE, web(1));
        let look = Look { daemon: after, workers: web(1), app: None };
        state.update(NOW, Message::Looked(Ok(Box::new(look))));
        assert_eq!(state.news.map(|news| news.text).as_deref(), told);
    }
}

#[test]
fn the_ways_out() {
    let quit = |keys| press(&mut state(SIZE, web(1)), keys).contains(&Wish::Quit);
    assert!(quit("q") && quit("?qq") && quit("fx<Esc>q") && quit("xnq"));
    assert!(!quit("?q") && !quit("fq") && !quit("xq"));
    let interrupt =
        KeyEvent::new(crossterm::event::KeyCode::Char('c'), crossterm::event::KeyModifiers::CONTROL);
    let mut state = state(SIZE, web(1));
    assert_eq!(state.update(NOW, Message::Key(interrupt)), [Wish::Quit]);
    press(&mut state, "f");
    assert_eq!(state.update(NOW, Message::Key(interrupt)), [], "it ends the typing first");
}

#[test]
fn details_are_scrolled_where_they_do_not_fit() {
    let mut state = state((80, 12), web(4));
    press(&mut state, "d<PgDn>");
    let first = state.details_top;
    assert!(first > 0);
    press(&mut state, &"<PgDn>".repeat(50));
    let end = state.details_top;
    press(&mut state, "<PgDn>");
    assert_eq!(state.details_top, end, "it has an end");
    press(&mut state, "j");
    assert_eq!(state.details_top, 0);
    press(&mut state, "/");
    assert!(!state.swapped, "a search is seen");
}

#[test]
fn no_size_is_too_small_to_go_on() {
    let down = in_state(worker(9, "web"), Status::Errored, "exited with code 1");
    let mut state = state((1, 1), [web(3), vec![down]].concat());
    for size in [(0, 0), (1, 1), (30, 8), (31, 9), (500, 200), (80, 24)] {
        state.update(NOW, Message::Size(size.0, size.1));
        press(&mut state, "jk<PgUp><PgDn><Home><End>dd/x<Esc>zzG");
        let palette = crate::ctl::monit::draw::Palette { colour: true };
        crate::ctl::monit::draw::draw(&state, palette);
    }
}
