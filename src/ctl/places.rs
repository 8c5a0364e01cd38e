//! Up to where has a reader read each log, so that it can go on there when its connection has ended?

use std::collections::BTreeMap;

use supd_api::LogLine;

/// What the daemon takes as the head of a request leaves room for the rest.
const PLACES_MAX: usize = 12 << 10;

/// The latest place in each log, by its path.
#[derive(Debug, Default)]
pub(crate) struct Places(BTreeMap<String, String>);

impl Places {
    /// Takes note of a place. `false`: it is none, but for the person.
    pub(crate) fn heed(&mut self, line: &LogLine) -> bool {
        match line {
            LogLine::Position { path, place } => {
                self.0.insert(path.clone(), place.clone());
                true
            }
            LogLine::File { .. }
            | LogLine::Line { .. }
            | LogLine::Undated { .. }
            | LogLine::Gap { .. }
            | LogLine::Missed { .. } => false,
        }
    }

    /// The value of `from`; `None`: there is no place yet, or there are too many for a request.
    pub(crate) fn query(&self) -> Option<String> {
        let places = self.0.values().map(String::as_str).collect::<Vec<_>>().join(",");
        (1..=PLACES_MAX).contains(&places.len()).then_some(places)
    }
}
