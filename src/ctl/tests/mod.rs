//! Whole commands against a fake daemon: what is asked, what is printed, which code results.

mod arguments;
mod boot;
mod breaking;
mod document;
mod launching;
mod orders;
mod queries;
mod reloads;
mod settings;
mod upgrading;

use super::fake::Answers;
use serde_json::{Value, json};

/// Answers with status 200.
fn ok<const N: usize>(answers: [(&'static str, Value); N]) -> Answers {
    answers.into_iter().map(|(line, body)| (line, (200, body.to_string()))).collect()
}

/// Adds a fault.
fn refusing(mut answers: Answers, line: &'static str, status: u16, code: &str, message: &str) -> Answers {
    // As the daemon answers when it knows a name like that.
    let hint = (status == 404).then_some("did you mean `web`?");
    answers.insert(line, (status, json!({ "code": code, "message": message, "hint": hint }).to_string()));
    answers
}
