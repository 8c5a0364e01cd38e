//! What is to be done on a host, as a script for its shell.
//!
//! Each step that fails ends the script with a code of its own, so that one connection is enough to know which one it was.

use std::fmt::Write as _;

use super::target::Target;

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Setup,
    /// To the declared ref.
    Update,
    /// To another one.
    To(String),
    /// So many deployments back.
    Revert(u32),
    Current,
    Previous,
    List,
    Exec(String),
}

impl Task {
    /// Whether another version runs then.
    pub(super) fn deploys(&self) -> bool {
        match self {
            Self::Update | Self::To(_) | Self::Revert(_) => true,
            Self::Setup | Self::Current | Self::Previous | Self::List | Self::Exec(_) => false,
        }
    }
}

/// The codes of the steps begin here: below are those of commands, above 125 those of shells and ssh.
const FIRST_CODE: u8 = 65;
/// `fetch: "fast"`, as PM2 has it.
const DEPTH: u32 = 5;
/// Newest first, numbered as `revert` counts.
const NUMBERED: &str = r#"awk '{ line[NR] = $0 } END { for (at = NR; at > 0; at--) printf "%d\t%s\n", NR - at, line[at] }' .deploys"#;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What it does, for people.
    pub(super) name: String,
    /// What to do when it has failed.
    pub(super) remedy: &'static str,
    command: String,
}

/// Steps, one after the other.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) title: String,
    prelude: String,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// `reload`: what follows a deployment unless the target says something else.
    pub(super) fn new(task: &Task, target: &Target, reload: &str) -> Self {
        let (title, steps) = match task {
            Task::Setup => ("setup".to_owned(), setup(target)),
            Task::Update => {
                (format!("deploying {}", target.reference), to(&target.reference, target, reload))
            }
            Task::To(reference) => (format!("deploying {reference}"), to(reference, target, reload)),
            Task::Revert(count) => (format!("reverting {count}"), revert(*count, target, reload)),
            Task::Current => ("current".to_owned(), vec![current()]),
            Task::Previous => ("previous".to_owned(), vec![previous()]),
            Task::List => ("list".to_owned(), vec![list()]),
            Task::Exec(command) => ("exec".to_owned(), vec![exec(command)]),
        };
        Self { title, prelude: prelude(target), steps }
    }

    /// The whole of it.
    pub(super) fn script(&self) -> String {
        let mut script = self.prelude.clone();
        for (step, code) in self.steps.iter().zip(FIRST_CODE..) {
            // In a shell of its own: where a step goes does not move the next one.
            let _ = writeln!(script, "({}) || exit {code}", step.command);
        }
        script
    }

    /// The step that ends the script with this code.
    pub(super) fn failed(&self, code: i32) -> Option<&Step> {
        let index = code.checked_sub(i32::from(FIRST_CODE))?;
        self.steps.get(usize::try_from(index).ok()?)
    }
}

/// A word as a POSIX shell takes it.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Commands of users were written for bash; variables are theirs.
fn prelude(target: &Target) -> String {
    let path = match target.path.strip_prefix("~/") {
        Some(below) => format!("\"$HOME\"/{}", quoted(below)),
        None => quoted(&target.path),
    };
    let mut prelude = format!(
        "path={path}\nif command -v bash > /dev/null 2>&1; then shell=bash; else shell=sh; fi\nexport SHARED=\"$path/shared\"\n"
    );
    for (name, value) in &target.env {
        let _ = writeln!(prelude, "export {name}={}", quoted(value.reveal()));
    }
    prelude
}

fn step(name: impl Into<String>, command: impl Into<String>, remedy: &'static str) -> Step {
    Step { name: name.into(), command: command.into(), remedy }
}

fn hook(name: &str, place: &str, command: &str) -> Step {
    step(
        name,
        format!("cd \"{place}\" && \"$shell\" -c {}", quoted(command)),
        "its own words above tell why; correct it, or the host",
    )
}

fn setup(target: &Target) -> Vec<Step> {
    let depth = if target.fast { format!("--depth={DEPTH} --no-single-branch ") } else { String::new() };
    let before = target.hooks.pre_setup.iter().map(|command| hook("pre-setup", "$HOME", command));
    let after = target.hooks.post_setup.iter().map(|command| hook("post-setup", "$path/current", command));
    let steps = [
        step(
            "looking whether it is free",
            "[ ! -e \"$path/source/.git\" ]",
            "it is set up already: deploy, or remove the directory first",
        ),
        step(
            "making the directories",
            "mkdir -p \"$path/shared/logs\" \"$path/shared/pids\"",
            "the user must be able to write there",
        ),
        step(
            format!("cloning {}", without_password(&target.repo)),
            format!("git clone {depth}-- {} \"$path/source\"", quoted(&target.repo)),
            "git and a key for the repository must be there; try `git ls-remote` on the host",
        ),
        check_out(&target.reference),
        link(),
    ];
    before.chain(steps).chain(after).collect()
}

fn to(reference: &str, target: &Target, reload: &str) -> Vec<Step> {
    let depth = if target.fast { format!(" --depth={DEPTH}") } else { String::new() };
    let mut steps = vec![present()];
    steps.extend(target.hooks.pre_deploy.iter().map(|command| hook("pre-deploy", "$path/current", command)));
    steps.push(step(
        "fetching",
        format!("cd \"$path/source\" && git fetch --all --tags --force{depth}"),
        "a key for the repository must be there; try `git fetch` on the host",
    ));
    steps.push(check_out(reference));
    steps.extend(finish(target, reload));
    steps
}

