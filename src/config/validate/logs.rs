//! Where output goes, in which form, and what is kept of it.

use jiff::Zoned;
use jiff::tz::TimeZone;
use supd_api::{DeclaredRotation, LogForm, LogTarget};

use super::super::problem::shown;
use super::super::value::check_schedule;
use super::Check;
use crate::dates::DateFormat;

const LONGEST_DATE: usize = 128;
/// A smaller one was probably meant in other units.
const SMALLEST_FILE: u64 = 1024;
/// As the log thread wants it, which tells its files from others by that.
const DIGITS: usize = 4;

impl Check<'_> {
    pub(super) fn logs(&mut self) {
        let app = self.app;
        let logs = &app.logs;
        for (field, target) in
            [("out_file", &logs.out_file), ("error_file", &logs.error_file), ("log_file", &logs.log_file)]
        {
            match target {
                LogTarget::File(file) => self.path(field, file),
                LogTarget::Default | LogTarget::Discard => {}
            }
        }
        let format = match &logs.form {
            LogForm::Plain | LogForm::Json(None) => None,
            LogForm::Dated(format) | LogForm::Json(Some(format)) => Some(format),
        };
        if format.is_some_and(|format| format.len() > LONGEST_DATE || format.chars().any(char::is_control)) {
            self.fail("log_date_format", "a format of dates has at most 128 bytes and no control characters");
        }
        for (field, problem) in check_rotation(&logs.rotation) {
            self.fail(field, problem);
        }
    }
}

/// What is wrong with it, by field.
pub(in crate::config) fn check_rotation(rotation: &DeclaredRotation) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if let Some(Some(Err(problem))) = rotation.interval.as_ref().map(|it| it.as_deref().map(check_schedule)) {
        problems.push(("rotate_interval", problem));
    }
    if rotation.size.flatten().is_some_and(|size| size < SMALLEST_FILE) {
        let text = format!(
            "expected at least {SMALLEST_FILE} bytes; a number means bytes, and \"10M\" is ten million"
        );
        problems.push(("rotate_size", text));
    }
    if let Some(Err(problem)) = rotation.date_format.as_deref().map(check_date_format) {
        problems.push(("rotate_date_format", problem.to_owned()));
    }
    if let Some(Some(Err(problem))) = rotation.time_zone.as_ref().map(|it| it.as_deref().map(check_time_zone))
    {
        problems.push(("rotate_time_zone", problem));
    }
    problems
}

/// Whether this is a name of a time zone; if not, why.
pub(in crate::config) fn check_time_zone(zone: &str) -> Result<(), String> {
    let why = |_| format!("{} is no time zone of this machine, such as Europe/Berlin or UTC", shown(zone));
    TimeZone::get(zone).map(drop).map_err(why)
}

fn check_date_format(format: &str) -> Result<(), &'static str> {
    let unfit = |c: char| c.is_control() || c == '/';
    if format.len() > LONGEST_DATE || format.chars().any(unfit) || format.contains("__") {
        return Err("a format of dates in names has at most 128 bytes, no `/` and no `__`");
    }
    let digits = DateFormat::new(format).at(&Zoned::default()).bytes().filter(u8::is_ascii_digit).count();
    if digits < DIGITS {
        return Err("a date in names has at least four digits, so that it is known for a date");
    }
    Ok(())
}
