//! id and pid: numbers for scripts, one a line.

use supd_api::WorkerView;

use crate::ctl::Session;
use crate::ctl::output::Failure;

/// `id`.
pub(crate) async fn ids(target: String, session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(&[target]).await?;
    numbers(&workers, session, |worker| i64::from(worker.id))
}

/// `pid`; 0 stands for a worker that is not running, as with PM2.
pub(crate) async fn pids(targets: &[String], session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(targets).await?;
    numbers(&workers, session, |worker| i64::from(worker.pid.unwrap_or(0)))
}

fn numbers(
    workers: &[WorkerView],
    session: &mut Session,
    number: impl Fn(&WorkerView) -> i64,
) -> Result<(), Failure> {
    let numbers: Vec<i64> = workers.iter().map(number).collect();
    if session.output.style.json {
        return Ok(session.output.json(&numbers)?);
    }
    for number in numbers {
        session.output.line(number.to_string())?;
    }
    Ok(())
}
