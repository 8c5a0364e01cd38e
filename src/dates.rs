//! Dates in the tokens that PM2's users know (day.js: <https://day.js.org/docs/en/display/format>).
//!
//! Question answered here: *what does this format make of this moment?* It reads no clock.

use std::fmt::Write;

use jiff::Zoned;

/// A format, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Token(&'static str),
}

/// Longest first where one begins as another does.
const TOKENS: [&str; 25] = [
    "YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "D", "dddd", "ddd", "dd", "d", "HH", "H", "hh", "h", "A",
    "a", "mm", "m", "ss", "s", "SSS", "ZZ", "Z",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl DateFormat {
    /// Takes a format apart. Text in brackets, and all that is no token, stands for itself.
    pub fn new(format: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            let bracketed = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
            if let Some((inner, after)) = bracketed.filter(|(inner, _)| !inner.is_empty()) {
                parts.push(Part::Literal(inner.to_owned()));
                rest = after;
            } else if let Some(token) = TOKENS.into_iter().find(|token| rest.starts_with(token)) {
                parts.push(Part::Token(token));
                rest = &rest[token.len()..];
            } else {
                parts.push(Part::Literal(first.to_string()));
                rest = &rest[first.len_utf8()..];
            }
        }
        Self(parts)
    }

    /// This moment in its own time zone.
    pub fn at(&self, time: &Zoned) -> String {
        let mut text = String::with_capacity(32);
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                // A String takes everything.
                Part::Token(token) => drop(write(&mut text, token, time)),
            }
        }
        text
    }
}

fn write(text: &mut String, token: &str, time: &Zoned) -> std::fmt::Result {
    let hour12 = if time.hour() % 12 == 0 { 12 } else { time.hour() % 12 };
    let month = MONTHS[usize::from(time.month().unsigned_abs() - 1) % MONTHS.len()];
    let day = usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs());
    let weekday = WEEKDAYS[day % WEEKDAYS.len()];
    let offset = time.offset().seconds() / 60;
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
    match token {
        "YYYY" => write!(text, "{:04}", time.year()),
        "YY" => write!(text, "{:02}", time.year().rem_euclid(100)),
        "MMMM" => text.write_str(month),
        "MMM" => text.write_str(&month[..3]),
        "MM" => write!(text, "{:02}", time.month()),
        "M" => write!(text, "{}", time.month()),
        "DD" => write!(text, "{:02}", time.day()),
        "D" => write!(text, "{}", time.day()),
        "dddd" => text.write_str(weekday),
        "ddd" => text.write_str(&weekday[..3]),
        "dd" => text.write_str(&weekday[..2]),
        "d" => write!(text, "{day}"),
        "HH" => write!(text, "{:02}", time.hour()),
        "H" => write!(text, "{}", time.hour()),
        "hh" => write!(text, "{hour12:02}"),
        "h" => write!(text, "{hour12}"),
        "A" => text.write_str(if time.hour() < 12 { "AM" } else { "PM" }),
        "a" => text.write_str(if time.hour() < 12 { "am" } else { "pm" }),
        "mm" => write!(text, "{:02}", time.minute()),
        "m" => write!(text, "{}", time.minute()),
        "ss" => write!(text, "{:02}", time.second()),
        "s" => write!(text, "{}", time.second()),
        "SSS" => write!(text, "{:03}", time.millisecond()),
        "ZZ" => write!(text, "{sign}{:02}{:02}", offset / 60, offset % 60),
        "Z" => write!(text, "{sign}{:02}:{:02}", offset / 60, offset % 60),
        literal => text.write_str(literal),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::*;

    fn at(text: &str, minutes: i32) -> Zoned {
        let zone = TimeZone::fixed(Offset::from_seconds(minutes * 60).unwrap());
        text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone).unwrap()
    }

    /// What day.js 1.11 says of the same moments.
    #[test]
    fn every_token() {
        let morning = at("2026-03-01T00:05:09.007", -210);
        let evening = at("1999-12-31T23:59:58.9", 330);
        for (format, first, second) in [
            ("YYYY-MM-DDTHH:mm:ss", "2026-03-01T00:05:09", "1999-12-31T23:59:58"),
            ("YY M D d", "26 3 1 0", "99 12 31 5"),
            ("dddd ddd dd, MMMM MMM", "Sunday Sun Su, March Mar", "Friday Fri Fr, December Dec"),
            ("H h hh a A", "0 12 12 am AM", "23 11 11 pm PM"),
            ("m s SSS", "5 9 007", "59 58 900"),
            ("Z ZZ", "-03:30 -0330", "+05:30 +0530"),
            ("[at] HH[h] é", "at 00h é", "at 23h é"),
            ("[] [unclosed Q SS", "[] [unclo9e0 Q SS", "[] [unclo58e5 Q SS"),
        ] {
            let format = DateFormat::new(format);
            assert_eq!((format.at(&morning).as_str(), format.at(&evening).as_str()), (first, second));
        }
    }
}