fn revert(count: u32, target: &Target, reload: &str) -> Vec<Step> {
    let mut steps = vec![present(), known(count)];
    steps.extend(target.hooks.pre_deploy.iter().map(|command| hook("pre-deploy", "$path/current", command)));
    let lines = u64::from(count) + 1;
    steps.push(step(
        "checking it out",
        format!("cd \"$path/source\" && git reset --hard \"$(tail -n {lines} ../.deploys | head -n 1)\""),
        "the commit is not in the clone any more; deploy a ref instead",
    ));
    steps.extend(finish(target, reload));
    steps
}

/// Of a name that is a branch of the repository and one of the clone, the former is meant: the latter never moves.
fn check_out(reference: &str) -> Step {
    let (remote, any) = (
        quoted(&format!("refs/remotes/origin/{reference}^{{commit}}")),
        quoted(&format!("{reference}^{{commit}}")),
    );
    let find = format!("git rev-parse --verify --quiet {remote} || git rev-parse --verify --quiet {any}");
    step(
        format!("checking out {reference}"),
        format!("cd \"$path/source\" && commit=$({find}) && git reset --hard \"$commit\""),
        "is it pushed? `git ls-remote` shows what the repository has",
    )
}

fn finish(target: &Target, reload: &str) -> Vec<Step> {
    let note = step(
        "noting it",
        "cd \"$path/source\" && git rev-parse HEAD >> ../.deploys",
        "the user must be able to write there",
    );
    let after = target.hooks.post_deploy.as_deref().unwrap_or(reload);
    let after = Some(after).filter(|command| !command.trim().is_empty());
    let after = after.map(|command| Step {
        remedy: "its own words above tell why; `revert` goes back. Without `post-deploy`, supctl must be in PATH there",
        ..hook("post-deploy", "$path/current", command)
    });
    [link(), note].into_iter().chain(after).collect()
}

fn link() -> Step {
    step(
        "linking current",
        "ln -sfn \"$path/source\" \"$path/current\"",
        "`current` must be a link, or not there",
    )
}

fn present() -> Step {
    step("looking for the clone", "[ -e \"$path/source/.git\" ]", "run `supctl deploy ENV setup` first")
}

fn known(count: u32) -> Step {
    let test = format!("cd \"$path\" && [ -f .deploys ] && [ \"$(wc -l < .deploys)\" -gt {count} ]");
    step("looking for that deployment", test, "there are not so many: `supctl deploy ENV list`")
}

fn current() -> Step {
    step(
        "asking git",
        "cd \"$path/source\" && git rev-parse --short HEAD",
        "run `supctl deploy ENV setup` first",
    )
}

fn previous() -> Step {
    let known = known(1);
    Step { command: format!("{} && tail -n 2 .deploys | head -n 1", known.command), ..known }
}

fn list() -> Step {
    step("reading the list", format!("cd \"$path\" && {NUMBERED}"), "nothing has been deployed yet")
}

fn exec(command: &str) -> Step {
    hook("exec", "$path/current", command)
}

/// A repository as it may be shown: `https://user:password@host` may hold a secret.
fn without_password(repo: &str) -> String {
    match (repo.split_once("://"), repo.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        (_, _) => repo.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan(task: &Task, fields: Value) -> Plan {
        let mut section = json!({ "host": "h", "repo": "r", "path": "/srv/it's", "ref": "main" });
        let (Value::Object(all), Value::Object(fields)) = (&mut section, fields) else { panic!("no fields") };
        all.extend(fields);
        Plan::new(task, &Target::read(section).expect("a target").0, "reload it")
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn steps_come_in_pm2s_order() {
        let hooks = json!({ "pre-setup": "a", "post-setup": "b", "pre-deploy": "c", "post-deploy": "d" });
        let expected = [
            "pre-setup",
            "looking whether it is free",
            "making the directories",
            "cloning r",
            "checking out main",
            "linking current",
            "post-setup",
        ];
        assert_eq!(names(&plan(&Task::Setup, hooks.clone())), expected);
        let expected = [
            "looking for the clone",
            "pre-deploy",
            "fetching",
            "checking out main",
            "linking current",
            "noting it",
            "post-deploy",
        ];
        let update = plan(&Task::Update, hooks);
        assert_eq!(names(&update), expected);
        assert!(update.script().contains("\"$shell\" -c 'd'"));
        assert_eq!(update.failed(65).map(|step| step.name.as_str()), Some("looking for the clone"));
        assert_eq!(update.failed(71).map(|step| step.name.as_str()), Some("post-deploy"));
        assert_eq!((update.failed(64), update.failed(72)), (None, None));
        assert!(plan(&Task::Update, json!({})).script().contains("-c 'reload it'"));
        assert!(!names(&plan(&Task::Update, json!({ "post-deploy": "" }))).contains(&"post-deploy"));
    }

    #[test]
    fn nothing_of_the_user_is_taken_for_the_shells() {
        let secret = json!({ "env": { "A": "x'; rm -rf /" }, "path": "~/a b", "post-deploy": "echo 'hi'" });
        let script = plan(&Task::To("v1$(x)".to_owned()), secret).script();
        for part in [
            r"path=$HOME/'a b'",
            r"export A='x'\''; rm -rf /'",
            r"'refs/remotes/origin/v1$(x)^{commit}'",
            r"-c 'echo '\''hi'\'''",
        ] {
            assert!(script.replace("\"$HOME\"", "$HOME").contains(part), "{part} in {script}");
        }
        assert_eq!(without_password("https://u:p@host/r.git"), "https://host/r.git");
        assert_eq!(without_password("git@host:r.git"), "git@host:r.git");
    }
}
