//! start: a file, a script, a program, a command line, or something that exists already.

use std::env;
use std::path::Path;

use serde_json::{Map, Value, json};
use supd_api::{AppDeclaration, AppView, Fault, FaultCode, TargetRequest, WorkerView};

use super::act::refuse_selection;
use crate::config::{self, Format, Options};
use crate::ctl::args::StartArgs;
use crate::ctl::order::{Order, submit};
use crate::ctl::output::{Failure, Output};
use crate::ctl::{Session, declare};
use crate::nearest::nearest;

/// What a word on the command line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Something the daemon has.
    Known,
    /// Something to make an app of.
    Program,
    /// Something the daemon has, with flags that only a new app can take.
    KnownWithFlags,
    /// None of these.
    Nothing,
}

/// What decides it, besides the word itself.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// Flags or arguments for a new app are given.
    creating: bool,
    /// The daemon has an app, namespace or worker of that name or number.
    known: bool,
    /// It is a file, a program in `PATH`, or a command line.
    runnable: bool,
}

/// PM2's order, but what is a path to a file is never taken for a name, nor a known name for a new app's script.
fn meaning(word: &str, evidence: Evidence) -> Meaning {
    let Evidence { creating, known, runnable } = evidence;
    if word == "all" || declare::is_pattern(word) {
        return if creating { Meaning::KnownWithFlags } else { Meaning::Known };
    }
    let path = word.contains('/') || Path::new(word).extension().is_some();
    match (known && !creating, runnable) {
        (true, false) => Meaning::Known,
        (true, true) if !path => Meaning::Known,
        (_, true) => Meaning::Program,
        (false, false) if known => Meaning::KnownWithFlags,
        (false, false) => Meaning::Nothing,
    }
}

/// `start`.
pub(crate) async fn start(mut args: StartArgs, session: &mut Session) -> Result<(), Failure> {
    if args.targets.is_empty() {
        args.targets.push(declare::default_file()?);
    }
    let (declarations, words): (Vec<_>, Vec<_>) = std::mem::take(&mut args.targets)
        .into_iter()
        .partition(|word| word == declare::STDIN || declare::is_file(word));
    if declarations.is_empty() {
        refuse_selection(&args.selection)?;
    } else {
        warn_of_fields(&args, &mut session.output);
    }
    let mut apps = Vec::new();
    for file in &declarations {
        apps.extend(declare::accept(declare::load(file, &args.selection), &mut session.output)?.apps);
    }
    let known = if words.is_empty() { Vec::new() } else { session.client.workers(&[]).await? };
    let mut targets = Vec::new();
    for word in words {
        match meaning(&word, evidence(&word, &args, &known)) {
            Meaning::Known => targets.push(word),
            Meaning::Program => apps.extend(declared(&word, &args, &known, session).await?),
            Meaning::KnownWithFlags => return Err(keeps_its_declaration(&word, &args).into()),
            Meaning::Nothing => return Err(nothing(&word, &known).into()),
        }
    }
    let mut orders = Vec::new();
    if !apps.is_empty() {
        orders.push(Order::apply(apps));
    }
    if !targets.is_empty() {
        orders.push(Order::starting("/v1/workers/start", json!(TargetRequest { targets })));
    }
    submit("started", orders, session).await
}

/// What the targets declare where there is no daemon that could know of them yet. Whoever starts apps in a container configures them
/// by its environment, so they get that, also those of files.
pub(super) fn declare_all(mut args: StartArgs, output: &mut Output) -> Result<Vec<AppDeclaration>, Failure> {
    if args.targets.is_empty() {
        args.targets.push(declare::default_file()?);
    }
    let targets = std::mem::take(&mut args.targets);
    if !targets.iter().any(|word| declare::names_declaration(word)) {
        refuse_selection(&args.selection)?;
    } else {
        warn_of_fields(&args, output);
    }
    let (options, mut apps) = (declare::options(&args.selection, true), Vec::new());
    for word in targets {
        let loaded = if declare::names_declaration(&word) {
            declare::load_with(&word, &options, args.selection.format.map(Format::from))
        } else if evidence(&word, &args, &[]).runnable {
            config::from_fields(fields(&word, &args), &options)
        } else {
            return Err(nothing(&word, &[]).into());
        };
        apps.extend(declare::accept(loaded, output)?.apps);
    }
    Ok(apps)
}

fn evidence(word: &str, args: &StartArgs, known: &[WorkerView]) -> Evidence {
    Evidence {
        creating: !args.fields.fields().is_empty() || !args.args.is_empty(),
        known: known.iter().any(|worker| {
            worker.app.as_str() == word || worker.namespace == word || worker.id.to_string() == word
        }),
        runnable: word.contains(char::is_whitespace) || is_runnable(word, args.fields.cwd()),
    }
}

