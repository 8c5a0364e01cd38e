//! How does a difference between declarations and what runs read? One block for each app that is not as declared.

use supd_api::{Acts, AppDeclaration, AppDifference, AppName, Change, ChangeKind, Step};

use super::cells::harmless;
use super::ink::Ink;

/// Everything that applying a file would do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// One for each app that it declares.
    pub(crate) apps: Vec<AppDifference>,
    /// What came from that file and is no longer in it.
    pub(crate) orphans: Vec<Orphan>,
    /// They are to be deleted.
    pub(crate) prune: bool,
}

/// An app that came from a file which does not declare it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphan {
    pub(crate) app: AppName,
    /// The ids of its workers.
    pub(crate) workers: Vec<u32>,
    /// It came with another `--env`, so that the file may declare it still.
    pub(crate) other_env: Option<String>,
}

impl Orphan {
    fn may_go(&self) -> bool {
        self.other_env.is_none()
    }
}

impl Plan {
    /// What is to be deleted.
    pub(crate) fn doomed(&self) -> impl Iterator<Item = &Orphan> {
        self.orphans.iter().filter(|orphan| self.prune && orphan.may_go())
    }

    /// Everything is as declared.
    pub(crate) fn is_empty(&self) -> bool {
        let same = |app: &AppDifference| app.step == Step::Nothing && app.refusal.is_none();
        self.apps.iter().all(same) && self.doomed().next().is_none()
    }
}

/// The plan line by line.
pub(crate) fn lines(plan: &Plan, declared: &[AppDeclaration], colour: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in plan.apps.iter().filter(|it| it.step != Step::Nothing || it.refusal.is_some()) {
        let declaration = declared.iter().find(|app| app.name == difference.app);
        let name = Ink::of_name(difference.app.as_str()).on(difference.app.as_str(), colour);
        lines.push(format!("{name} {}", heading(difference, declaration)));
        lines.extend(changes(&difference.changes, colour));
    }
    for orphan in &plan.orphans {
        lines.push(format!("{} {}", Ink::Red.on(orphan.app.as_str(), colour), fate(orphan, plan.prune)));
    }
    let same = plan.apps.iter().filter(|it| it.step == Step::Nothing && it.refusal.is_none());
    let same: Vec<&str> = same.map(|it| it.app.as_str()).collect();
    if plan.is_empty() {
        lines.push(format!("nothing to do: what runs is as declared ({})", same.join(", ")));
    } else if !same.is_empty() {
        lines.push(format!("unchanged: {}", same.join(", ")));
    }
    lines
}

fn heading(difference: &AppDifference, declaration: Option<&AppDeclaration>) -> String {
    let registered = declaration.is_some_and(|app| !app.autostart);
    match (&difference.refusal, difference.step) {
        (Some(fault), _) => format!("would be refused: {}", harmless(&fault.message)),
        (None, Step::Start) if registered => {
            "is new: registered, not started (autostart is false)".to_owned()
        }
        (None, Step::Start) => "is new: started".to_owned(),
        (None, _) if difference.stopped => {
            "changes and stays stopped: its next start is the new one".to_owned()
        }
        (None, Step::Amend) => "changes at once: its processes go on".to_owned(),
        (None, Step::Reload) => "changes with new processes: reloaded".to_owned(),
        (None, Step::Nothing) => "is as declared".to_owned(),
    }
}

fn fate(orphan: &Orphan, prune: bool) -> String {
    match (&orphan.other_env, prune) {
        (Some(env), _) => format!("is not in the file, but came with --env {}: kept", harmless(env)),
        (None, true) => "is no longer in the file: deleted".to_owned(),
        (None, false) => "is no longer in the file: kept (--prune deletes it)".to_owned(),
    }
}

/// The changes of one app, a line each, with their columns aligned.
pub(crate) fn changes(changes: &[Change], colour: bool) -> Vec<String> {
    let rows: Vec<[String; 2]> =
        changes.iter().map(|change| [harmless(&change.field), values(change)]).collect();
    let [width, second] =
        [0, 1].map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let line = |(change, [field, values]): (&Change, &[String; 2])| {
        let (sign, ink) = match change.kind {
            ChangeKind::Added => ("+", Ink::Green),
            ChangeKind::Removed => ("-", Ink::Red),
            ChangeKind::Changed => ("~", Ink::Yellow),
        };
        let acts = match change.acts {
            Acts::AtOnce => "at once",
            Acts::NewProcesses => "new processes",
        };
        let text = format!("{sign} {field:<width$}  {values:<second$}");
        format!("  {}  {}", ink.on(&text, colour), Ink::Grey.on(acts, colour))
    };
    changes.iter().zip(&rows).map(line).collect()
}

