//! What was found, and how it is told.

use serde::Serialize;
use serde_json::{Value, json};

use crate::ctl::cells::harmless;
use crate::ctl::output::{Failure, Output};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Ok,
    /// The next boot brings everything back, but something else is not as it should be.
    Warning,
    /// The next boot would not bring everything back.
    Failure,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: `unit`, `program`, `port`, …
    check: &'static str,
    /// Whose: an app, or `supd`.
    subject: String,
    outcome: Outcome,
    message: String,
    /// What to do about it.
    remedy: Option<String>,
}

/// All checks.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn ok(&mut self, check: &'static str, subject: &str, message: impl Into<String>) {
        self.add(check, subject, Outcome::Ok, message.into(), None);
    }

    pub(crate) fn warning(
        &mut self,
        check: &'static str,
        subject: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, subject, Outcome::Warning, message.into(), Some(remedy.into()));
    }

    pub(crate) fn failure(
        &mut self,
        check: &'static str,
        subject: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, subject, Outcome::Failure, message.into(), Some(remedy.into()));
    }

    fn add(
        &mut self,
        check: &'static str,
        subject: &str,
        outcome: Outcome,
        message: String,
        remedy: Option<String>,
    ) {
        self.0.push(Finding { check, subject: subject.to_owned(), outcome, message, remedy });
    }

    /// How many of them failed.
    pub(crate) fn failures(&self) -> usize {
        self.count(Outcome::Failure)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|finding| finding.outcome == outcome).count()
    }

    /// All of it, for programs.
    pub(crate) fn json(&self) -> Value {
        json!({ "checks": self.0, "failures": self.failures(), "warnings": self.count(Outcome::Warning) })
    }

    /// Tells all of it; when silent, only what is not well.
    ///
    /// # Errors
    /// Those of standard output.
    pub(crate) fn tell(&self, output: &mut Output) -> Result<(), Failure> {
        if output.style.json {
            return Ok(output.json(&self.json())?);
        }
        let (failures, warnings) = (self.failures(), self.count(Outcome::Warning));
        for finding in &self.0 {
            let Finding { check, subject, outcome, message, remedy } = finding;
            let word = match outcome {
                Outcome::Ok if output.style.silent => continue,
                Outcome::Ok => "ok",
                Outcome::Warning => "warning",
                Outcome::Failure => "FAILURE",
            };
            output.line(format!("{word:<8} {}: {check}: {}", harmless(subject), harmless(message)))?;
            if let Some(remedy) = remedy {
                output.line(format!("         remedy: {}", harmless(remedy)))?;
            }
        }
        let verdict =
            if failures == 0 { "the next boot brings everything back" } else { "not all of it comes back" };
        output.say(format!(
            "checks: {}, failures: {failures}, warnings: {warnings}; {verdict}",
            self.0.len()
        ))?;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(&self, check: &str) -> Vec<(Outcome, String)> {
        let of_it = self.0.iter().filter(|finding| finding.check == check);
        of_it
            .map(|finding| {
                let remedy =
                    finding.remedy.as_ref().map(|remedy| format!(" => {remedy}")).unwrap_or_default();
                (finding.outcome, format!("{}: {}{remedy}", finding.subject, finding.message))
            })
            .collect()
    }
}
