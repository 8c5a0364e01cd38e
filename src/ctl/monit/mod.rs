//! `monit`: what do the apps do now, at a glance and all the time? A dashboard on the terminal.
//!
//! [`state`] knows and decides, [`draw`] shows, [`talk`] speaks with the daemon; here keys, ticks and answers go to the first and its
//! wishes to the others. One task owns all of it. It may not bring back a daemon that somebody has ended.

mod action;
mod details;
mod draw;
#[cfg(test)]
mod fixture;
mod history;
mod keys;
mod layout;
mod log;
mod rows;
mod screen;
mod state;
mod talk;
mod text;

use std::env;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use supd_api::{DaemonView, Fault, FaultCode, Millis};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Session;
use super::client::Client;
use super::output::Failure;
use draw::{Palette, draw};
use screen::Screen;
use state::{Message, State, Wish};
use talk::Talk;

/// Between two looks at everything.
const LOOK: Duration = Duration::from_secs(1);
/// Between two pictures, unless a key was pressed: the way to the terminal may be slow.
const FRAME: Duration = Duration::from_millis(250);
/// So many messages and keys may wait. A log that comes faster than it can be shown waits at the daemon, which tells what it left out.
const WAITING: usize = 256;

/// `monit`, until somebody quits, ends it by a signal or takes the terminal away.
pub(crate) async fn monit(session: &mut Session) -> Result<(), Failure> {
    let dumb = env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
    if session.output.style.json || dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let text = "monit draws on a terminal, and here is none that it can use";
        return Err(Fault::new(FaultCode::Invalid, text).hint("`supctl list --json` is for programs").into());
    }
    // Why there is no daemon is told before the terminal is taken.
    session.client.get::<DaemonView>("/v1/daemon").await?;
    let client = Client::new(session.client.home().clone(), None);
    let palette = Palette { colour: session.output.style.colour };
    let mut ends =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
            .into_iter()
            .map(signal)
            .collect::<io::Result<Vec<Signal>>>()?;
    let mut screen = Screen::take()?;
    let dashboard = Dashboard::new(client, palette)?;
    Ok(dashboard.run(&mut screen, &mut ends).await?)
}

struct Dashboard {
    state: State,
    palette: Palette,
    talk: Talk,
    answers: mpsc::Receiver<Message>,
    keys: mpsc::Receiver<Event>,
}

impl Dashboard {
    fn new(client: Client, palette: Palette) -> io::Result<Self> {
        let (messages, answers) = mpsc::channel(WAITING);
        let state = State::new(now(), Screen::size()?);
        Ok(Self { state, palette, talk: Talk::new(client, messages), answers, keys: read_keys() })
    }

    async fn run(mut self, screen: &mut Screen, ends: &mut [Signal]) -> io::Result<()> {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut stale, mut next_frame) = (true, Instant::now());
        loop {
            let mut pressed = false;
            let message = tokio::select! {
                biased;
                () = any(ends) => return Ok(()),
                event = self.keys.recv() => {
                    // The terminal is gone.
                    let Some(event) = event else { return Ok(()) };
                    pressed = true;
                    if event == Event::Key(SUSPEND) {
                        screen.suspend()?;
                        // It may have another size by now.
                        let (width, height) = Screen::size()?;
                        Some(Message::Size(width, height))
                    } else {
                        heard(event, screen)
                    }
                }
                // Before the answers: a log that never ends would hide all else.
                () = sleep_until(next_frame), if stale => {
                    screen.show(draw(&self.state, self.palette))?;
                    (stale, next_frame) = (false, Instant::now() + FRAME);
                    None
                }
                _ = ticks.tick() => Some(Message::Tick),
                message = self.answers.recv() => message,
            };
            if let Some(message) = message {
                stale = true;
                for wish in self.state.update(now(), message) {
                    match wish {
                        Wish::Quit => return Ok(()),
                        Wish::Look(app) => self.talk.look(app),
                        Wish::Follow(feed, target) => self.talk.follow(feed, target),
                        Wish::Act(action) => self.talk.act(action),
                    }
                }
            }
            if pressed && self.keys.is_empty() {
                (stale, next_frame) = (true, Instant::now());
            }
        }
    }
}

/// In raw mode it is a key and no signal.
const SUSPEND: KeyEvent = KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL);

/// What a key or a new size means; `None`: nothing.
fn heard(event: Event, screen: &mut Screen) -> Option<Message> {
    const REDRAW: KeyEvent = KeyEvent::new(KeyCode::Char('l'), KeyModifiers::CONTROL);
    match event {
        Event::Key(key) if key == REDRAW => screen.forget(),
        Event::Key(key) if key.kind == KeyEventKind::Press => return Some(Message::Key(key)),
        Event::Resize(width, height) => return Some(Message::Size(width, height)),
        _ => {}
    }
    None
}

/// A thread waits for keys: reading a terminal blocks. It ends with the process.
fn read_keys() -> mpsc::Receiver<Event> {
    let (events, keys) = mpsc::channel(WAITING);
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// Returns when one of the signals has come.
async fn any(signals: &mut [Signal]) {
    std::future::poll_fn(|context| {
        let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Unix time in milliseconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(Millis::from).unwrap_or_default().0
}
