//! The supervisor: the shell around the core.
//!
//! Question answered here: *how do decisions become processes, sockets and files, and how does what happens come back as
//! events?* One loop owns all state (`turn.rs`); nothing it calls blocks. What may block (files, name lookups) is done by
//! blocking tasks, whose results come back into the loop. It may not decide about processes (the core does) nor be
//! their parent (the keeper is): it may die at any moment and be started again.

mod answer;
mod call;
mod care;
mod control;
mod inbox;
mod keeper;
mod perform;
mod report;
mod requests;
mod runs;
mod settings;
mod state;
mod targets;
mod turn;
mod versions;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use nix::sys::signal::Signal;
use supd_core::{Event, Mono, Now, Wall};
use supd_keeper::monotonic_ns;
use tokio::signal::unix::{SignalKind, signal};

use crate::home::Home;
use inbox::Item;
pub use state::runtime::check_runtime;
pub use state::successor::check_state;
use turn::Shell;

/// So many other things are taken for each report of the keeper. The end of a run has two reports and brings half a dozen of these; were they
/// left to wait, all that they release would stay and make each snapshot longer.
const TURNS: usize = 16;

/// Serves until the keeper says goodbye. Called by `supd supervisor`, which only the keeper starts.
pub fn run(home: Home) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(8).build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve(home)),
        Err(error) => Err(error),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the supervisor ends: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The loop: take one event, decide, carry out, again.
async fn serve(home: Home) -> std::io::Result<()> {
    // A file that is as long as the limit of whoever started us allows gives an error then, instead of our end (setrlimit(2)).
    let _too_long = signal(SignalKind::from_raw(Signal::SIGXFSZ as i32))?;
    let keeper = keeper::Keeper::connect()?;
    let last_words = keeper.last_words()?;
    let booted = state::boot::boot(home, keeper).await;
    let (mut shell, mut inbox) = booted.inspect_err(|error| last_words.say(&error.to_string()))?;
    loop {
        // In a storm of reports everybody else has turns too.
        tokio::task::yield_now().await;
        for _ in 0..TURNS {
            let Some(item) = at_once(inbox.next()).await else { break };
            shell.take(item);
        }
        shell.end_when_over();
        if shell.has_left() {
            return shell.keeper.deliver().await;
        }
        let deadline = shell.next_deadline();
        tokio::select! {
            biased;
            report = shell.keeper.next() => match report? {
                Some((report, attached)) => shell.on_report(report, attached),
                None => return Ok(()),
            },
            item = inbox.next() => shell.take(item),
            () = std::future::ready(()), if shell.is_unsaved() => shell.keep(),
            () = until(deadline) => shell.on_time(),
        }
    }
}

/// What comes of it without waiting.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        found = future => Some(found),
        () = std::future::ready(()) => None,
    }
}

/// The present moment.
fn now() -> Now {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Now { mono: Mono(monotonic_ns()), wall: Wall(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)) }
}

async fn until(deadline: Option<Mono>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(now().mono) + Duration::from_micros(500)).await,
        None => std::future::pending().await,
    }
}

impl Shell {
    fn take(&mut self, item: Item) {
        match item {
            Item::Delivery(it) => self.on_delivery(it),
            Item::Notice(it) => self.on_notice(it),
            Item::Saved(it) => self.on_saved(it),
            Item::Reported(it) => self.on_reported(it),
            Item::Notes(it) => self.on_notes(it),
            Item::Delivered(it) => self.on_delivered(it),
            Item::Answer(it) => self.on_answer(it),
            Item::Doubt(it) => self.on_doubt(it),
            Item::Tidings(it) => self.on_tidings(it),
            Item::Alarm => self.on_alarm(),
            Item::Settings(it) => self.on_settings(it),
            Item::Excess(it) => self.on_excess(it),
            Item::Bell(it) => self.on_bell(it),
            Item::Loads(it) => self.on_loads(it),
            Item::Step(it) => self.on_step(it),
            Item::Call(it) => self.on_call(it),
        }
    }

    fn on_time(&mut self) {
        self.turn(Event::Tick);
        self.tell_trouble();
        self.retry_save();
        self.quit_when_done();
    }
}
