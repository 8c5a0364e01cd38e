//! What does a script, or a hand, that knows PM2 want, and what is it told? `supctl` under the name `pm2`: PM2's command line in, PM2's
//! shapes out, on the client, the configuration and the daemon of supctl. It may not speak to the daemon otherwise.

mod act;
mod change;
mod commands;
mod daemon;
mod describe;
mod dump;
mod files;
mod flags;
mod inspect;
mod line;
pub(crate) mod link;
mod list;
mod logs;
mod names;
mod query;
mod runtime;
mod same;
mod start;
mod talk;
mod targets;
mod voice;
mod words;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use supd_api::{Fault, FaultCode};

use super::Session;
use super::args::Global;
use super::client::Client;
use super::home;
use super::launch::Launcher;
use super::output::{Failure, Output, Style};

use act::Action;
use commands::Verb;
use flags::Opt;
use line::Line;

/// Who is asked for, by the name under which the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Personality {
    /// `supctl` itself.
    Supctl,
    /// `pm2`.
    Pm2,
    /// `pm2-runtime`, or `pm2-docker`.
    Runtime,
    /// `pm2-dev`.
    Dev,
}

impl Personality {
    /// The file name of argument 0 decides.
    pub(crate) fn of(program: Option<&OsStr>) -> Self {
        let name = program.and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str);
        match link::NAMES.iter().find(|known| Some(**known) == name) {
            None => Self::Supctl,
            Some(&"pm2") => Self::Pm2,
            Some(&"pm2-dev") => Self::Dev,
            Some(_) => Self::Runtime,
        }
    }
}

/// Runs `pm2-runtime`.
pub(crate) fn run_runtime() -> ExitCode {
    runtime::run(&runtime::RUNTIME)
}

/// Runs `pm2-dev`.
pub(crate) fn run_dev() -> ExitCode {
    runtime::run(&runtime::DEV)
}

/// Runs `pm2` with the arguments, streams and environment of this process. It fails with code 1.
pub(crate) fn run() -> ExitCode {
    let arguments = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let arguments: Vec<String> = arguments.collect();
    if let Some(words) = same::in_our_words(&arguments) {
        return same::run(words);
    }
    let parsed = line::parse(arguments);
    let mut output = Output::process(style(parsed.as_ref().ok()));
    match parsed {
        Ok(line) => ExitCode::from(carry_out(&line, output)),
        Err(wrong) => {
            words::complain(&wrong, &mut output);
            ExitCode::FAILURE
        }
    }
}

fn style(line: Option<&Line>) -> Style {
    let given = |option| line.is_some_and(|line| line.has(option));
    let silenced = env::var_os("PM2_SILENT").is_some_and(|value| !value.is_empty() && value != "false");
    Style::detect(&Global {
        silent: silenced || given(Opt::Silent),
        no_color: given(Opt::NoColor),
        ..Global::default()
    })
}

fn carry_out(line: &Line, mut output: Output) -> u8 {
    let done = match line.command.map(|command| command.verb) {
        _ if line.has(Opt::Version) => output.line(env!("CARGO_PKG_VERSION")).map_err(Failure::from),
        _ if line.has(Opt::Help) => output.line(words::help(line)).map_err(Failure::from),
        None => {
            let told = output.line(words::usage()).map_err(Failure::from);
            told.and(Err(Failure::Told(FaultCode::Invalid)))
        }
        Some(Verb::Missing(why)) => {
            let name = line.command.map_or("", |command| command.names[0]);
            Err(Fault::new(FaultCode::NotFound, format!("`pm2 {name}`: {why}")).into())
        }
        Some(Verb::Examples) => words::examples(&mut output),
        Some(Verb::Ecosystem) => words::ecosystem(line, &mut output),
        Some(verb) => return online(verb, line, output),
    };
    voice::end(done, &mut output)
}

/// The daemon that a script means by `PM2_HOME` is one of its own.
fn pm2_home() -> Option<OsString> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    set("PM2_HOME").filter(|_| set("SUPD_HOME").is_none())
}

fn online(verb: Verb, line: &Line, mut output: Output) -> u8 {
    for (flag, why) in line.without() {
        output.warn(&format!("--{flag} has no effect: {why}"));
    }
    let launcher = Launcher::new(!output.style.silent);
    let given = pm2_home();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(FaultCode::Internal, format!("no event loop: {error}")));
    match home::find(given.as_deref().map(Path::new)).and_then(|home| Ok((home, runtime?))) {
        Ok((home, runtime)) => {
            let mut session = Session { client: Client::new(home, Some(launcher)), output };
            let done = runtime.block_on(dispatch(verb, line, &mut session));
            names::link(session.client.home(), given.is_some(), &mut session.output);
            voice::end(done, &mut session.output)
        }
        Err(fault) => voice::end(Err(fault.into()), &mut output),
    }
}

/// Carries a command out.
async fn dispatch(verb: Verb, line: &Line, session: &mut Session) -> Result<(), Failure> {
    match verb {
        Verb::Start => start::start(line, session).await,
        Verb::Stop => act::act(Action::Stop, line, session).await,
        Verb::Restart | Verb::StartOrRestart => act::act(Action::Restart, line, session).await,
        Verb::Reload | Verb::StartOrReload => act::act(Action::Reload, line, session).await,
        Verb::Delete => act::act(Action::Delete, line, session).await,
        Verb::Scale => act::scale(line, session).await,
        Verb::Reset => act::reset(line, session).await,
        Verb::Attach => talk::attach(line, session).await,
        Verb::Send => talk::send(line, session).await,
        Verb::Trigger => talk::trigger(line, session).await,
        Verb::SendSignal => daemon::send_signal(line, session).await,
        Verb::Kill => daemon::kill(session).await,
        Verb::Update => daemon::update(session).await,
        Verb::Flush => daemon::flush(line, session).await,
        Verb::ReloadLogs => daemon::reload_logs(session).await,
        Verb::Save => dump::save(line, session).await,
        Verb::ClearDump => dump::clear(session),
        Verb::Resurrect => dump::resurrect(line, session).await,
        Verb::Ping => query::ping(session).await,
        Verb::List => query::list(line, session).await,
        Verb::Jlist => query::jlist(line, session).await,
        Verb::Prettylist => query::prettylist(line, session).await,
        Verb::Id => query::ids(line, session).await,
        Verb::Pid => query::pids(line, session).await,
        Verb::Env => query::env(line, session).await,
        Verb::Report => query::report(line, session).await,
        Verb::Describe => describe::describe(line, session).await,
        Verb::Logs => logs::logs(line, session).await,
        Verb::Examples => words::examples(&mut session.output),
        Verb::Ecosystem => words::ecosystem(line, &mut session.output),
        Verb::Missing(why) => Err(Fault::new(FaultCode::NotFound, why).into()),
    }
}

#[cfg(test)]
mod tests;
