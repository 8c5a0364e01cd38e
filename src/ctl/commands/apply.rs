//! diff and apply: what a file would change in what runs, and changing only that.

use serde_json::{Value, json};
use supd_api::{
    Accepted, AppDeclaration, AppDifference, AppView, CompareApps, Fault, FaultCode, Source, Step,
    TargetRequest,
};

use crate::config;
use crate::ctl::args::{ApplyArgs, Comparing, Patience};
use crate::ctl::difference::{Orphan, Plan, lines};
use crate::ctl::last_lines::{self, Culprits};
use crate::ctl::order::{Order, carry_out, interrupted, show_table};
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare};

/// What became of one app.
struct Outcome {
    app: String,
    /// `unchanged`, `started`, `amended`, `reloaded`, `reload begun`, `deleted`, `refused`, `failed`, `not tried`.
    outcome: &'static str,
    accepted: Accepted,
    fault: Option<Fault>,
}

/// `diff`.
pub(crate) async fn diff(args: Comparing, session: &mut Session) -> Result<(), Failure> {
    let (declared, plan) = plan(&args, session).await?;
    show(&plan, &declared, session)?;
    let refused = plan.apps.iter().find_map(|app| app.refusal.as_ref());
    match refused {
        Some(fault) => Err(Failure::Told(fault.code)),
        None if plan.is_empty() => Ok(()),
        None => Err(Failure::Differs),
    }
}

/// `apply`.
pub(crate) async fn apply(args: ApplyArgs, session: &mut Session) -> Result<(), Failure> {
    let ApplyArgs { patience, dry_run, comparing } = args;
    let (declared, plan) = plan(&comparing, session).await?;
    if dry_run {
        return show(&plan, &declared, session);
    }
    for line in lines(&plan, &declared, session.output.style.colour) {
        session.output.say(line)?;
    }
    session.output.flush()?;
    let mut outcomes = Vec::new();
    let ended = carry_out_plan(&plan, declared, patience, &mut outcomes, session).await;
    tell(&plan, &outcomes, session)?;
    ended?;
    if session.output.speaks() && !plan.is_empty() {
        show_table(session).await?;
    }
    match outcomes.iter().any(|it| it.fault.is_some() || it.outcome == "failed") {
        true => Err(Failure::Told(FaultCode::Failed)),
        false => Ok(()),
    }
}

/// Reads the file and asks what differs.
async fn plan(args: &Comparing, session: &mut Session) -> Result<(Vec<AppDeclaration>, Plan), Failure> {
    let Comparing { file, prune, selection } = args;
    let file = match file {
        Some(file) => file.clone(),
        None => declare::default_file()?,
    };
    if *prune && file == declare::STDIN {
        let text = "--prune needs a file: what came from standard input is not known by it";
        return Err(Fault::new(FaultCode::Invalid, text).hint("name the file").into());
    }
    let declared = declare::accept(declare::load(&file, selection), &mut session.output)?.apps;
    let declared = config::in_order(declared, |app| app);
    let request = json!(CompareApps { apps: declared.clone() });
    let apps: Vec<AppDifference> = session.client.post("/v1/apps/diff", &request).await?;
    // Of a part of a file nobody can say what is missing.
    let source = declared.first().and_then(|app| app.source.as_ref()).filter(|_| selection.only.is_empty());
    let orphans = match source {
        Some(source) => orphans(source, &declared, &session.client.apps(&[]).await?),
        None => Vec::new(),
    };
    Ok((declared, Plan { apps, orphans, prune: *prune }))
}

/// What came from the same file and is not in it any more. Apps of other files, or made by hand, never are.
fn orphans(source: &Source, declared: &[AppDeclaration], running: &[AppView]) -> Vec<Orphan> {
    let one = |app: &AppView| {
        let own = app.declaration.source.as_ref().filter(|own| own.file == source.file)?;
        if declared.iter().any(|declared| declared.name == app.declaration.name) {
            return None;
        }
        let env = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        let other_env = (own.env_name != source.env_name).then(|| env(&own.env_name));
        let workers = app.workers.iter().map(|worker| worker.id).collect();
        Some(Orphan { app: app.declaration.name.clone(), workers, other_env })
    };
    running.iter().filter_map(one).collect()
}

fn show(plan: &Plan, declared: &[AppDeclaration], session: &mut Session) -> Result<(), Failure> {
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&json!({ "apps": plan.apps, "orphans": shape(plan) }))?);
    }
    let lines = lines(plan, declared, output.style.colour);
    Ok(lines.into_iter().try_for_each(|line| output.line(line))?)
}

fn shape(plan: &Plan) -> Vec<Value> {
    let doomed = |orphan: &Orphan| plan.doomed().any(|other| other == orphan);
    let shape =
        |orphan: &Orphan| json!({ "app": orphan.app, "workers": orphan.workers, "deleted": doomed(orphan) });
    plan.orphans.iter().map(shape).collect()
}

