//! Words of the commands that talk to workers and listen to them.

use clap::Args;
use supd_api::{MessageRequest, Millis};

use super::{OptionalTargets, TargetArgs, span};

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    /// Of which.
    #[command(flatten)]
    pub(crate) of: OptionalTargets,
    /// How many of the last ones to show first [default: 15; all with --nostream]
    #[arg(long, value_name = "N")]
    pub(crate) lines: Option<u32>,
    /// Show what is remembered and end
    #[arg(long, overrides_with = "follow")]
    pub(crate) nostream: bool,
    /// Follow (the default)
    #[arg(short, long, overrides_with = "nostream")]
    pub(crate) follow: bool,
}

/// `signal`.
#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    /// SIGUSR2, USR2 or 12
    pub(crate) signal: String,
    /// To which.
    #[command(flatten)]
    pub(crate) to: TargetArgs,
}

/// `send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Name, id, namespace, /regex/ or `all`
    pub(crate) target: String,
    /// What is written, with a newline after it
    pub(crate) text: String,
}

/// `attach`.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Id, or the name of an app with one worker
    #[arg(value_name = "ID|NAME")]
    pub(crate) target: String,
    /// What goes to the worker at the end of each line [default: a newline]
    #[arg(long, value_name = "TEXT")]
    pub(crate) separator: Option<String>,
}

/// `message`.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// Name, id, namespace, /regex/ or `all`
    pub(crate) target: String,
    /// Its `data`: a JSON document; anything else is a text
    pub(crate) data: String,
    /// Its `type`
    #[arg(long = "type", value_name = "TYPE", default_value = MessageRequest::KIND)]
    pub(crate) kind: String,
    /// Its `topic` [default: true]
    #[arg(long)]
    pub(crate) topic: Option<String>,
}

/// `trigger`.
#[derive(Debug, Args)]
pub(crate) struct TriggerArgs {
    /// Name, id, namespace, /regex/ or `all`
    pub(crate) target: String,
    /// The name of the action
    pub(crate) action: String,
    /// Its parameter, as a text
    pub(crate) params: Option<String>,
    /// How long a reply may take: 10s, 500ms, 2m [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) timeout: Option<Millis>,
}
