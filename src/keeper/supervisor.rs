//! Is there a supervisor, and what has it not been told yet?
//!
//! It is started with the link at descriptor 3 and restarted when it dies, while the workers go on. It does not die with
//! the keeper by itself: when the keeper is gone, the supervisor reads end of file from the link and has to exit.

use std::collections::VecDeque;
use std::env;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::keeper::{Options, say};
use crate::link::{Link, SUPERVISOR_END, SUPERVISOR_ENV};
use crate::log::Level;
use crate::notify::is_private;
use crate::protocol::{Attributes, ExecPlan, Exit, Report};
use crate::spawn::{self, Failure, Inheritance, Pending, Verdict};
use crate::table::SupervisorEntry;
use crate::tree;

/// A supervisor that lived this long is started again at once.
const LONG_LIFE: Duration = Duration::from_secs(10);
/// The first short life is an accident: no pause. This one follows the second; it doubles with each further one ...
const BACK_OFF: Duration = Duration::from_millis(100);
/// ... up to this.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// How long a supervisor has to exit when the link has ended.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// More reports than this wait: no further orders are read until the supervisor reads.
const OUTBOX_FULL: usize = 1024;
/// This many pings unanswered: it hangs.
const PINGS_MAX: u8 = 2;

/// The supervisor, whether or not there is one.
pub(crate) struct Supervisor {
    plan: ExecPlan,
    /// The program of the keeper itself.
    own: String,
    life: Life,
    starts: u32,
    short_lives: u32,
    /// Reports that did not fit into the socket's buffer. Bounded: what queues is facts about runs, a few for each
    /// spawn order, and orders are not read while more than [`OUTBOX_FULL`] wait; requests of the keeper itself queue
    /// once at most. A new supervisor starts with an empty one, because its welcome holds all facts.
    outbox: VecDeque<Outgoing>,
}

/// A supervisor that an earlier image of this keeper started.
pub(crate) struct Present {
    pub(crate) pid: i32,
    /// How long it has lived.
    pub(crate) age: Duration,
    pub(crate) start: Pending,
    pub(crate) link: Link,
    /// How many pings it owes an answer.
    pub(crate) unanswered: u8,
    pub(crate) starts: u32,
    pub(crate) short_lives: u32,
}

enum Life {
    Down { start_at: Instant },
    Up { pid: i32, since: Instant, start: Pending, talk: Talk },
}

/// A supervisor without a link is of no use: it has to leave, and is made to when it does not.
enum Talk {
    On { link: Link, unanswered: u8 },
    Over { leave_by: Instant },
}

struct Outgoing {
    report: Report,
    /// Shared with the store, so that what is dropped there meanwhile still arrives as announced.
    attached: Vec<Rc<OwnedFd>>,
}

impl Supervisor {
    pub(crate) fn new(options: &Options, now: Instant) -> Self {
        // Variables that are no text are left out: the plan is JSON's, and none of ours is among them.
        let env = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut env: Vec<_> = env.filter(|(name, _)| !is_private(name) && name != SUPERVISOR_ENV).collect();
        env.push((SUPERVISOR_ENV.to_owned(), SUPERVISOR_END.to_string()));
        let plan = ExecPlan {
            attributes: Attributes::default(),
            program: options.program.clone(),
            argv: options.argv.clone(),
            env,
            cwd: ".".to_owned(),
            user: None,
            group: None,
            descriptors: vec![1, 2, SUPERVISOR_END],
            listen_pid: false,
            cgroup: None,
        };
        let life = Life::Down { start_at: now };
        let own = options.program.clone();
        Self { plan, own, life, starts: 0, short_lives: 0, outbox: VecDeque::new() }
    }

    /// The one that an earlier image of this keeper started.
    pub(crate) fn taken_over(options: &Options, present: Present, now: Instant) -> Self {
        let Present { pid, age, start, link, unanswered, starts, short_lives } = present;
        let since = now.checked_sub(age).unwrap_or(now);
        let life = Life::Up { pid, since, start, talk: Talk::On { link, unanswered } };
        Self { life, starts, short_lives, ..Self::new(options, now) }
    }

