//! One client has an app for itself, so it knows what must be: whatever it was told is done stays done.

use std::thread;

use serde_json::Value;

use crate::cast;
use crate::dice::Dice;
use crate::rain::Rain;

/// The app that nobody else commands.
pub const OWN: &str = "witness";

/// What the last answer promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// There was none.
    Nothing,
    Absent,
    /// So many workers, all stopped.
    Down(usize),
    /// So many workers, all up or on their way.
    Up(usize),
}

/// Commands and looks.
pub fn watch(rain: &Rain<'_>, number: u64) {
    let mut dice = Dice::new(rain.seed, number);
    // What a command that nobody answered has left behind is not known.
    let mut promise = Promise::Nothing;
    while rain.falls() {
        promise = command(rain, &mut dice, promise);
        for _ in 0..dice.below(8) {
            thread::sleep(dice.millis(0, 200));
            look(rain, promise);
        }
    }
}

fn command(rain: &Rain<'_>, dice: &mut Dice, before: Promise) -> Promise {
    let file = cast::file(&rain.ground.daemon, OWN);
    let count = 1 + dice.below(3);
    let number = count.to_string();
    let seats = match before {
        Promise::Nothing | Promise::Absent => None,
        Promise::Down(seats) | Promise::Up(seats) => Some(seats),
    };
    let (args, then): (&[&str], Promise) = match (seats, dice.below(5)) {
        (None, 0) => (&["delete", OWN], Promise::Absent),
        (None, _) => (&["restart", &file], Promise::Up(cast::seats(OWN))),
        (Some(_), 0) => (&["delete", OWN], Promise::Absent),
        (Some(seats), 1 | 2) => (&["stop", OWN], Promise::Down(seats)),
        (Some(seats), 3) => (&["start", OWN], Promise::Up(seats)),
        // One that is down is not started by it.
        (Some(_), _) if before == Promise::Up(seats.unwrap_or_default()) => {
            (&["scale", OWN, &number], Promise::Up(count))
        }
        (Some(seats), _) => (&["restart", OWN], Promise::Up(seats)),
    };
    let output = rain.ground.daemon.ctl(args);
    rain.deed("witness", &format!("{} → {}", args.join(" "), output.code));
    if output.code == 0 { then } else { Promise::Nothing }
}

/// What the list says must be what was promised.
fn look(rain: &Rain<'_>, promise: Promise) {
    let output = rain.ground.daemon.ctl(&["list", "--json"]);
    if output.code != 0 {
        return;
    }
    let list = output.json();
    let rows: Vec<&Value> = list.as_array().into_iter().flatten().filter(|row| row["app"] == OWN).collect();
    let down = |row: &&Value| row["status"] == "stopped";
    let kept = match promise {
        Promise::Nothing => true,
        Promise::Absent => rows.is_empty(),
        Promise::Down(seats) => rows.len() == seats && rows.iter().all(down),
        Promise::Up(seats) => rows.len() == seats && !rows.iter().any(down),
    };
    if !kept {
        rain.journal.fail(&format!("promised was {promise:?}, the list says {rows:?}"));
    }
}