/// A file, seen from `--cwd` as PM2 does, or a program in `PATH`.
fn is_runnable(word: &str, cwd: Option<&str>) -> bool {
    let file = Path::new(cwd.unwrap_or(".")).join(word);
    let in_path = |word: &str| {
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(word).is_file()))
    };
    file.is_file() || (!word.contains('/') && in_path(word))
}

/// The declaration of a new app.
async fn declared(
    word: &str,
    args: &StartArgs,
    known: &[WorkerView],
    session: &mut Session,
) -> Result<Vec<AppDeclaration>, Fault> {
    new_apps(fields(word, args), &declare::options(&args.selection, true), known, session).await
}

fn fields(word: &str, args: &StartArgs) -> Map<String, Value> {
    let mut fields = args.fields.fields();
    fields.insert("script".to_owned(), Value::from(word));
    if !args.args.is_empty() {
        fields.insert("args".to_owned(), json!(args.args));
    }
    fields
}

/// The declaration of a new app of these fields.
pub(super) async fn new_apps(
    fields: Map<String, Value>,
    options: &Options,
    known: &[WorkerView],
    session: &mut Session,
) -> Result<Vec<AppDeclaration>, Fault> {
    let apps = declare::accept(config::from_fields(fields, options), &mut session.output)?.apps;
    for app in &apps {
        if known.iter().any(|worker| worker.app == app.name) {
            let present = session.client.apps(&[app.name.to_string()]).await?;
            present.iter().try_for_each(|present| may_replace(app, present))?;
        }
    }
    Ok(apps)
}

/// An app that is stopped may be started anew from the same script; anything else is another app of that name.
fn may_replace(new: &AppDeclaration, present: &AppView) -> Result<(), Fault> {
    let name = &new.name;
    if new.program.script != present.declaration.program.script {
        return Err(Fault::new(
            FaultCode::Conflict,
            format!("`{name}` is another app, which runs {}", present.declaration.program.script),
        )
        .hint("give this one another name with --name"));
    }
    match present.workers.iter().any(|worker| worker.pid.is_some()) {
        false => Ok(()),
        true => Err(Fault::new(FaultCode::Conflict, format!("`{name}` is running already")).hint(format!(
            "`supctl restart {name}` starts it again, `supctl scale {name} +1` adds a worker, --name NAME makes a second app"
        ))),
    }
}

fn keeps_its_declaration(word: &str, args: &StartArgs) -> Fault {
    Fault::new(
        FaultCode::Conflict,
        format!("`{word}` exists already and keeps its declaration; {} cannot be given", flags(args)),
    )
    .hint(format!("`supctl start {word}` starts it, `supctl scale {word} N` changes its number of workers"))
}

fn nothing(word: &str, known: &[WorkerView]) -> Fault {
    let hint = match nearest(word, known.iter().map(|worker| worker.app.as_str())) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "give the path of a script, a program in PATH, or a quoted command line".to_owned(),
    };
    Fault::new(FaultCode::NotFound, format!("`{word}` is no file, program or known app")).hint(hint)
}

/// PM2 leaves these flags out without a word.
fn warn_of_fields(args: &StartArgs, output: &mut Output) {
    if evidence("", args, &[]).creating {
        output.warning(&format!("{} not applied: a declaration file says it all", flags(args)));
    }
}

/// The fields that flags set, for a message.
fn flags(args: &StartArgs) -> String {
    let mut names: Vec<String> = args.fields.fields().keys().map(|name| format!("`{name}`")).collect();
    if !args.args.is_empty() {
        names.push("arguments after `--`".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen(creating: bool, known: bool, runnable: bool) -> Evidence {
        Evidence { creating, known, runnable }
    }

    #[test]
    fn words_mean_what_they_mean_to_pm2_without_its_traps() {
        use Meaning::{Known, KnownWithFlags, Nothing, Program};
        for (word, evidence, expected) in [
            ("web", seen(false, true, false), Known),
            ("web", seen(false, true, true), Known),
            ("web", seen(true, true, true), Program),
            ("web", seen(true, true, false), KnownWithFlags),
            ("web", seen(false, false, false), Nothing),
            ("sleep", seen(true, false, true), Program),
            ("0", seen(false, true, false), Known),
            ("app.js", seen(false, true, true), Program),
            ("api.v2", seen(false, true, false), Known),
            ("./web", seen(false, true, true), Program),
            ("./absent.js", seen(false, false, false), Nothing),
            ("node a.js --x", seen(false, false, true), Program),
            ("all", seen(false, false, false), Known),
            ("all", seen(true, false, true), KnownWithFlags),
            ("/^w/", seen(false, false, false), Known),
        ] {
            assert_eq!(meaning(word, evidence), expected, "{word} {evidence:?}");
        }
    }

    #[test]
    fn programs_are_found_in_path_and_files_below_cwd() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.js"), "").unwrap();
        assert!(is_runnable("sh", None));
        assert!(is_runnable("a.js", dir.path().to_str()));
        assert!(!is_runnable("a.js", None));
        assert!(!is_runnable("no/such/sh", None));
    }
}
