//! What went wrong, in words and in a number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every refusal and failure a client can meet. The list is closed: scripts may rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// It was tried and did not work: a worker did not come up, a file could not be written.
    Failed,
    /// No such app, worker or namespace.
    NotFound,
    /// The declaration or the request is not valid.
    Invalid,
    /// It does not fit the present state: already running, port taken, another client was faster.
    Conflict,
    /// The caller may not do that.
    Forbidden,
    /// No daemon answers, or the connection broke.
    Unreachable,
    /// The limit on size, count or time was reached.
    Limit,
    /// A defect of supd itself.
    Internal,
}

impl FaultCode {
    /// All of them, for documentation and tests.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::NotFound,
        Self::Invalid,
        Self::Conflict,
        Self::Forbidden,
        Self::Unreachable,
        Self::Limit,
        Self::Internal,
    ];

    /// Exit code of `supctl`. 0 is success and 2 a wrong command line.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::NotFound => 3,
            Self::Invalid => 4,
            Self::Conflict => 5,
            Self::Forbidden => 6,
            Self::Unreachable => 7,
            Self::Limit => 8,
            Self::Internal => 70,
        }
    }

    /// HTTP status of the reply.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Failed | Self::Internal => 500,
            Self::NotFound => 404,
            Self::Invalid => 400,
            Self::Conflict => 409,
            Self::Forbidden => 403,
            Self::Unreachable => 503,
            Self::Limit => 429,
        }
    }
}

/// A refusal or failure: what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For programs.
    pub code: FaultCode,
    /// For people: names the thing and the place.
    pub message: String,
    /// The remedy, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a remedy.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_leave_room_for_usage() {
        let mut codes: Vec<_> = FaultCode::ALL.iter().map(|code| code.exit_code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), FaultCode::ALL.len());
        assert!(!codes.contains(&0) && !codes.contains(&2));
    }
}
