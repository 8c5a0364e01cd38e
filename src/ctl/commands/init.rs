//! init and completions: texts that a user keeps.

use std::fs::OpenOptions;
use std::io::{self, Write};

use clap::CommandFactory;
use serde_json::json;
use supd_api::{Fault, FaultCode};

use crate::config;
use crate::ctl::args::{Cli, CompletionArgs, InitArgs};
use crate::ctl::output::{Failure, Output};

/// `init`: never overwrites unless told to.
pub(crate) fn init(args: &InitArgs, output: &mut Output) -> Result<(), Failure> {
    let file = args.directory.join("ecosystem.toml");
    let shown = file.display();
    OpenOptions::new()
        .write(true)
        .create(args.force)
        .truncate(args.force)
        .create_new(!args.force)
        .open(&file)
        .and_then(|mut file| file.write_all(config::sample().as_bytes()))
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Fault::new(FaultCode::Conflict, format!("{shown} exists already"))
                    .hint("--force overwrites it")
            }
            io::ErrorKind::PermissionDenied => Fault::new(FaultCode::Forbidden, format!("{shown}: {error}")),
            _ => Fault::new(FaultCode::Failed, format!("{shown}: {error}")),
        })?;
    if output.style.json {
        return Ok(output.json(&json!({ "file": file }))?);
    }
    Ok(output.say(format!("wrote {shown}: edit it, then `supctl start`"))?)
}

/// `completions`.
pub(crate) fn completions(args: &CompletionArgs, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "supctl", &mut script);
    Ok(output.bytes(&script)?)
}
