//! Words of the commands about the daemon, its files and the machine.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DAEMON_LOG_EXAMPLES, Selection};

/// `daemon …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Show the log of the daemon itself, wherever it is, also when none runs
    #[command(visible_alias = "log", after_help = DAEMON_LOG_EXAMPLES)]
    Logs(DaemonLogArgs),
}

/// `daemon logs`.
#[derive(Debug, Args)]
pub(crate) struct DaemonLogArgs {
    /// How many of the last lines to show [default: 15]
    #[arg(long, value_name = "N")]
    pub(crate) lines: Option<u32>,
    /// Show the last lines and end (the default)
    #[arg(long, overrides_with = "follow")]
    pub(crate) nostream: bool,
    /// Show what comes, too
    #[arg(short, long, overrides_with = "nostream")]
    pub(crate) follow: bool,
}

/// `upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// The new supd [default: the one beside supctl]
    #[arg(value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
}

/// `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Declaration file, or `-` [default: as `supctl start` finds it]
    pub(crate) file: Option<String>,
    /// Print the JSON schema of declaration files
    #[arg(long, conflicts_with = "file")]
    pub(crate) schema: bool,
    /// How the file is read.
    #[command(flatten)]
    pub(crate) selection: Selection,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write it
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Overwrite an existing file
    #[arg(long)]
    pub(crate) force: bool,
}

/// `startup`.
#[derive(Debug, Args)]
pub(crate) struct StartupArgs {
    /// Whose daemon.
    #[command(flatten)]
    pub(crate) boot: BootArgs,
    /// Restart daemon and apps if systemd cannot take over what runs
    #[arg(long)]
    pub(crate) now: bool,
    /// Overwrite a unit that supctl did not write
    #[arg(long)]
    pub(crate) force: bool,
}

/// `unstartup`, and what it shares with `startup`.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    /// What starts this machine's services; only `systemd` is supported [default: found out]
    #[arg(value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,
    /// The user whose daemon it is [default: you]
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// The user's home directory; the daemon's is `.supd` in it
    #[arg(long, value_name = "DIR", conflicts_with = "home")]
    pub(crate) hp: Option<PathBuf>,
    /// Name of the unit [default: supd, or supd-USER for another user's daemon]
    #[arg(long, value_name = "NAME")]
    pub(crate) service_name: Option<String>,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// bash, zsh, fish, elvish or powershell
    pub(crate) shell: clap_complete::Shell,
}

/// `pm2-link`.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// Where to make them [default: the directory of supctl]
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
