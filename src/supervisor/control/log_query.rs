//! The parameters of `GET /v1/logs`.

use regex::bytes::{Regex, RegexBuilder};
use supd_api::{Fault, FaultCode, Stream};

use super::routes::{parameters, unknown_parameter};
use crate::logs::{Bookmark, Wanted};
use crate::supervisor::call::{LogQuery, WhichRun};

/// Last lines shown when nothing is said, as PM2 does.
const LINES: usize = 15;
/// So many of the last lines of each file at most, when a number is said.
const LINES_MAX: usize = 1_000_000;
/// What a regular expression may take, in bytes: one of thousands of characters fits.
const REGEX_MAX: usize = 1 << 20;

/// All names.
pub(super) const NAMES: [&str; 10] =
    ["target", "lines", "follow", "stream", "grep", "since", "until", "run", "positions", "from"];

pub(super) fn log_query(query: Option<&str>) -> Result<LogQuery, Fault> {
    let mut asked =
        LogQuery { targets: Vec::new(), wanted: Wanted::default(), run: None, follow: false, stream: None };
    for (name, value) in parameters(query) {
        set(&mut asked, &name, value)?;
    }
    // Who names a span wants all of it.
    let selection = &asked.wanted.selection;
    let spans = selection.since.is_some() || selection.until.is_some() || asked.run == Some(WhichRun::This);
    asked.wanted.tail = asked.wanted.tail.or((!spans).then_some(LINES));
    Ok(asked)
}

fn set(asked: &mut LogQuery, name: &str, value: String) -> Result<(), Fault> {
    let bad = |expected: &str| {
        Fault::new(FaultCode::Invalid, format!("{name}=`{}`: expected {expected}", value.escape_debug()))
    };
    let time = || value.parse::<u64>().map(Some).map_err(|_| bad("milliseconds since the epoch"));
    let truth = || value.parse::<bool>().map_err(|_| bad("true or false"));
    let LogQuery { targets, wanted, run, follow, stream } = asked;
    match name {
        "target" => targets.push(value),
        "lines" => {
            let lines: usize = value.parse().map_err(|_| bad("a whole number"))?;
            wanted.tail = Some(lines.min(LINES_MAX));
        }
        "follow" => *follow = truth()?,
        "stream" => {
            *stream = match value.as_str() {
                "out" => Some(Stream::Out),
                "err" => Some(Stream::Err),
                _ => return Err(bad("out or err")),
            }
        }
        "grep" => wanted.selection.grep = Some(expression(&value)?),
        "since" => wanted.selection.since = time()?,
        "until" => wanted.selection.until = time()?,
        "run" => {
            *run = match value.as_str() {
                "this" => Some(WhichRun::This),
                "previous" => Some(WhichRun::Previous),
                _ => return Err(bad("this or previous")),
            }
        }
        "positions" => wanted.positions = truth()?,
        "from" => {
            let places = value.split(',').map(str::parse).collect::<Result<Vec<Bookmark>, _>>();
            wanted.from = places.map_err(|error| bad(&error.to_string()))?;
        }
        _ => return Err(unknown_parameter(name, &NAMES.join(", "))),
    }
    Ok(())
}

fn expression(text: &str) -> Result<Regex, Fault> {
    let mut builder = RegexBuilder::new(text);
    // Text is bytes: a dot is any character, and any byte that is none.
    builder.size_limit(REGEX_MAX).dfa_size_limit(REGEX_MAX);
    builder.build().map_err(|error| {
        Fault::new(FaultCode::Invalid, format!("`{}` is no regular expression: {error}", text.escape_debug()))
            .hint("a backslash makes a special character an ordinary one: `\\.`, `\\[`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let query = log_query(Some("lines=0&follow=true&stream=err")).expect("a query");
        assert_eq!((query.wanted.tail, query.follow, query.stream), (Some(0), true, Some(Stream::Err)));
        let query = log_query(Some("from=1.2.3.4,1.3.4.5&positions=true&grep=a%2B")).expect("a query");
        assert_eq!((query.wanted.from.len(), query.wanted.positions, query.wanted.tail), (2, true, Some(15)));
        assert!(query.wanted.selection.grep.is_some_and(|grep| grep.is_match(b"\xffaa")));
        for bad in ["lines=-1", "grep=(", "since=now", "run=that", "from=", "tarket=x", "stream=log"] {
            assert!(log_query(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_span_is_shown_whole_unless_a_number_is_said() {
        for (query, tail) in [
            ("since=1", None),
            ("until=1", None),
            ("run=this", None),
            ("run=previous", Some(15)),
            ("grep=x", Some(15)),
            ("since=1&lines=3", Some(3)),
            ("lines=2000000", Some(1_000_000)),
        ] {
            assert_eq!(log_query(Some(query)).expect("a query").wanted.tail, tail, "{query}");
        }
    }
}
