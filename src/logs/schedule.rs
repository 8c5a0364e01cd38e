//! Files that are put aside by the clock.
//!
//! Question answered here: *when must the log thread wake for that?* Once at each moment that some file's rule names, and when the
//! clock is set.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use supd_api::Rotation;
use supd_keeper::protocol::RunId;

use super::file::LogFile;
use super::rotation::Rule;
use super::thread::LogThread;

/// A clock of the time of day, without an alarm.
pub(super) fn clock() -> io::Result<TimerFd> {
    Ok(TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?)
}

impl LogThread {
    /// Another rule for the files of a run.
    pub(super) fn rotate_by(&mut self, run: RunId, rotation: &Rotation) {
        let rule = Arc::new(Rule::new(rotation));
        for tap in self.taps.values_mut().filter(|tap| tap.source.run == run) {
            tap.rule = Arc::clone(&rule);
            for path in &tap.files {
                if let Some(file) = self.files.get_mut(path) {
                    file.join(&tap.source.app, tap.key, Arc::clone(&rule), &self.tell);
                }
            }
        }
        self.rotate_what_is_due();
    }

    /// Also after the clock was set, which ends its alarm too (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).
    pub(super) fn rotate_what_is_due(&mut self) {
        // Empties it; what it says is known otherwise.
        let _ = self.clock.wait();
        let now = SystemTime::now();
        self.files.values_mut().for_each(|file| file.tick(now));
        let alarm = self.files.values().filter_map(LogFile::due).min();
        let set = match alarm {
            None => self.clock.unset(),
            Some(at) => {
                let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
                self.clock.set(Expiration::OneShot(TimeSpec::from(since)), flags)
            }
        };
        if let Err(error) = set {
            tracing::error!("logs are not rotated in time: {error}");
        }
    }
}
