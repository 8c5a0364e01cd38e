//! A dashboard for tests: what it was told, and what it looks like.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use supd_api::{DaemonView, ExitView, LogLine, LogText, Millis, Status, Stream, WorkerView};

use super::state::{Look, Message, State, Wish};
use crate::ctl::fake::{app, in_state, worker};

/// Unix time in milliseconds at the beginning of each test.
pub(super) const NOW: u64 = 1_795_168_800_000;

pub(super) fn daemon() -> DaemonView {
    DaemonView {
        version: "0.1.0".to_owned(),
        keeper_pid: 100,
        supervisor_pid: 101,
        supervisor_restarts: 0,
        uptime: Millis(10_800_000),
        home: "/home/u/.supd".into(),
        apps: 0,
        workers: 0,
        cgroup: None,
        last_upgrade: None,
    }
}

/// Two apps that are well and some that are not.
pub(super) fn crowd() -> Vec<WorkerView> {
    let crash = "exited with code 1";
    let waiting = WorkerView {
        remaining: Some(Millis(8000)),
        restarts: 12,
        last_exit: Some(ExitView {
            exit: supd_api::Exit::Code(1),
            text: "exited with code 1 after 80 ms".to_owned(),
            at: NOW - 3000,
        }),
        ..in_state(worker(7, "queue"), Status::Waiting, crash)
    };
    let mute = WorkerView { reason: "no answer at /health".to_owned(), ..worker(8, "web") };
    let busy = WorkerView { cpu: 87.5, memory: 204 << 20, restarts: 3, ..worker(1, "web") };
    let long = "a-name-that-is-much-longer-than-any-column-of-a-list-has-room-for";
    vec![
        worker(5, "api"),
        in_state(worker(6, long), Status::Stopped, ""),
        waiting,
        worker(0, "web"),
        busy,
        worker(2, "web"),
        mute,
        worker(9, "データ処理ワーカー"),
    ]
}

pub(super) fn look(workers: Vec<WorkerView>) -> Message {
    let web: Vec<WorkerView> =
        workers.iter().filter(|worker| worker.app.as_str() == "web").cloned().collect();
    let app = (!web.is_empty()).then(|| app("web", web));
    Message::Looked(Ok(Box::new(Look { daemon: daemon(), workers, app })))
}

/// A dashboard that has looked once at these.
pub(super) fn state(size: (u16, u16), workers: Vec<WorkerView>) -> State {
    let mut state = State::new(NOW, size);
    state.update(NOW, look(workers));
    state
}

/// A line of the log that is followed, of worker 0.
pub(super) fn say(state: &mut State, feed: u64, stream: Stream, text: &str) {
    let app = supd_api::AppName::new("web").unwrap();
    let text = LogText::Text(text.to_owned());
    let line = LogLine::Line { app, worker: Some(0), stream, at: None, text };
    state.update(state.now, Message::Line(feed, line));
}

/// Presses keys one by one: letters, or `<Enter>` and the like. The wishes of all of them.
pub(super) fn press(state: &mut State, keys: &str) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut rest = keys;
    while let Some(letter) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let code = match named {
            Some((name, after)) => {
                rest = after;
                named_key(name)
            }
            None => {
                rest = &rest[letter.len_utf8()..];
                KeyCode::Char(letter)
            }
        };
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        wishes.extend(state.update(state.now, Message::Key(key)));
    }
    wishes
}

fn named_key(name: &str) -> KeyCode {
    match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        "Back" => KeyCode::Backspace,
        other => panic!("no key is called {other}"),
    }
}
