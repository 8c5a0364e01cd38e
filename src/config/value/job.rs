//! How the runs of a job follow each other.

use serde_json::Value;
use supd_api::Overlap;

use super::expected;

field_type!(
    /// What becomes of a run that is due while another goes on.
    Overlapping(Overlap),
    { "enum": ["skip", "queue", "kill"] }
);

impl TryFrom<Value> for Overlapping {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("skip") => Ok(Self(Overlap::Skip)),
            Some("queue") => Ok(Self(Overlap::Queue)),
            Some("kill") => Ok(Self(Overlap::Kill)),
            _ => expected("\"skip\", \"queue\" or \"kill\"", &value),
        }
    }
}
