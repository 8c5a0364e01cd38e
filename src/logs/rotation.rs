//! When a file is put aside.
//!
//! Question answered here: *is it time, and what is it called then?* It may not rename anything.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use supd_api::Rotation;

use super::rotated::name;
use crate::dates::DateFormat;

/// A policy, ready to be asked.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) policy: Rotation,
    interval: Option<Cron>,
    date: DateFormat,
    zone: TimeZone,
}

impl Rule {
    pub(super) fn new(policy: &Rotation) -> Self {
        let interval = policy.interval.as_deref().and_then(|interval| Cron::from_str(interval).ok());
        let zone = policy.time_zone.as_deref().and_then(|zone| TimeZone::get(zone).ok());
        Self {
            policy: policy.clone(),
            interval,
            date: DateFormat::new(&policy.date_format),
            zone: zone.unwrap_or_else(TimeZone::system),
        }
    }

    /// The first of its times after this moment.
    pub(super) fn due_after(&self, moment: SystemTime) -> Option<SystemTime> {
        let moment = Timestamp::try_from(moment).ok()?.to_zoned(TimeZone::system());
        let next = self.interval.as_ref()?.find_next_occurrence(&moment, false).ok()?;
        Some(next.timestamp().into())
    }

    /// How many bytes more a file of this size may get.
    pub(super) fn room(&self, size: u64) -> usize {
        let room = self.policy.size.map(|limit| limit.saturating_sub(size));
        room.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Whether a file is so large that even the line at its end is no reason to wait.
    pub(super) fn is_overlong(&self, size: u64) -> bool {
        self.policy.size.is_some_and(|limit| size >= limit.saturating_mul(2))
    }
}

/// Names for a file that is put aside again and again.
#[derive(Debug, Default)]
pub(super) struct Names {
    date: String,
    used: u32,
}

impl Names {
    /// A free one.
    pub(super) fn next(&mut self, path: &Path, rule: &Rule) -> PathBuf {
        let date = rule.date.at(&Zoned::now().with_time_zone(rule.zone.clone()));
        if date != self.date {
            *self = Self { date, used: 0 };
        }
        loop {
            self.used = self.used.saturating_add(1);
            let number = if self.used > 1 { format!("-{}", self.used) } else { String::new() };
            let name = name(path, &format!("{}{number}", self.date));
            let packed = [supd_api::Compression::Gzip, supd_api::Compression::Zstd]
                .map(|kind| super::rotated::packed(&name, kind).0);
            if std::iter::once(&name).chain(&packed).all(|name| std::fs::symlink_metadata(name).is_err()) {
                return name;
            }
        }
    }
}
