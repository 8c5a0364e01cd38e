//! Where output goes, in which form, and what is kept of it.

use jiff::Zoned;
use supd_api::{LogForm, LogTarget};

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
        self.rotation();
    }

    fn rotation(&mut self) {
        let rotation = &self.app.logs.rotation;
        if let Some(Err(problem)) = rotation.interval.as_deref().map(check_schedule) {
            self.fail("rotate_interval", problem);
        }
        if rotation.size.is_some_and(|size| size < SMALLEST_FILE) {
            self.fail("rotate_size", format!("expected at least {SMALLEST_FILE} bytes; a number means bytes, and \"10M\" is ten million"));
        }
        let format = &rotation.date_format;
        if format.len() > LONGEST_DATE
            || format.chars().any(|c| c.is_control() || c == '/')
            || format.contains("__")
        {
            self.fail(
                "rotate_date_format",
                "a format of dates in names has at most 128 bytes, no `/` and no `__`",
            );
        } else if DateFormat::new(format).at(&Zoned::default()).bytes().filter(u8::is_ascii_digit).count()
            < DIGITS
        {
            self.fail(
                "rotate_date_format",
                "a date in names has at least four digits, so that it is known for a date",
            );
        }
    }
}
