//! `supctl`: what does a person or a script at the command line want, and what is it told?
//!
//! The client of the control API. It decides nothing about processes and shares nothing with the supervisor but the
//! types of `supd-api`; declarations are read here, as the calling user.

mod args;
mod boot;
mod cells;
mod client;
mod commands;
mod declare;
mod deploy;
mod develop;
mod difference;
mod events;
#[cfg(test)]
mod fake;
mod fields;
mod follow;
mod foreground;
mod home;
mod ink;
mod jlist;
mod job;
mod last_lines;
mod launch;
mod log_args;
mod logs;
mod migrate;
mod monit;
mod order;
mod output;
mod own_log;
mod places;
mod pm2;
mod policy;
mod progress;
mod table;
mod why;

use std::process::ExitCode;

use clap::Parser;
use supd_api::{Fault, FaultCode};

use crate::config::FILE_SERVER;
use args::{Cli, Command, DaemonCommand, Global, StartupArgs};
use client::Client;
use commands::{
    act, apply, check, daemon, describe, dev, env, hooks, ids, init, list, reload, report, runtime, serve,
    settings, start, talk, upgrade,
};
use commands::{events as event_command, logs as log_command, run as run_command, why as why_command};
use launch::Launcher;
use migrate::args::MigrateCommand;
use output::{Failure, Output, Style};
use pm2::Personality;

/// What a command that talks to the daemon works with.
pub(crate) struct Session {
    client: Client,
    output: Output,
}

/// Runs `supctl` with the arguments, streams and environment of this process; under the name `pm2` it is PM2.
///
/// A wrong command line ends the process with code 2, `--help` and `--version` with 0.
pub fn run() -> ExitCode {
    // What a worker of `serve` runs is no command for people.
    if std::env::args_os().nth(1).is_some_and(|word| word == FILE_SERVER) {
        return crate::serve::run();
    }
    match Personality::of(std::env::args_os().next().as_deref()) {
        Personality::Supctl => {}
        Personality::Pm2 => return pm2::run(),
        Personality::Runtime => return pm2::run_runtime(),
        Personality::Dev => return pm2::run_dev(),
    }
    carry_out(Cli::parse())
}

/// Does what a command line of supctl says.
fn carry_out(cli: Cli) -> ExitCode {
    let Cli { global, command, .. } = cli;
    let mut output = Output::process(Style::detect(&global));
    let done = match command {
        Command::Check(args) => check::check(&args, &mut output),
        Command::Init(args) => init::init(&args, &mut output),
        Command::Deploy(args) => deploy::deploy(&args, &mut output),
        Command::Completions(args) => init::completions(&args, &mut output),
        Command::Pm2Link(args) => pm2::link::link(args.directory.as_deref(), &mut output),
        Command::Runtime(args) => runtime::runtime(*args, global.home.as_deref(), &mut output),
        Command::Dev(args) => dev::dev(*args, global.home.as_deref(), &mut output),
        Command::Migrate(MigrateCommand::Pm2(args)) if !args.live => migrate::migrate(&args, &mut output),
        command => return online(command, &global, output),
    };
    ExitCode::from(code(done, &mut output))
}

