//! How does somebody who has PM2 come over? Reads what PM2 runs, says what becomes of each app, writes it down as a declaration,
//! and moves app by app if told to. It may not change anything of PM2's without `--live`.

pub(crate) mod args;
pub(crate) mod convert;
mod document;
mod live;
mod plan;
pub(crate) mod process;
mod sockets;
mod source;
pub(crate) mod variables;

use supd_api::{AppDeclaration, Fault, FaultCode};

use args::MigrateArgs;
use convert::Converted;
use plan::Plan;

use super::args::Selection;
use super::output::{Failure, Output};
use super::{Session, declare};
use crate::config::{self, Options};
use crate::nearest::nearest;

/// `migrate pm2` without `--live`: no daemon is asked.
pub(crate) fn migrate(args: &MigrateArgs, output: &mut Output) -> Result<(), Failure> {
    let plan = plan(args)?;
    let files = files(&plan, args);
    plan.show(&files, output)?;
    if plan.apps.is_empty() {
        return plan.outcome(output);
    }
    let loaded = document::write(&files, args.force, &options())?;
    for warning in &loaded.warnings {
        output.warning(&declare::spell(warning));
    }
    for file in &files {
        output.say(format!("wrote {}", file.path.display()))?;
    }
    output
        .say("next: `supctl migrate pm2 --live` moves app by app, or stop them in PM2 and `supctl start`")?;
    plan.outcome(output)
}

/// `migrate pm2 --live`. An `ecosystem.toml` that is there is taken as it is: somebody may have improved it.
pub(crate) async fn live(args: &MigrateArgs, session: &mut Session) -> Result<(), Failure> {
    let plan = plan(args)?;
    let Some(pm2) = &plan.running else {
        let fault = Fault::new(FaultCode::NotFound, format!("no PM2 runs: this is {}", plan.origin));
        return Err(fault
            .hint("`supctl migrate pm2` writes ecosystem.toml, `supctl start` starts it")
            .into());
    };
    let files = files(&plan, args);
    let output = &mut session.output;
    let file = files.last().map(|file| file.path.clone()).unwrap_or_default();
    let loaded = if file.exists() && !args.force {
        plan.show(&[], output)?;
        output.say(format!("taking {} as it is", file.display()))?;
        config::load_file(&file, &options()).map_err(|rejected| declare::fault(&rejected))?
    } else {
        plan.show(&files, output)?;
        document::write(&files, args.force, &options())?
    };
    output.flush()?;
    let moved = live::all(&plan, &loaded.apps, pm2, session).await?;
    live::end(&moved, args.yes, pm2, session)?;
    plan.outcome(&mut session.output)
}

/// The caller's surroundings, as for `supctl start FILE`.
pub(crate) fn options() -> Options {
    declare::options(&Selection::default(), false)
}

/// Whether supd takes an app, and how.
///
/// # Errors
/// Why not, each problem on a line.
pub(crate) fn declaration(app: &Converted) -> Result<AppDeclaration, String> {
    let mut fields = app.fields.clone();
    fields.insert("name".to_owned(), app.name.clone().into());
    fields.insert("env".to_owned(), app.all_variables().into());
    let loaded = config::from_fields(fields, &options());
    let rejected = match loaded.map(|loaded| loaded.apps.into_iter().next()) {
        Ok(Some(app)) => return Ok(app),
        Ok(None) => return Err("nothing is declared".to_owned()),
        Err(rejected) => rejected,
    };
    let lines = rejected.problems.iter().map(|problem| match &problem.hint {
        Some(hint) => format!("{}: {} ({hint})", problem.path, problem.message),
        None => format!("{}: {}", problem.path, problem.message),
    });
    Err(lines.collect::<Vec<_>>().join("\n"))
}

fn plan(args: &MigrateArgs) -> Result<Plan, Fault> {
    let source = source::read(args)?;
    let (mut apps, modules) = process::group(source.processes);
    if let Some(only) = args.only.iter().find(|only| !apps.iter().any(|app| app.name == **only)) {
        let fault = Fault::new(FaultCode::NotFound, format!("PM2 has no app named `{only}`"));
        return Err(match nearest(only, apps.iter().map(|app| app.name.as_str())) {
            Some(name) => fault.hint(format!("did you mean `{name}`?")),
            None => fault,
        });
    }
    apps.retain(|app| args.only.is_empty() || args.only.contains(&app.name));
    if apps.is_empty() {
        return Err(Fault::new(FaultCode::NotFound, format!("no apps in {}", source.origin)));
    }
    let converted = convert::convert(&apps, &options().caller);
    Ok(Plan::new(converted, modules, source.origin, source.running))
}

fn files(plan: &Plan, args: &MigrateArgs) -> Vec<document::File> {
    let apps: Vec<&Converted> = plan.apps.iter().map(|planned| &planned.app).collect();
    document::files(&apps, &plan.origin, &config::absolute(&options().cwd, &args.out.to_string_lossy()))
}

#[cfg(test)]
mod tests;
