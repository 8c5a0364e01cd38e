//! runtime: this process becomes the daemon of these apps and ends with them, as in a container.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use supd_api::{Millis, Runtime, StdoutForm};

use super::start;
use crate::ctl::args::{StartArgs, span};
use crate::ctl::foreground::Foreground;
use crate::ctl::home;
use crate::ctl::output::{Failure, Output};

/// For its help.
pub(crate) const EXAMPLES: &str = "\
Standard output and error of the apps are this command's, supd's own log is on standard error. SIGTERM and SIGINT stop all
apps and end it with 0; when all apps have ended, it ends with the code of the first that failed.

Examples:
  supctl runtime app.js -i max
  supctl runtime ecosystem.toml --only web --env production
  supctl runtime \"python3 -u worker.py\" --no-autorestart --logs json
  CMD [\"supctl\", \"runtime\", \"ecosystem.toml\"]     in a Dockerfile";

/// `runtime`.
#[derive(Debug, Args)]
pub(crate) struct RuntimeArgs {
    /// What lines of apps look like on standard output and error [default: raw; json with --json]
    #[arg(long, value_name = "FORM")]
    logs: Option<Lines>,
    /// Stay when all apps have ended
    #[arg(long)]
    no_auto_exit: bool,
    /// Wait before anything is started: 10s, 500ms, 2m
    #[arg(long, value_name = "DURATION", value_parser = span)]
    delay: Option<Millis>,
    /// What is to run. Last, so that the flags above are not listed under what concerns files.
    #[command(flatten)]
    start: StartArgs,
}

/// `--logs`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lines {
    /// As they are
    Raw,
    /// After `id|name | `
    Prefixed,
    /// Objects
    Json,
    /// timestamp=… app=… id=… type=… message=…
    Format,
}

/// `runtime`.
pub(crate) fn runtime(args: RuntimeArgs, home: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let RuntimeArgs { logs, no_auto_exit, delay, start } = args;
    let apps = start::declare_all(start, output)?;
    let lines = match logs {
        None if output.style.json => StdoutForm::Json,
        None | Some(Lines::Raw) => StdoutForm::Raw,
        Some(Lines::Prefixed) => StdoutForm::Prefixed,
        Some(Lines::Json) => StdoutForm::Json,
        Some(Lines::Format) => StdoutForm::Format,
    };
    let foreground = Foreground {
        home: home::find_writable(home)?,
        runtime: Runtime { apps, auto_exit: !no_auto_exit, lines, files: false },
        delay: delay.map_or(Duration::ZERO, Millis::duration),
    };
    foreground.become_it(output)
}
