//! People and scripts at the command line, several at once and without any plan.

use std::sync::{MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cast::{self, Build, CAST, Habit, Part};
use crate::daemon::Output;
use crate::dice::Dice;
use crate::rain::Rain;

/// Losing against another client, an app that does not come up, and a daemon that dies under the question are part of it.
/// What is not: a wrong command line (2), a declaration that is suddenly wrong (4), a defect (70).
const FAIR: [i32; 6] = [0, 1, 3, 5, 7, 8];
/// Longer than any fault of the storm lasts.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Deed {
    Start,
    Stop,
    Restart,
    Reload,
    Scale,
    Delete,
    Rollback,
    Signal,
    Release,
    Spoil,
    Look,
    Flush,
}

const DEEDS: [(usize, Deed); 12] = [
    (1, Deed::Start),
    (2, Deed::Stop),
    (4, Deed::Restart),
    (4, Deed::Reload),
    (4, Deed::Scale),
    (2, Deed::Delete),
    (2, Deed::Rollback),
    (2, Deed::Signal),
    (4, Deed::Release),
    (3, Deed::Spoil),
    (4, Deed::Look),
    (1, Deed::Flush),
];

struct Operator<'a> {
    rain: &'a Rain<'a>,
    name: String,
    dice: Dice,
}

/// Does one thing after the other.
pub fn operate(rain: &Rain<'_>, number: u64) {
    let name = format!("client {number}");
    let mut operator = Operator { rain, name, dice: Dice::new(rain.seed, number) };
    while rain.falls() {
        operator.act();
        thread::sleep(operator.dice.millis(0, 300));
    }
}

impl Operator<'_> {
    fn act(&mut self) {
        // Those that are asked get half of the attention.
        let serving = if self.dice.once_in(2) { 2 } else { CAST.len() };
        let part = CAST[self.dice.below(serving)];
        match self.dice.weighted(&DEEDS) {
            Deed::Start => drop(self.ctl(&["start", part.name])),
            Deed::Stop => self.stop(part),
            Deed::Restart => drop(self.ctl(&["restart", part.name])),
            Deed::Reload => drop(self.ctl(&["reload", part.name])),
            Deed::Scale => self.scale(part),
            Deed::Delete => self.delete(part),
            Deed::Rollback => drop(self.ctl(&["rollback", part.name])),
            Deed::Signal => self.signal(part),
            Deed::Release => self.release(part),
            Deed::Spoil => self.spoil(part),
            Deed::Look => self.look(part),
            Deed::Flush => drop(self.ctl(&["flush", "flood"])),
        }
    }

    fn stop(&mut self, part: Part) {
        let rain = self.rain;
        let owner = owner(rain, part);
        let excused = rain.traffic.excuse(part.name);
        self.ctl(&["stop", part.name]);
        thread::sleep(self.dice.millis(0, 500));
        self.bring_up(part);
        drop((excused, owner));
    }

    fn delete(&mut self, part: Part) {
        let rain = self.rain;
        let owner = owner(rain, part);
        let excused = rain.traffic.excuse(part.name);
        self.ctl(&["delete", part.name]);
        self.bring_up(part);
        drop((excused, owner));
    }

    /// Until one who serves does so again with all its workers; others get one try.
    fn bring_up(&mut self, part: Part) {
        let begin = Instant::now();
        while !self.rain.journal.has_ended() {
            if self.ctl(&["start", part.name]).code == 3 {
                self.ctl(&["start", &cast::file(&self.rain.ground.daemon, part.name)]);
            }
            if part.habit != Habit::Serving || self.is_up(part) {
                return;
            }
            if begin.elapsed() > PATIENCE {
                let text = format!("{} does not come up within {PATIENCE:?}", part.name);
                return self.rain.journal.fail(&text);
            }
        }
    }

    fn is_up(&self, part: Part) -> bool {
        let output = self.rain.ground.daemon.ctl(&["list", "--json"]);
        if output.code != 0 {
            return false;
        }
        let list = output.json();
        let mut rows = list.as_array().into_iter().flatten().filter(|row| row["app"] == part.name).peekable();
        rows.peek().is_some() && rows.all(|row| row["status"] == "online")
    }

    fn scale(&mut self, part: Part) {
        let count =
            if part.habit == Habit::Serving { 2 + self.dice.below(3) } else { 1 + self.dice.below(3) };
        self.ctl(&["scale", part.name, &count.to_string()]);
    }

    fn signal(&mut self, part: Part) {
        let signal = match part.habit {
            // It is ignored by default (signal(7)), so it excuses nothing.
            Habit::Serving => "SIGWINCH",
            Habit::Steady | Habit::Restless => {
                self.dice.one_of(&["SIGTERM", "SIGUSR2", "SIGKILL", "SIGCONT"]).expect("four")
            }
        };
        self.ctl(&["signal", signal, part.name]);
    }

    fn release(&mut self, part: Part) {
        let number = self.dice.below(1000) as u32;
        let owner = owner(self.rain, part);
        self.publish(part, Build::Good(number));
        drop(owner);
    }

    /// A release that does not work must be refused; then one that does.
    fn spoil(&mut self, part: Part) {
        let Some(how) = self.dice.one_of(cast::bad_builds(part.name)) else { return self.release(part) };
        let owner = owner(self.rain, part);
        if self.publish(part, Build::Bad(how)) == Some(0) && part.habit == Habit::Serving {
            self.rain.journal.fail(&format!("{}: a build that {how} was accepted", part.name));
        }
        self.publish(part, Build::Good(1));
        drop(owner);
    }

    /// The code of the reload; `None`: the declaration could not be written.
    fn publish(&self, part: Part, build: Build) -> Option<i32> {
        let daemon = &self.rain.ground.daemon;
        let written = cast::release(daemon, part.name, build);
        self.rain.journal.note(&self.name, &format!("releases {} {build:?}, written: {written}", part.name));
        let reload = || self.ctl(&["reload", &cast::file(daemon, part.name), "--timeout", "20s"]).code;
        written.then(reload)
    }

    fn look(&mut self, part: Part) {
        let command: &[&str] = match self.dice.below(5) {
            0 => &["list"],
            1 => &["describe", part.name],
            2 => &["logs", part.name, "--nostream"],
            3 => &["events", part.name, "--nostream"],
            _ => &["jlist"],
        };
        self.ctl(command);
    }

    fn ctl(&self, args: &[&str]) -> Output {
        let begin = Instant::now();
        let output = self.rain.ground.daemon.ctl(args);
        let told: Vec<&str> = output.err.lines().filter(|line| line.starts_with("error")).collect();
        let spent = begin.elapsed().as_millis();
        self.rain.deed(
            &self.name,
            &format!("{} → {} in {spent} ms {}", args.join(" "), output.code, told.join("; ")),
        );
        if !FAIR.contains(&output.code) {
            self.rain.journal.fail(&format!("`supctl {}`: {output:#?}", args.join(" ")));
        }
        output
    }
}

/// Nobody else stops, forgets or changes it meanwhile.
fn owner<'a>(rain: &'a Rain<'_>, part: Part) -> MutexGuard<'a, ()> {
    rain.owners[part.name].lock().unwrap_or_else(PoisonError::into_inner)
}
