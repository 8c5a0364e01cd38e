//! list and jlist: everything at a glance.

use crate::ctl::output::Failure;
use crate::ctl::{Session, jlist as shape, table};

/// `list`.
pub(crate) async fn list(session: &mut Session) -> Result<(), Failure> {
    let workers = session.client.workers(&[]).await?;
    let output = &mut session.output;
    if output.style.json {
        return Ok(output.json(&workers)?);
    }
    output.line(table::list(&workers, output.style))?;
    if workers.is_empty() {
        output.flush()?;
        output.note("nothing here yet: `supctl start app.js`, or `supctl init` for a declaration file");
    }
    Ok(())
}

/// `jlist`.
pub(crate) async fn jlist(session: &mut Session) -> Result<(), Failure> {
    let apps = session.client.declarations().await?;
    Ok(session.output.json(&shape::jlist(&apps, &shape::Shown::Harmless))?)
}
