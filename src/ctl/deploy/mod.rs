//! How does a new version get to where it runs? By the system's ssh and git, as PM2's `deploy` section says.
//!
//! Everything happens on the hosts, in directories laid out as PM2 does; the daemon here has no part in it. Nothing secret is on a
//! command line: what a host shall do comes to it on standard input.

mod plan;
mod target;
mod transport;
mod tree;

use std::env;
use std::path::Path;

use clap::Args;
use serde_json::json;
use supd_api::{Fault, FaultCode};

use super::args::Selection;
use super::declare;
use super::output::{Failure, Output};
use crate::config;
use crate::nearest::nearest;
use plan::{Plan, Task};
use target::Target;
use transport::Ran;

pub(crate) const EXAMPLES: &str = "\
Commands: setup, update (default), revert [N], current, previous, list, exec 'COMMAND', or a branch, tag or commit.

Examples:
  supctl deploy production setup              once: clone it there
  supctl deploy production                    move it to the declared ref, then reload
  supctl deploy production v1.4.2
  supctl deploy production revert 1           back to what was deployed before
  supctl deploy ecosystem.config.js staging exec 'tail -n 50 shared.log'";

/// `deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// Declaration file [default: as `supctl start` finds it], environment, command
    #[arg(value_name = "[FILE] ENV [COMMAND]", required = true)]
    pub(crate) words: Vec<String>,
    /// Deploy although changes here are not committed or not pushed
    #[arg(long)]
    pub(crate) force: bool,
}

/// What the words mean.
#[derive(Debug, PartialEq, Eq)]
struct Wish<'a> {
    file: Option<&'a str>,
    environment: Option<&'a str>,
    task: Task,
}

/// `deploy`.
pub(crate) fn deploy(args: &DeployArgs, output: &mut Output) -> Result<(), Failure> {
    let Wish { file, environment, task } = wish(&args.words)?;
    let file = match file {
        Some(file) => file.to_owned(),
        None => declare::default_file()?,
    };
    let options = declare::options(&Selection::default(), false);
    let section = config::deploy_section(Path::new(&file), &options);
    let section = section.map_err(|rejected| declare::fault(&rejected))?;
    let (name, target) = choose(&file, environment, section, output)?;
    let plan = Plan::new(&task, &target, &reload(&file, name, &target));
    if task == Task::Update && !args.force {
        tree::check()?;
    }
    if let (true, Some(hook)) = (task.deploys(), &target.hooks.pre_deploy_local) {
        output.say("pre-deploy-local")?;
        output.flush()?;
        transport::here(hook, &target.env)?;
    }
    let mut done = Vec::new();
    for host in &target.hosts {
        output.say(format!("{} on {host}", plan.title))?;
        output.flush()?;
        match transport::run(&plan, &target, host, output.style.json) {
            Ok(Ran { output }) => done.push(json!({ "host": host, "output": output })),
            Err(fault) => return Err(with_rest(fault, &target.hosts, done.len()).into()),
        }
    }
    if output.style.json {
        output.json(&json!({ "environment": name, "task": plan.title, "hosts": done }))?;
    }
    Ok(())
}

/// The file comes first, if one is named; what follows the environment is what to do.
fn wish(words: &[String]) -> Result<Wish<'_>, Fault> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (file, words) = match words.split_first() {
        Some((file, rest)) if declare::is_file(file) => (Some(*file), rest),
        Some(_) | None => (None, words.as_slice()),
    };
    let usage = |why: &str| {
        Fault::new(FaultCode::Invalid, why)
            .hint("`supctl deploy [FILE] ENV [COMMAND]`; `supctl deploy --help`")
    };
    let (environment, rest) = words.split_first().map_or((None, words), |(name, rest)| (Some(*name), rest));
    let task = match rest {
        [] | ["update"] => Task::Update,
        ["setup"] => Task::Setup,
        ["revert"] => Task::Revert(1),
        ["revert", count] => match count.parse() {
            Ok(count @ 1..) => Task::Revert(count),
            Ok(0) | Err(_) => {
                return Err(usage("`revert` takes the number of deployments to go back, from 1"));
            }
        },
        ["current" | "curr"] => Task::Current,
        ["previous" | "prev"] => Task::Previous,
        ["list"] => Task::List,
        ["exec" | "run"] => return Err(usage("`exec` takes a command")),
        ["exec" | "run", command @ ..] => Task::Exec(command.join(" ")),
        [reference] if !reference.starts_with('-') => Task::To((*reference).to_owned()),
        _ => return Err(usage(&format!("`{}` is more than one command", rest.join(" ")))),
    };
    Ok(Wish { file, environment, task })
}

