//! What every version passes on its way in, whether it is applied whole or only where it differs.

use supd_api::Fault;

use crate::config;
use crate::supervisor::call::Reply;
use crate::supervisor::runs::sockets::Taken;
use crate::supervisor::turn::Shell;
use crate::supervisor::versions::revision::Revision;

/// Why nothing of a request is done.
pub(crate) enum Refusal {
    Fault(Fault),
    Taken(Taken),
}

impl Shell {
    /// As this daemon keeps it.
    pub(crate) fn adopt(&self, revision: &mut Revision) {
        if let Some(runtime) = self.runtime {
            runtime.redirect(&mut revision.declaration.logs);
        }
    }

    /// These versions, what others depend on first.
    ///
    /// # Errors
    /// The daemon is being stopped, the apps cannot be brought into an order, or one would listen where it cannot.
    pub(crate) fn admit<T>(
        &self,
        items: Vec<T>,
        revision: impl Fn(&T) -> &Revision,
    ) -> Result<Vec<T>, Refusal> {
        self.refuse_while_halting().map_err(Refusal::Fault)?;
        self.check_order(items.iter().map(&revision)).map_err(Refusal::Fault)?;
        match items.iter().find_map(|item| self.taken_address(&revision(item).declaration)) {
            Some(taken) => Err(Refusal::Taken(taken)),
            None => Ok(config::in_order(items, |item| &revision(item).declaration)),
        }
    }
}

impl Refusal {
    pub(crate) fn tell<T: Send + 'static>(self, reply: Reply<T>) {
        match self {
            Self::Fault(fault) => drop(reply.send(Err(fault))),
            // Finding out by whom looks through all processes.
            Self::Taken(taken) => {
                tokio::task::spawn_blocking(move || drop(reply.send(Err(taken.fault()))));
            }
        }
    }
}
