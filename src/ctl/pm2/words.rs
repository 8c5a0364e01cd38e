//! usage, examples, ecosystem: texts that `pm2` prints or writes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use supd_api::{Fault, FaultCode};

use crate::ctl::output::{Failure, Output};

use super::commands::{COMMANDS, Command, Verb};
use super::flags::{EVERYWHERE, Flag, Opt, Takes};
use super::line::{Line, Wrong};
use super::runtime::Program;
use super::same::SAME;

const EXAMPLE: &str = include_str!("ecosystem.config.js");
const FILE: &str = "ecosystem.config.js";

const EXAMPLES: &str = "\
  pm2 start app.js -i max                  one cluster worker per processor
  pm2 start ecosystem.config.js --env production
  pm2 start \"python3 -u worker.py\" --name worker
  pm2 reload web                           without losing a request
  pm2 scale web +2
  pm2 logs web --lines 100
  pm2 jlist | jq '.[].pm2_env.status'
  pm2 save                                 what `pm2 resurrect` brings back";

/// What is wrong with a command line, as PM2 says it.
pub(super) fn complain(wrong: &Wrong, output: &mut Output) {
    let text = match wrong {
        Wrong::UnknownCommand(_) => {
            output.complain("Command not found");
            output.note(&format!("\n{}", usage()));
            return;
        }
        Wrong::UnknownOption(option) => format!("unknown option `{option}'"),
        Wrong::MissingValue(flag) => format!("option `--{flag}' argument missing"),
        Wrong::NeedlessValue(flag) => format!("option `--{flag}' takes no value"),
        Wrong::MissingWord(word) => format!("missing required argument `{word}'"),
        Wrong::NeedlessWord(word) => format!("needless argument `{word}'"),
    };
    output.quote(&format!("\n  error: {text}\n"), &[]);
}

/// How `pm2` is used.
pub(super) fn usage() -> String {
    "usage: pm2 [options] <command>\n\n\
    pm2 -h, --help             all available commands and options\n\
    pm2 examples               display pm2 usage examples\n\
    pm2 <command> -h           help on a specific command\n\n\
    This is supd; `supctl --help` shows its own command line."
        .to_owned()
}

/// `--help`: of one command, or all there is.
pub(super) fn help(line: &Line) -> String {
    match line.command {
        Some(command) => {
            let mut text = format!("usage: pm2 {}", synopsis(command));
            for flag in command.flags.iter().chain(EVERYWHERE) {
                text.push_str(&format!("\n  {}", spelled(flag)));
            }
            text
        }
        None => {
            let here = COMMANDS.iter().filter(|command| !matches!(command.verb, Verb::Missing(_)));
            let ours = SAME.iter().map(|(name, _)| format!("  {name} …"));
            let commands: Vec<String> =
                here.map(|command| format!("  {}", synopsis(command))).chain(ours).collect();
            let flags: Vec<String> = EVERYWHERE.iter().map(|flag| format!("  {}", spelled(flag))).collect();
            format!("{}\n\ncommands:\n{}\n\noptions:\n{}", usage(), commands.join("\n"), flags.join("\n"))
        }
    }
}

/// `pm2-runtime --help`, `pm2-dev --help`.
pub(super) fn program_help(program: &Program) -> String {
    let Program { name, flags, ours } = program;
    let flags = flags.iter().chain(EVERYWHERE).map(|flag| format!("\n  {}", spelled(flag)));
    let usage = format!("usage: {name} [start] [options] <ecosystem|file> [-- arguments]");
    format!(
        "{usage}\n\nThis is supd; `supctl {ours} --help` tells the same in its own words.{}",
        flags.collect::<String>()
    )
}

fn synopsis(command: &Command) -> String {
    let names = command.names.join("|");
    match (command.words, command.least) {
        ("", _) => names,
        (words, 0) => format!("{names} [{words}...]"),
        (words, _) => format!("{names} <{words}...>"),
    }
}

fn spelled(flag: &Flag) -> String {
    let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let value = match flag.takes {
        Takes::Nothing => "",
        Takes::Value => " <value>",
        Takes::Maybe | Takes::MaybeNumber | Takes::MaybeFormat => " [value]",
        Takes::Numbers => " <numbers...>",
    };
    format!("{short}--{}{value}", flag.long)
}

/// `examples`.
pub(super) fn examples(output: &mut Output) -> Result<(), Failure> {
    Ok(output.line(EXAMPLES)?)
}

/// `ecosystem`: an example to edit. PM2 overwrites what is there; here that takes `--force`.
pub(super) fn ecosystem(line: &Line, output: &mut Output) -> Result<(), Failure> {
    let force = line.has(Opt::Force);
    let path = std::env::current_dir().unwrap_or_default().join(Path::new(FILE));
    OpenOptions::new()
        .write(true)
        .create(force)
        .truncate(force)
        .create_new(!force)
        .open(&path)
        .and_then(|mut file| file.write_all(EXAMPLE.as_bytes()))
        .map_err(|error| {
            Fault::new(FaultCode::Failed, format!("{}: {error}", path.display()))
                .hint("--force overwrites it")
        })?;
    Ok(output.say(format!("File {} generated", path.display()))?)
}