    /// The numbers of its descriptors and all else that [`Self::taken_over`] needs, while there is a link to it.
    pub(crate) fn written_down(&self, now: Instant) -> Option<SupervisorEntry> {
        let Life::Up { pid, since, start, talk: Talk::On { link, unanswered } } = &self.life else {
            return None;
        };
        Some(SupervisorEntry {
            pid: *pid,
            age: now - *since,
            start: start.as_fd().as_raw_fd(),
            link: link.as_raw_fd(),
            unanswered: *unanswered,
            starts: self.starts,
            short_lives: self.short_lives,
        })
    }

    /// From the next start on it is this program, or the keeper's own. That start is no restart.
    pub(crate) fn change_program(&mut self, program: Option<String>) {
        self.plan.program = program.unwrap_or_else(|| self.own.clone());
        self.starts = self.starts.saturating_sub(1);
        self.short_lives = 0;
        if let Life::Down { start_at } = &mut self.life {
            *start_at = Instant::now();
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self.life {
            Life::Down { .. } => None,
            Life::Up { pid, .. } => Some(pid),
        }
    }

    /// When to start it.
    pub(crate) fn start_at(&self) -> Option<Instant> {
        match self.life {
            Life::Down { start_at } => Some(start_at),
            Life::Up { .. } => None,
        }
    }

    /// How often one was started before the present one.
    pub(crate) fn restarts(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    /// How many died young in a row.
    pub(crate) fn short_lives(&self) -> u32 {
        self.short_lives
    }

    /// The link, while it is of use.
    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.life {
            Life::Down { .. } => None,
            Life::Up { talk: Talk::On { link, .. }, .. } => Some(link),
            Life::Up { talk: Talk::Over { .. }, .. } => None,
        }
    }

    /// Whether its orders may be read now.
    pub(crate) fn may_order(&self) -> bool {
        self.outbox.len() <= OUTBOX_FULL
    }

    /// Whether reports wait.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Starts one, to be welcomed.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn start(&mut self, now: Instant) -> Result<(), String> {
        self.starts = self.starts.saturating_add(1);
        match self.try_start() {
            Ok((pid, start, link)) => {
                self.life = Life::Up { pid, since: now, start, talk: Talk::On { link, unanswered: 0 } };
                Ok(())
            }
            Err(error) => {
                let why = format!("the supervisor cannot be started: {error}");
                say(Level::Error, format_args!("{why}"));
                self.down(now, Duration::ZERO);
                Err(why)
            }
        }
    }

    fn try_start(&self) -> io::Result<(i32, Pending, Link)> {
        let (ours, theirs) = Link::pair()?;
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        let err = io::stderr().as_fd().try_clone_to_owned()?;
        // No tag, for it belongs to no run; the keeper's raised limit of open files, for it holds as many.
        let (pid, start) = spawn::start(&self.plan, &[out, err, theirs.into()], Inheritance::default())
            .map_err(|Failure { errno, .. }| io::Error::from(errno))?;
        Ok((pid, start, ours))
    }

    /// It has been reaped. In words, what became of it.
    pub(crate) fn ended(&mut self, exit: Exit, now: Instant) -> String {
        let Life::Up { since, start, .. } = &self.life else { return String::new() };
        let orderly = exit == Exit::Code(0);
        let why = match start.verdict() {
            Verdict::Failed(Failure { step, errno }) => {
                format!("the supervisor cannot be started: {step:?}: {errno}")
            }
            Verdict::Pending | Verdict::Executed => match exit {
                Exit::Code(code) => format!("the supervisor has ended with code {code}"),
                Exit::Signal(signal) => format!("the supervisor has ended by signal {signal}"),
            },
        };
        say(if orderly { Level::Info } else { Level::Error }, format_args!("{why}"));
        let lived = now - *since;
        self.down(now, lived);
        why
    }

