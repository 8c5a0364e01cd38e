//! dev: as `runtime`, for somebody who works on the apps.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::start;
use crate::ctl::args::StartArgs;
use crate::ctl::develop::Dev;
use crate::ctl::foreground::Foreground;
use crate::ctl::home;
use crate::ctl::output::{Failure, Output};

/// For its help.
pub(crate) const EXAMPLES: &str = "\
Every app is watched, and a change of its files brings new processes. One that crashes is started again after a growing while, one that
ended or was given up at the next change. Ctrl-C stops all apps. It is a daemon of its own in ~/.supd-dev, unless --home or SUPD_HOME
says otherwise.

Examples:
  supctl dev app.js
  supctl dev ecosystem.toml --only web --env development --ignore dist,public
  supctl dev \"python3 -u app.py\" --no-autorestart
  supctl dev app.js --post-exec 'curl -s localhost:3000/healthz'";

/// `dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// How it is worked on.
    #[command(flatten)]
    dev: Dev,
    /// What is to run. Last, so that the flags above are not listed under what concerns files.
    #[command(flatten)]
    start: StartArgs,
}

/// `dev`.
pub(crate) fn dev(args: DevArgs, home: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let apps = start::declare_all(args.start, output)?;
    let runtime = args.dev.runtime(apps, output)?;
    Foreground { home: home::find_for_development(home)?, runtime, delay: Duration::ZERO }.become_it(output)
}
