//! reload and rollback: apps are moved to another version, worker by worker.

use supd_api::{AppDeclaration, AppName, Fault};

use super::act::sorted;
use crate::ctl::args::{ReloadArgs, RollbackArgs};
use crate::ctl::order::{Move, Order, submit};
use crate::ctl::output::Failure;
use crate::ctl::{Session, declare};

/// `reload`: to what the files of the apps declare now.
pub(crate) async fn reload(args: ReloadArgs, session: &mut Session) -> Result<(), Failure> {
    let ReloadArgs { act, patience } = args;
    let (mut declared, targets) = sorted(act, session)?;
    let unsourced = read_again(targets, &mut declared, session).await?;
    let mut orders = Vec::new();
    if !declared.is_empty() {
        orders.push(Order::reload(declared, patience));
    }
    if !unsourced.is_empty() {
        orders.push(Order::moving(Move::Reload, unsourced, patience));
    }
    submit(Move::Reload.done(), orders, session).await
}

/// `rollback`: to what was declared before.
pub(crate) async fn rollback(args: RollbackArgs, session: &mut Session) -> Result<(), Failure> {
    let RollbackArgs { targets, patience } = args;
    let apps = session.client.apps(&targets).await?;
    let names = apps.into_iter().map(|app| app.declaration.name).collect();
    submit(Move::Rollback.done(), vec![Order::moving(Move::Rollback, names, patience)], session).await
}

/// Adds the declarations on disk of the apps that came from a file; the names of the others are returned.
async fn read_again(
    targets: Vec<String>,
    declared: &mut Vec<AppDeclaration>,
    session: &mut Session,
) -> Result<Vec<AppName>, Fault> {
    let mut unsourced = Vec::new();
    if targets.is_empty() {
        return Ok(unsourced);
    }
    for app in session.client.apps(&targets).await? {
        if declared.iter().any(|given| given.name == app.declaration.name) {
            continue;
        }
        match declare::load_again(&app, &mut session.output)? {
            Some(loaded) => declared.extend(loaded.apps),
            None => unsourced.push(app.declaration.name),
        }
    }
    Ok(unsourced)
}
