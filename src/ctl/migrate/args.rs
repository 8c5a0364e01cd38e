//! Which flags does `migrate` take?

use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
A PM2 that runs is asked for its list; otherwise its dump is read. Nothing that PM2 has is changed without --live.

Examples:
  supctl migrate pm2                        show the plan, write ecosystem.toml here
  supctl migrate pm2 --only web --out /srv/web
  supctl migrate pm2 --live                 then move app by app, with the ecosystem.toml written before
  supctl migrate pm2 --from dump.pm2.bak --json";

/// `migrate …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrateCommand {
    /// Declare the apps of PM2 in an ecosystem.toml, and move them over with --live
    #[command(after_help = EXAMPLES)]
    Pm2(MigrateArgs),
}

/// `migrate pm2`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// A dump of PM2's, or what `pm2 jlist` printed [default: the list of the PM2 that runs, else its dump]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pm2_home", "pm2", "live"])]
    pub(crate) from: Option<PathBuf>,
    /// PM2's directory [default: $PM2_HOME, else ~/.pm2]
    #[arg(long, value_name = "DIR")]
    pub(crate) pm2_home: Option<PathBuf>,
    /// PM2 itself [default: the pm2 in PATH that is not a link to supctl]
    #[arg(long, value_name = "PATH")]
    pub(crate) pm2: Option<PathBuf>,
    /// Where to write ecosystem.toml and the files with secrets
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// Only these apps of PM2's
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Overwrite existing files
    #[arg(long)]
    pub(crate) force: bool,
    /// Move the apps: start each here, wait until it is ready, stop it there; back on failure
    #[arg(long)]
    pub(crate) live: bool,
    /// With --live: have PM2 save that the moved apps are stopped (`pm2 save`)
    #[arg(long, requires = "live")]
    pub(crate) yes: bool,
}
