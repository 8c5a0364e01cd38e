//! Listening sockets of apps: bound, kept, handed out, closed.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};
use supd_api::{AppDeclaration, Balance, Fault, FaultCode};
use supd_core::{AppName, WorkerResult};
use supd_keeper::protocol::{DescriptorName, Order, RunId};

use super::now;
use super::perform::Start;
use super::turn::Shell;
use crate::cluster::{Asker, BindError, Claim, Decision, Endpoint, PortKey, Seat, bind, holder};

impl Shell {
    /// The sockets of the declaration for a run that is about to start, bound if they are not yet.
    pub(super) fn sockets_to_inherit(
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
    pub(super) fn socket_for(&mut self, decision: Decision) -> Result<(PortKey, Arc<OwnedFd>), BindError> {
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

    /// Whether every address of a declaration can be had, before anything is changed for it.
    ///
    /// # Errors
    /// `Conflict`: names the address and, if it can be found out, who has it.
    pub(super) fn check_addresses(&self, app: &AppDeclaration) -> Result<(), Fault> {
        for address in &app.listen {
            let endpoint = Endpoint::from(address);
            if self.ports.of(&app.name).any(|(_, bound)| *bound == endpoint) {
                continue;
            }
            // Bound and closed again: what a worker gets is bound when it starts.
            if let Err(error) = bind(&endpoint, Balance::Shared) {
                let text = format!("{}: {error}{}", app.name, taken_by(&error));
                return Err(Fault::new(FaultCode::Conflict, text).hint(error.remedy()));
            }
        }
        Ok(())
    }

    /// Closes the sockets of an app that no run uses.
    pub(super) fn close_unused_sockets(&mut self, app: &AppName) {
        let Ok(app) = supd_api::AppName::new(app.0.clone()) else { return };
        for (key, endpoint) in self.ports.take_unused(&app) {
            self.close_socket(&key);
            if let Endpoint::Unix(path) = endpoint {
                // It may have been removed by hand.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    pub(super) fn close_socket(&mut self, key: &PortKey) {
        if let Some(socket) = self.sockets.remove(key) {
            // The keeper has a duplicate and closes it a moment later: until then nobody is to be let in. A socket that
            // does not listen any more has nothing to shut.
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
        let name = DescriptorName::Port(key.as_str().to_owned());
        self.keeper.order(Order::Close { name }, Vec::new());
    }

    /// After a change that went well, what an earlier revision listened on is no longer needed.
    pub(super) fn close_sockets_of_settled(&mut self, results: &[WorkerResult]) {
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

/// ` (held by pid 812, nginx)`, if that can be found out.
fn taken_by(error: &BindError) -> String {
    let found = (error.errno == Errno::EADDRINUSE).then(|| holder(&error.endpoint)).flatten();
    found.map_or(String::new(), |holder| format!(" (held by pid {}, {})", holder.pid, holder.command))
}