/// `5 s → 10 s`, or that it has changed where values are nobody's business.
fn values(change: &Change) -> String {
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "none".to_owned(), harmless);
    match (&change.from, &change.to, change.kind) {
        (None, None, ChangeKind::Added) => "added".to_owned(),
        (None, None, ChangeKind::Removed) => "removed".to_owned(),
        (None, None, ChangeKind::Changed) => "changed".to_owned(),
        (from, to, _) => format!("{} → {}", text(from), text(to)),
    }
}

/// A change in a few words: `kill_timeout 5 s → 10 s`, `env.TOKEN changed`.
pub(crate) fn brief(change: &Change) -> String {
    format!("{} {}", harmless(&change.field), values(change))
}

#[cfg(test)]
mod tests {
    use supd_api::{Fault, FaultCode};

    use super::*;
    use crate::ctl::fake::declaration;

    fn change(field: &str, kind: ChangeKind, values: Option<(&str, &str)>, acts: Acts) -> Change {
        let (from, to) = values.map(|(from, to)| (from.to_owned(), to.to_owned())).unzip();
        Change { field: field.to_owned(), kind, from, to, acts }
    }

    fn app(name: &str, step: Step, changes: Vec<Change>) -> AppDifference {
        AppDifference { app: AppName::new(name).unwrap(), step, changes, stopped: false, refusal: None }
    }

    fn orphan(name: &str, other_env: Option<&str>) -> Orphan {
        Orphan { app: AppName::new(name).unwrap(), workers: vec![7], other_env: other_env.map(str::to_owned) }
    }

    #[test]
    fn a_plan_reads_like_this() {
        let web = vec![
            change("kill_timeout", ChangeKind::Changed, Some(("5 s", "10 s")), Acts::AtOnce),
            change("env.A", ChangeKind::Added, None, Acts::NewProcesses),
            change("env.\x1b[2J", ChangeKind::Removed, None, Acts::NewProcesses),
            change("env.TOKEN", ChangeKind::Changed, None, Acts::NewProcesses),
        ];
        let refusal = Some(Fault::new(FaultCode::Invalid, "there is no user `x` on this machine"));
        let plan = Plan {
            apps: vec![
                app("web", Step::Reload, web.clone()),
                app("api", Step::Amend, web[..1].to_vec()),
                AppDifference { stopped: true, ..app("job", Step::Amend, web[3..].to_vec()) },
                app("new", Step::Start, Vec::new()),
                app("later", Step::Start, Vec::new()),
                AppDifference { refusal, ..app("bad", Step::Nothing, Vec::new()) },
                app("same", Step::Nothing, Vec::new()),
            ],
            orphans: vec![orphan("old", None), orphan("other", Some("production"))],
            prune: false,
        };
        let mut later = declaration("later");
        later.autostart = false;
        let expected = "\
web changes with new processes: reloaded
  ~ kill_timeout   5 s → 10 s  at once
  + env.A          added       new processes
  - env.\\u{1b}[2J  removed     new processes
  ~ env.TOKEN      changed     new processes
api changes at once: its processes go on
  ~ kill_timeout  5 s → 10 s  at once
job changes and stays stopped: its next start is the new one
  ~ env.TOKEN  changed  new processes
new is new: started
later is new: registered, not started (autostart is false)
bad would be refused: there is no user `x` on this machine
old is no longer in the file: kept (--prune deletes it)
other is not in the file, but came with --env production: kept
unchanged: same";
        assert_eq!(lines(&plan, &[later], false).join("\n"), expected);
        let pruned = lines(&Plan { prune: true, ..plan.clone() }, &[], false).join("\n");
        assert!(pruned.contains("old is no longer in the file: deleted\nother is not in the file, but"));
        assert!(lines(&plan, &[], true)[1].contains("\x1b[33m~ kill_timeout"));
    }

    #[test]
    fn what_is_as_declared_is_said() {
        let plan = Plan { apps: vec![app("web", Step::Nothing, Vec::new())], ..Plan::default() };
        assert_eq!(lines(&plan, &[], false), ["nothing to do: what runs is as declared (web)"]);
        let pruning = Plan { orphans: vec![orphan("old", None)], prune: true, ..plan.clone() };
        assert!(plan.is_empty() && !pruning.is_empty());
        let kept = Plan { orphans: vec![orphan("old", Some("x"))], prune: true, ..plan };
        assert!(kept.is_empty(), "what is kept is no difference");
    }
}