/// App by app, so that one which fails stops no other. Deletes last, and only when all went well: what is to take the
/// place of the deleted ones must be there.
async fn carry_out_plan(
    plan: &Plan,
    declared: Vec<AppDeclaration>,
    patience: Patience,
    outcomes: &mut Vec<Outcome>,
    session: &mut Session,
) -> Result<(), Failure> {
    for (difference, app) in plan.apps.iter().zip(declared) {
        let outcome = match &difference.refusal {
            Some(fault) => Outcome {
                app: app.name.to_string(),
                outcome: "refused",
                accepted: Accepted::default(),
                fault: Some(fault.clone()),
            },
            None => one(difference, app, patience, session).await?,
        };
        outcomes.push(outcome);
        report(outcomes, session).await?;
    }
    let failed = outcomes.iter().any(|it| it.fault.is_some() || it.outcome == "failed");
    for orphan in plan.doomed() {
        let outcome = if failed { spared(orphan) } else { delete(orphan, session).await? };
        outcomes.push(outcome);
        report(outcomes, session).await?;
    }
    Ok(())
}

async fn one(
    difference: &AppDifference,
    app: AppDeclaration,
    patience: Patience,
    session: &mut Session,
) -> Result<Outcome, Failure> {
    let done = match difference.step {
        Step::Nothing => "unchanged",
        Step::Start => "started",
        Step::Amend => "amended",
        Step::Reload if patience.no_wait => "reload begun",
        Step::Reload => "reloaded",
    };
    let name = app.name.to_string();
    if difference.step == Step::Nothing {
        return Ok(Outcome { app: name, outcome: done, accepted: Accepted::default(), fault: None });
    }
    let order = Order::changing(app, difference.step, patience);
    settle(name, done, &order, session).await
}

async fn delete(orphan: &Orphan, session: &mut Session) -> Result<Outcome, Failure> {
    // By number: a name may be that of a namespace too.
    let targets = orphan.workers.iter().map(u32::to_string).collect();
    let order = Order::plain("/v1/workers/delete", json!(TargetRequest { targets }));
    settle(orphan.app.to_string(), "deleted", &order, session).await
}

fn spared(orphan: &Orphan) -> Outcome {
    let text = "not deleted, because not all of the file could be applied";
    let fault = Fault::new(FaultCode::Conflict, text).hint("apply it again when the others are in order");
    Outcome {
        app: orphan.app.to_string(),
        outcome: "not tried",
        accepted: Accepted::default(),
        fault: Some(fault),
    }
}

/// Gives one order. What the daemon refuses is an outcome, what ends the command is not.
async fn settle(
    app: String,
    done: &'static str,
    order: &Order,
    session: &mut Session,
) -> Result<Outcome, Failure> {
    let mut culprits = Culprits::default();
    match carry_out(order, &mut culprits, interrupted(), session).await {
        Ok(accepted) => {
            let failed = accepted.workers.iter().any(|worker| worker.failure.is_some());
            if failed {
                // Before its words, what became of it.
                let _ = session.output.troubles(&accepted);
                last_lines::show(&accepted, &culprits, session).await;
            }
            Ok(Outcome { app, outcome: if failed { "failed" } else { done }, accepted, fault: None })
        }
        Err(Failure::Fault(fault)) if fault.code != FaultCode::Unreachable => {
            Ok(Outcome { app, outcome: "failed", accepted: Accepted::default(), fault: Some(fault) })
        }
        Err(failure) => Err(failure),
    }
}

/// Tells the latest outcome as soon as it is known.
async fn report(outcomes: &[Outcome], session: &mut Session) -> Result<(), Failure> {
    let Some(Outcome { app, outcome, accepted, fault }) = outcomes.last() else { return Ok(()) };
    let output = &mut session.output;
    match fault {
        Some(fault) => {
            output.flush()?;
            output.error(&format!("{app}: {}", fault.message));
            fault.hint.iter().for_each(|hint| output.hint(hint));
        }
        None if *outcome == "failed" || *outcome == "unchanged" => {}
        None => {
            accepted.warnings.iter().for_each(|warning| output.warning(warning));
            output.say(format!("{outcome} {app}"))?;
            output.flush()?;
        }
    }
    Ok(())
}

/// The whole as JSON.
fn tell(plan: &Plan, outcomes: &[Outcome], session: &mut Session) -> Result<(), Failure> {
    if !session.output.style.json {
        return Ok(());
    }
    let shape = |it: &Outcome| {
        let difference = plan.apps.iter().find(|app| app.app.as_str() == it.app);
        json!({
            "app": it.app,
            "outcome": it.outcome,
            "changes": difference.map(|it| it.changes.as_slice()).unwrap_or_default(),
            "workers": it.accepted.workers,
            "fault": it.fault,
        })
    };
    let apps: Vec<Value> = outcomes.iter().map(shape).collect();
    Ok(session.output.json(&json!({ "apps": apps }))?)
}
