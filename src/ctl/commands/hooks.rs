//! hooks: who is told of trouble, and whether a word arrives.

use clap::Subcommand;
use serde_json::json;
use supd_api::{Accepted, HookView};

use crate::ctl::client::escape;
use crate::ctl::output::Failure;
use crate::ctl::{Session, table};

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Send a test to a hook and tell whether it was taken
    #[command(after_help = "Examples:\n  supctl hooks test ops")]
    Test {
        /// The hook's name
        name: String,
    },
}

/// `hooks`.
pub(crate) async fn hooks(command: Option<Command>, session: &mut Session) -> Result<(), Failure> {
    match command {
        None => list(session).await,
        Some(Command::Test { name }) => test(&name, session).await,
    }
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    let hooks: Vec<HookView> = session.client.get("/v1/hooks").await?;
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&hooks)?);
    }
    if hooks.is_empty() {
        return Ok(output.say("there is no hook; `supctl set supd:hook.NAME 'KIND WHERE'` makes one")?);
    }
    let of = |hook: &HookView| hook.apps.as_ref().map_or("all apps".to_owned(), |apps| apps.join(", "));
    let rows: Vec<(&str, String)> =
        hooks.iter().map(|hook| (hook.name.as_str(), format!("{}, {}", hook.kind, of(hook)))).collect();
    Ok(output.line(table::pairs(&rows, output.style))?)
}

async fn test(name: &str, session: &mut Session) -> Result<(), Failure> {
    let path = format!("/v1/hooks/{}/test", escape(name));
    let accepted: Accepted = session.client.post(&path, &json!({})).await?;
    if session.output.style.json {
        session.output.json(&accepted)?;
    }
    Ok(session.output.say(format!("{name} has taken the test"))?)
}
