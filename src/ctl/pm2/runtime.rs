//! `pm2-runtime`, `pm2-docker`, `pm2-dev`, and `pm2 start --no-daemon`: this process becomes the daemon, by the way of `supctl runtime` and
//! `supctl dev`.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use supd_api::{AppDeclaration, Fault, FaultCode, Runtime, StdoutForm};

use crate::config;
use crate::ctl::client::Client;
use crate::ctl::develop::{Dev, STAMP};
use crate::ctl::foreground::Foreground;
use crate::ctl::output::{Failure, Output};
use crate::ctl::{Session, declare, home};

use super::flags::{self, Flag, Opt};
use super::line::{self, Line, Wrong};
use super::{files, pm2_home, start, style, voice, words};

/// One of PM2's programs that stay in the foreground.
#[derive(Debug)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// Its flags, beside those of an app.
    pub(super) flags: &'static [Flag],
    /// The command of supctl's that is it.
    pub(super) ours: &'static str,
}

/// `pm2-runtime`, and `pm2-docker`.
pub(super) const RUNTIME: Program = Program { name: "pm2-runtime", flags: flags::RUNTIME, ours: "runtime" };

/// `pm2-dev`.
pub(super) const DEV: Program = Program { name: "pm2-dev", flags: flags::DEV, ours: "dev" };

/// Runs it with the arguments, streams and environment of this process. Other than `pm2` it fails with supctl's codes: a
/// container has nothing else to tell why it did not start.
pub(super) fn run(program: &Program) -> ExitCode {
    let arguments = env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let parsed = parse(program, arguments);
    let mut output = Output::process(style(parsed.as_ref().ok()));
    let line = match parsed {
        Ok(line) => line,
        Err(wrong) => {
            words::complain(&wrong, &mut output);
            return ExitCode::FAILURE;
        }
    };
    let done = carry_out(program, &line, &mut output);
    let code = match &done {
        Err(Failure::Fault(fault)) => fault.code.exit_code(),
        Ok(()) | Err(_) => 1,
    };
    ExitCode::from(if voice::end(done, &mut output) == 0 { 0 } else { code })
}

/// The one command, `start`, need not be named.
fn parse(program: &Program, arguments: impl Iterator<Item = String>) -> Result<Line, Wrong> {
    let mut arguments = arguments.peekable();
    let _ = arguments.next_if(|first| first == "start");
    let mut line = line::parse_leniently(program.flags, ["start".to_owned()].into_iter().chain(arguments))?;
    if line.words.first().is_some_and(|word| word == "start") {
        line.words.remove(0);
    }
    Ok(line)
}

fn carry_out(program: &Program, line: &Line, output: &mut Output) -> Result<(), Failure> {
    if line.has(Opt::Version) {
        return Ok(output.line(env!("CARGO_PKG_VERSION"))?);
    }
    if line.has(Opt::Help) {
        return Ok(output.line(words::program_help(program))?);
    }
    for option in &line.unknown {
        output.warn(&format!("{option} is unknown, and has no effect"));
    }
    for (flag, why) in line.without() {
        output.warn(&format!("--{flag} has no effect: {why}"));
    }
    let given = pm2_home();
    let (given, develops) = (given.as_deref().map(Path::new), program.name == DEV.name);
    let home = if develops { home::find_for_development(given)? } else { home::find_writable(given)? };
    let client = Client::new(home.clone(), None);
    let output = std::mem::replace(output, Output::process(output.style));
    let mut session = Session { client, output };
    let apps = declared(line, &mut session)?;
    let runtime = if develops {
        dev(line).runtime(apps, &mut session.output)?
    } else {
        Runtime { apps, auto_exit: !line.has(Opt::NoAutoExit), lines: lines(line), files: false }
    };
    Foreground { home, runtime, delay: delay(line)? }.become_it(&mut session.output)
}

/// `start --no-daemon`: files as usual, and lines with the names of their apps before them.
pub(super) fn without_daemon(line: &Line, session: &mut Session) -> Result<(), Failure> {
    let apps = declared(line, session)?;
    let runtime = Runtime { apps, auto_exit: true, lines: StdoutForm::Prefixed, files: true };
    let home = session.client.home().clone();
    Foreground { home, runtime, delay: Duration::ZERO }.become_it(&mut session.output)
}

/// What the words declare. There is no daemon that could know of them.
fn declared(line: &Line, session: &mut Session) -> Result<Vec<AppDeclaration>, Failure> {
    let words = match line.words.as_slice() {
        [] => vec![declare::default_file()?],
        words => words.to_vec(),
    };
    let mut apps = Vec::new();
    for word in &words {
        apps.extend(if declare::names_declaration(word) {
            files::load(word, line, session)?.apps
        } else {
            start::declared(word, line, session)?
        });
    }
    Ok(apps)
}

