//! The flags of `run`.

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Exits with the code of the job, 124 when it took too long, 128 and the number of the signal that ended it.
While another run goes on, the job's `overlap` says what becomes of this one.

Examples:
  supctl run backup
  supctl run backup --no-wait     return at once; `supctl events backup` shows how it goes";

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Name or id of a job: an app with `[apps.job]`
    #[arg(value_name = "JOB")]
    pub(crate) target: String,
    /// Return when it was asked for; `supctl events` shows how it goes
    #[arg(long)]
    pub(crate) no_wait: bool,
}