    fn down(&mut self, now: Instant, lived: Duration) {
        self.outbox.clear();
        self.short_lives = if lived >= LONG_LIFE { 0 } else { self.short_lives.saturating_add(1) };
        self.life = Life::Down { start_at: now + pause_after(self.short_lives) };
    }

    /// Ends the connection. The supervisor reads end of file and exits, or has done so: its exit status is worth
    /// waiting for.
    pub(crate) fn hang_up(&mut self) {
        self.outbox.clear();
        if let Life::Up { talk, .. } = &mut self.life {
            *talk = Talk::Over { leave_by: Instant::now() + LEAVE_TIMEOUT };
        }
    }

    /// When [`Self::end_overdue`] has something to do.
    pub(crate) fn leave_by(&self) -> Option<Instant> {
        match self.life {
            Life::Up { talk: Talk::Over { leave_by }, .. } => Some(leave_by),
            Life::Up { talk: Talk::On { .. }, .. } | Life::Down { .. } => None,
        }
    }

    /// Ends by force what should have left.
    pub(crate) fn end_overdue(&mut self, now: Instant) {
        if let Life::Up { talk: Talk::Over { leave_by }, .. } = &mut self.life
            && *leave_by <= now
        {
            *leave_by = now + LEAVE_TIMEOUT;
            self.kill();
        }
    }

    /// Ends it by force. What follows follows when it has been reaped.
    pub(crate) fn kill(&self) {
        if let Some(pid) = self.pid() {
            tree::signal_child(pid, libc::SIGKILL);
        }
    }

    /// Tells it, now or as soon as it reads. Without a supervisor nothing happens: the next one's welcome says it.
    pub(crate) fn tell(&mut self, report: Report, attached: Vec<Rc<OwnedFd>>) {
        if self.link().is_some() {
            self.outbox.push_back(Outgoing { report, attached });
            self.flush();
        }
    }

    /// As `tell`, unless the very same is waiting already.
    pub(crate) fn tell_once(&mut self, report: Report) {
        if !self.outbox.iter().any(|waiting| waiting.report == report) {
            self.tell(report, Vec::new());
        }
    }

    /// Sends what waits, as far as possible.
    pub(crate) fn flush(&mut self) {
        while let (Some(link), Some(next)) = (self.link(), self.outbox.front()) {
            let attached: Vec<BorrowedFd<'_>> = next.attached.iter().map(|kept| kept.as_fd()).collect();
            match link.try_send(&next.report, &attached) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.outbox.clear();
                    // It has gone; its last orders and the end of file are still to be read.
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        say(
                            Level::Warning,
                            format_args!("the supervisor cannot be told what it must know: {error}"),
                        );
                        self.kill();
                    }
                    return;
                }
            }
        }
    }

    /// Asks for a sign of life; ends it when it owes too many.
    pub(crate) fn ping(&mut self) {
        let Life::Up { talk: Talk::On { unanswered, .. }, .. } = &mut self.life else { return };
        if *unanswered >= PINGS_MAX {
            say(
                Level::Error,
                format_args!(
                    "the supervisor hangs: {PINGS_MAX} pings unanswered; it is killed and started again"
                ),
            );
            return self.kill();
        }
        *unanswered += 1;
        self.tell_once(Report::Ping);
    }

    /// It has given a sign of life.
    pub(crate) fn answered(&mut self) {
        if let Life::Up { talk: Talk::On { unanswered, .. }, .. } = &mut self.life {
            *unanswered = 0;
        }
    }
}

fn pause_after(short_lives: u32) -> Duration {
    match short_lives {
        0 | 1 => Duration::ZERO,
        many => BACK_OFF.saturating_mul(1 << (many - 2).min(10)).min(BACK_OFF_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        let pauses: Vec<_> = (0..9).map(|lives| pause_after(lives).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(pause_after(u32::MAX), BACK_OFF_MAX);
    }
}