fn dev(line: &Line) -> Dev {
    let ignored = line.value(Opt::Ignore).unwrap_or_default().split([',', ' ']);
    let stamp = || line.value(Opt::Timestamp).unwrap_or(STAMP).to_owned();
    Dev {
        ignore: ignored.filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect(),
        post_exec: line.value(Opt::PostExec).map(str::to_owned),
        silent_exec: line.has(Opt::SilentExec),
        raw: line.has(Opt::Raw),
        timestamp: line.has(Opt::Timestamp).then(stamp),
        auto_exit: line.has(Opt::AutoExit),
    }
}

/// The last one that is given counts.
fn lines(line: &Line) -> StdoutForm {
    let forms = [
        (Opt::Raw, StdoutForm::Raw),
        (Opt::Formatted, StdoutForm::Prefixed),
        (Opt::Format, StdoutForm::Format),
        (Opt::Json, StdoutForm::Json),
    ];
    let last = line.last_of(&forms.map(|(option, _)| option));
    forms.into_iter().find(|(option, _)| Some(*option) == last).map_or(StdoutForm::Raw, |(_, form)| form)
}

/// `--delay`: seconds.
fn delay(line: &Line) -> Result<Duration, Fault> {
    let Some(text) = line.value(Opt::Delay) else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let unit = || config::span(text).ok().map(supd_api::Millis::duration);
    seconds.or_else(unit).ok_or_else(|| {
        let text = format!("--delay {text}: expected seconds, as in --delay 5");
        Fault::new(FaultCode::Invalid, text)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(words: &str) -> Line {
        parse(&RUNTIME, words.split(' ').map(str::to_owned))
            .unwrap_or_else(|wrong| panic!("{words}: {wrong:?}"))
    }

    #[test]
    fn the_command_need_not_be_named_and_what_is_unknown_is_left_out() {
        for words in
            ["app.js -i 2 -n web", "start app.js -i 2 -n web", "-i 2 start app.js -n web --bogus --x=y"]
        {
            let line = said(words);
            assert_eq!(line.words, ["app.js"], "{words}");
            assert_eq!(Value::Object(line.fields()), json!({ "instances": 2, "name": "web" }), "{words}");
        }
        assert_eq!(said("app.js --bogus --x=y").unknown, ["--bogus", "--x=y"]);
        for words in ["start --watch app.js", "--watch app.js", "app.js --watch"] {
            assert_eq!(
                (said(words).words.as_slice(), said(words).fields()["watch"].as_bool()),
                (&["app.js".to_owned()][..], Some(true))
            );
        }
        assert!(said("start").words.is_empty());
        assert_eq!(said("app.js --web 9000").words, ["app.js"]);
    }

    #[test]
    fn the_last_word_on_lines_counts() {
        for (words, form) in [
            ("app.js", StdoutForm::Raw),
            ("app.js --json", StdoutForm::Json),
            ("app.js --json --raw", StdoutForm::Raw),
            ("--formatted app.js", StdoutForm::Prefixed),
            ("app.js --format", StdoutForm::Format),
        ] {
            assert_eq!(lines(&said(words)), form, "{words}");
        }
    }

    #[test]
    fn flags_of_pm2_dev_are_understood() {
        let words =
            "start --ignore dist,public app.js --timestamp --post-exec make --silent-exec --raw --auto-exit";
        let line = parse(&DEV, words.split(' ').map(str::to_owned)).expect("a line");
        assert_eq!((line.words.as_slice(), &line.unknown), (&["app.js".to_owned()][..], &Vec::new()));
        let dev = dev(&line);
        assert_eq!(dev.ignore, ["dist", "public"]);
        assert_eq!((dev.post_exec.as_deref(), dev.timestamp.as_deref()), (Some("make"), Some(STAMP)));
        assert!(dev.silent_exec && dev.raw && dev.auto_exit);
    }

    #[test]
    fn a_delay_is_in_seconds() {
        for (words, millis) in [
            ("app.js", 0),
            ("app.js --delay 2", 2000),
            ("app.js --delay 0.5", 500),
            ("app.js --delay 30ms", 30),
        ] {
            assert_eq!(delay(&said(words)), Ok(Duration::from_millis(millis)), "{words}");
        }
        for words in ["app.js --delay soon", "app.js --delay -1", "app.js --delay 1e400"] {
            assert!(delay(&said(words)).is_err(), "{words}");
        }
    }
}