/// The environment of that name.
fn choose<'a>(
    file: &str,
    environment: Option<&'a str>,
    section: Option<serde_json::Value>,
    output: &mut Output,
) -> Result<(&'a str, Target), Fault> {
    let Some(serde_json::Value::Object(mut section)) = section else {
        return Err(Fault::new(FaultCode::Invalid, format!("{file}: there is no section `deploy`"))
            .hint("write one: `deploy: { production: { host, repo, path, ref } }`"));
    };
    let names: Vec<String> = section.keys().cloned().collect();
    let known = format!("{file} has {}", names.join(", "));
    let Some(name) = environment else {
        return Err(Fault::new(FaultCode::Invalid, "no environment is named").hint(known));
    };
    let Some(value) = section.remove(name) else {
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => known,
        };
        let text = format!("{file}: `deploy` has no environment `{}`", name.escape_debug());
        return Err(Fault::new(FaultCode::NotFound, text).hint(hint));
    };
    let (target, unknown) = Target::read(value).map_err(|why| {
        Fault::new(FaultCode::Invalid, format!("{file}: deploy.{name}: {why}"))
            .hint("`host`, `repo`, `path` and `ref` are needed")
    })?;
    for field in unknown {
        output.warning(&format!("{file}: deploy.{name}.{field} has no effect"));
    }
    Ok((name, target))
}

/// What follows a deployment unless something else is declared.
fn reload(file: &str, environment: &str, target: &Target) -> String {
    let here = env::current_dir().ok();
    let inside = here.and_then(|here| Path::new(file).strip_prefix(here).ok().map(Path::to_owned));
    let file = inside.map_or_else(|| file.to_owned(), |inside| inside.to_string_lossy().into_owned());
    // On this machine it is this very program.
    let program =
        if target.is_here() { declare::own_program().display().to_string() } else { "supctl".to_owned() };
    let words = [program.as_str(), "reload", &file, "--env", environment];
    words.map(plan::quoted).join(" ")
}

fn with_rest(fault: Fault, hosts: &[String], done: usize) -> Fault {
    if hosts.len() == 1 {
        return fault;
    }
    let list = |hosts: &[String]| if hosts.is_empty() { "none".to_owned() } else { hosts.join(", ") };
    let (before, after) = (list(&hosts[..done]), list(&hosts[done + 1..]));
    Fault { message: format!("{}\ndone before: {before}; not begun: {after}", fault.message), ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean_to_pm2() {
        let to = |reference: &str| Task::To(reference.to_owned());
        for (words, file, environment, task) in [
            ("production", None, Some("production"), Task::Update),
            ("a.config.js production update", Some("a.config.js"), Some("production"), Task::Update),
            ("production setup", None, Some("production"), Task::Setup),
            ("production revert", None, Some("production"), Task::Revert(1)),
            ("production revert 3", None, Some("production"), Task::Revert(3)),
            ("production curr", None, Some("production"), Task::Current),
            ("production previous", None, Some("production"), Task::Previous),
            ("production list", None, Some("production"), Task::List),
            ("production run ls -l", None, Some("production"), Task::Exec("ls -l".to_owned())),
            ("production v1.2", None, Some("production"), to("v1.2")),
            ("a.json", Some("a.json"), None, Task::Update),
        ] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            assert_eq!(wish(&words).expect("a wish"), Wish { file, environment, task }, "{words:?}");
        }
        for words in
            ["production revert 0", "production revert x", "production exec", "production a b", "p --x"]
        {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            assert!(wish(&words).is_err(), "{words:?}");
        }
    }
}