fn online(command: Command, global: &Global, mut output: Output) -> ExitCode {
    let launcher = match command {
        Command::Kill | Command::Version | Command::Daemon(_) => None,
        Command::Startup(_) | Command::Unstartup(_) | Command::Doctor | Command::Report => None,
        _ => Some(Launcher::new(!global.silent)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let home = match &command {
        Command::Startup(StartupArgs { boot: args, .. }) | Command::Unstartup(args) => {
            boot::home(args, global.home.as_deref())
        }
        _ => home::find(global.home.as_deref()),
    };
    let started = home.and_then(|home| match runtime {
        Ok(runtime) => Ok((home, runtime)),
        Err(error) => Err(Fault::new(FaultCode::Internal, format!("no event loop: {error}"))),
    });
    let (home, runtime) = match started {
        Ok(started) => started,
        Err(fault) => return ExitCode::from(output.failure(fault.into())),
    };
    let mut session = Session { client: Client::new(home, launcher), output };
    let done = runtime.block_on(dispatch(command, &mut session));
    ExitCode::from(code(done, &mut session.output))
}

/// Carries a command out.
async fn dispatch(command: Command, session: &mut Session) -> Result<(), Failure> {
    match command {
        Command::Start(args) => start::start(*args, session).await,
        Command::Stop(args) => act::stop(args, session).await,
        Command::Restart(args) => act::restart(args, session).await,
        Command::Reload(args) => reload::reload(args, session).await,
        Command::Run(args) => run_command::run(args, session).await,
        Command::Diff(args) => apply::diff(args, session).await,
        Command::Apply(args) => apply::apply(args, session).await,
        Command::Rollback(args) => reload::rollback(args, session).await,
        Command::Delete(args) => act::delete(args, session).await,
        Command::Scale(args) => act::scale(&args, session).await,
        Command::Signal(args) => act::signal(args, session).await,
        Command::Send(args) => talk::send(args, session).await,
        Command::Attach(args) => talk::attach(args, session).await,
        Command::Message(args) => talk::message(args, session).await,
        Command::Trigger(args) => talk::trigger(args, session).await,
        Command::Flush(args) => act::flush(args, session).await,
        Command::ReloadLogs => act::reload_logs(session).await,
        Command::List => list::list(session).await,
        Command::Monit => monit::monit(session).await,
        Command::Jlist => list::jlist(session).await,
        Command::Describe(args) => describe::describe(&args.targets, session).await,
        Command::Why(args) => why_command::why(&args.targets, session).await,
        Command::Events(args) => event_command::events(&args, session).await,
        Command::Logs(args) => log_command::logs(&args, session).await,
        Command::Env(args) => env::env(args.target, session).await,
        Command::Id(args) => ids::ids(args.target, session).await,
        Command::Pid(args) => ids::pids(&args.targets, session).await,
        Command::Ping => daemon::ping(session).await,
        Command::Daemon(DaemonCommand::Logs(args)) => own_log::show(&args, session).await,
        Command::Kill => daemon::kill(session).await,
        Command::Upgrade(args) => upgrade::upgrade(&args, session).await,
        Command::Version => daemon::version(session).await,
        Command::Serve(args) => serve::serve(*args, session).await,
        Command::Hooks { command } => hooks::hooks(command, session).await,
        Command::Settings(command) => settings::settings(command, session).await,
        Command::Startup(args) => boot::startup(&args, session).await,
        Command::Unstartup(args) => boot::unstartup(&args, session),
        Command::Report => report::report(session).await,
        Command::Doctor => boot::doctor(session).await,
        Command::Check(args) => check::check(&args, &mut session.output),
        Command::Deploy(args) => deploy::deploy(&args, &mut session.output),
        Command::Init(args) => init::init(&args, &mut session.output),
        Command::Completions(args) => init::completions(&args, &mut session.output),
        Command::Pm2Link(args) => pm2::link::link(args.directory.as_deref(), &mut session.output),
        Command::Runtime(args) => {
            runtime::runtime(*args, Some(session.client.home().path()), &mut session.output)
        }
        Command::Dev(args) => dev::dev(*args, Some(session.client.home().path()), &mut session.output),
        Command::Migrate(MigrateCommand::Pm2(args)) if args.live => migrate::live(&args, session).await,
        Command::Migrate(MigrateCommand::Pm2(args)) => migrate::migrate(&args, &mut session.output),
    }
}

fn code(done: Result<(), Failure>, output: &mut Output) -> u8 {
    match done.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => 0,
        Err(failure) => output.failure(failure),
    }
}

#[cfg(test)]
mod tests;
