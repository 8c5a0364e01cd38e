//! Listening sockets of apps: bound, kept, handed out, closed.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use supd_api::{AppDeclaration, Balance, Fault, FaultCode};
use supd_core::{AppName, WorkerResult};
use supd_keeper::protocol::{DescriptorName, Order, RunId};

use crate::cluster::{Asker, BindError, Claim, Decision, Endpoint, PortKey, Seat, bind, holder};
use crate::supervisor::now;
use crate::supervisor::perform::Start;
use crate::supervisor::turn::Shell;

impl Shell {
    /// The sockets of the declaration for a run that is about to start, bound if they are not yet.
    pub(crate) fn sockets_to_inherit(
        &mut self,
        app: &AppDeclaration,
        start: &Start,
    ) -> Result<Vec<Arc<OwnedFd>>, String> {
        let mut sockets = Vec::new();
        for address in &app.listen {
            let asker = Asker {
                app: &app.name,
                seat: Seat(start.instance),
                run: RunId(start.run.0),
                balance: app.balance,
            };
            let decision = self.ports.inherit(asker, &Endpoint::from(address));
            sockets.push(self.socket_for(decision).map_err(|refusal| refusal.to_string())?.1);
        }
        Ok(sockets)
    }

    /// Carries out what the table of ports decided.
    pub(crate) fn socket_for(&mut self, decision: Decision) -> Result<(PortKey, Arc<OwnedFd>), BindError> {
        match decision {
            Decision::Have(key) => {
                let socket = self.sockets.get(&key).cloned();
                // A socket that did not come back from the keeper: nothing to be done for this run.
                let lost =
                    || BindError { endpoint: Endpoint::Unix(key.as_str().into()), errno: Errno::EBADF };
                Ok((key.clone(), socket.ok_or_else(lost)?))
            }
            Decision::Bind(claim) => self.bind(claim),
            Decision::Refuse(errno) => Err(BindError { endpoint: Endpoint::Unix("-".into()), errno }),
        }
    }

    fn bind(&mut self, claim: Box<Claim>) -> Result<(PortKey, Arc<OwnedFd>), BindError> {
        let bound = bind(&claim.endpoint, claim.balance)?;
        let socket = Arc::new(bound.socket);
        let key = self.ports.bound(claim, bound.endpoint);
        self.sockets.insert(key.clone(), Arc::clone(&socket));
        // First the snapshot that knows of it: a successor closes what it does not know.
        self.keep();
        self.store(DescriptorName::Port(key.as_str().to_owned()), &socket);
        Ok((key, socket))
    }

    /// The first address of a declaration that cannot be had, before anything is changed for it.
    pub(crate) fn taken_address(&self, app: &AppDeclaration) -> Option<Taken> {
        let endpoints = app.listen.iter().map(Endpoint::from);
        let mut missing =
            endpoints.filter(|endpoint| !self.ports.of(&app.name).any(|(_, bound)| bound == endpoint));
        // Bound and closed again: what a worker gets is bound when it starts.
        let error = missing.find_map(|endpoint| bind(&endpoint, Balance::Shared).err())?;
        Some(Taken { app: app.name.clone(), error })
    }

    /// Closes the sockets of an app that no run uses.
    pub(crate) fn close_unused_sockets(&mut self, app: &AppName) {
        let Ok(app) = supd_api::AppName::new(app.0.clone()) else { return };
        for (key, endpoint) in self.ports.take_unused(&app) {
            self.close_socket(&key);
            if let Endpoint::Unix(path) = endpoint {
                // It may have been removed by hand.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    pub(crate) fn close_socket(&mut self, key: &PortKey) {
        if let Some(socket) = self.sockets.remove(key) {
            // The keeper has a duplicate and closes it a moment later: until then nobody is to be let in. A socket that
            // does not listen any more has nothing to shut.
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
        let name = DescriptorName::Port(key.as_str().to_owned());
        self.keeper.order(Order::Close { name }, Vec::new());
    }

    /// After a change that went well, what an earlier revision listened on is no longer needed.
    pub(crate) fn close_sockets_of_settled(&mut self, results: &[WorkerResult]) {
        let mut apps: Vec<&AppName> = results.iter().map(|result| &result.app).collect();
        apps.dedup();
        for app in apps {
            let online = |state| state == supd_core::State::Online;
            let settled =
                self.core.view(now().mono).filter(|seat| seat.app == app).all(|seat| online(seat.state));
            if settled {
                self.close_unused_sockets(app);
            }
        }
    }
}

/// An address that an app cannot have.
pub(crate) struct Taken {
    app: supd_api::AppName,
    error: BindError,
}

impl Taken {
    /// Names the address and, if it can be found out, who has it. Looks through all processes: not for the loop.
    pub(crate) fn fault(&self) -> Fault {
        let Self { app, error } = self;
        let holder = (error.errno == Errno::EADDRINUSE).then(|| holder(&error.endpoint)).flatten();
        let by = holder
            .map_or(String::new(), |holder| format!(" (held by pid {}, {})", holder.pid, holder.command));
        Fault::new(FaultCode::Conflict, format!("{app}: {error}{by}")).hint(error.remedy())
    }
}
