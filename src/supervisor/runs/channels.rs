//! What workers say on their IPC channels, and what follows from it.

use supd_api::{AppDeclaration, ExecMode, Secret};
use supd_core::{Event, Phase, RunId};
use supd_keeper::protocol;

use crate::cluster::bind::deepen;
use crate::cluster::{Asker, Delivery, Ended, Endpoint, FromWorker, Seat, ServerQuery, ToWorker};
use crate::supervisor::turn::{Receipt, Shell};
use crate::supervisor::versions::revision::Revision;

impl Shell {
    /// Handles one line of a channel. Its receipt is signed with the next snapshot, so that no line is lost with us.
    pub(crate) fn on_delivery(&mut self, delivery: Delivery) {
        let run = RunId(delivery.run.0);
        if let FromWorker::Message { text, missed } = &delivery.event
            && !self.on_word(run, text, *missed)
        {
            // No snapshot knows of it, so none is waited for.
            return delivery.receipt.sign();
        }
        if let Some(revision) = self.revision_of(run) {
            self.on_message(run, &revision, delivery.event);
        }
        self.receipts.push(Receipt::Line(delivery.receipt));
        self.unsaved = true;
    }

    fn on_message(&mut self, run: RunId, revision: &Revision, event: FromWorker) {
        let app = &revision.declaration;
        match event {
            FromWorker::Ready if app.ready.wait_ready => self.turn(Event::Ready { run }),
            FromWorker::Preloaded => self.on_preloaded(run),
            FromWorker::Listening(_) => {
                self.deepen_queues(run);
                self.ask_when_listening(run);
                if tells_by_listening(app) {
                    self.on_listening(run, revision);
                }
            }
            FromWorker::Query { seq, query } => self.answer_query(run, revision, seq, &query),
            FromWorker::Closed(key) => {
                if let Some(key) = self.ports.closed(protocol::RunId(run.0), &key) {
                    self.close_socket(&key);
                }
            }
            FromWorker::Ended(ended) => {
                self.channels.remove(&run);
                self.agents.hang_up(run);
                // What drains closes its channel when it has finished.
                self.turn(Event::Drained { run });
                match ended {
                    Ended::Closed => {}
                    Ended::Failed(_) | Ended::Deaf { .. } => {
                        tracing::warn!("run {run} of {}: its channel is given up: {ended:?}", app.name);
                    }
                }
            }
            FromWorker::Ready
            | FromWorker::Online
            | FromWorker::ExitedAfterDisconnect
            | FromWorker::Message { .. } => {}
        }
    }

    /// A worker that listens is ready, if it listens wherever the one listens that it is to replace.
    fn on_listening(&mut self, run: RunId, revision: &Revision) {
        if self.not_listened_on(run, revision).is_empty() {
            return self.turn(Event::Ready { run });
        }
        // The next `listen` may be the right one.
        let (doubts, patience) =
            (self.outlets.doubts.clone(), revision.declaration.ready.listen_timeout.duration());
        tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            // The loop may have ended.
            let _ = doubts.send(run);
        });
    }

    /// A replacement that listened somewhere else had time enough.
    pub(crate) fn on_doubt(&mut self, run: RunId) {
        let Some(revision) = self.revision_of(run) else { return };
        let missing = self.not_listened_on(run, &revision);
        if !missing.is_empty() {
            let why = format!("it does not listen on {}, as the one before it does", missing.join(" and "));
            self.turn(Event::Unfit { run, why });
        }
    }

    /// The addresses that the app had when its version was proven and on which this run, which is to take over in a reload,
    /// does not listen. A declaration with another `PORT` or `listen` wants it otherwise, and a random port cannot be the same.
    fn not_listened_on(&self, run: RunId, revision: &Revision) -> Vec<String> {
        let Some((app, _, instance, view)) = self.core.run(run) else { return Vec::new() };
        let starting = matches!(view.phase, Phase::Starting { .. } | Phase::Spawning { .. });
        let takes_over = self.core.progress(app).is_some() || self.core.neighbour(run).is_some();
        let proven = self.core.proven(app).and_then(|id| self.revision(app, id));
        let Some(proven) = proven.filter(|_| starting && takes_over) else { return Vec::new() };
        if port_variable(proven) != port_variable(revision) {
            return Vec::new();
        }
        let declared: Vec<Endpoint> = proven.declaration.listen.iter().map(Endpoint::from).collect();
        let name = &revision.declaration.name;
        let missing = self.ports.not_used_by(protocol::RunId(run.0), name, Seat(instance));
        missing.filter(|endpoint| !declared.contains(endpoint)).map(ToString::to_string).collect()
    }

    /// Node's own listen(2) has cut the accept queue of the shared socket to 511; connections that wait while workers
    /// are replaced may be more.
    fn deepen_queues(&self, run: RunId) {
        for key in self.ports.used_by(protocol::RunId(run.0)) {
            // It fails for UDP sockets, which have no such queue.
            let _ = self.sockets.get(key).map(deepen);
        }
    }

    fn answer_query(&mut self, run: RunId, revision: &Revision, seq: u64, query: &ServerQuery) {
        let Some((_, _, instance, _)) = self.core.run(run) else { return };
        let app = &revision.declaration;
        let asker =
            Asker { app: &app.name, seat: Seat(instance), run: protocol::RunId(run.0), balance: app.balance };
        let decision = self.ports.query(asker, seq, query);
        let (key, socket) = match self.socket_for(decision) {
            Ok((key, socket)) => (key, Ok(socket)),
            Err(error) => {
                tracing::warn!("{}: a worker could not listen: {error}", app.name);
                (String::new().into(), Err(error.errno))
            }
        };
        let data = self.ports.data(&key).clone();
        self.keep();
        if let Some(channel) = self.channels.get(&run) {
            channel.send(ToWorker::Answer { seq, key, data, socket });
        }
    }
}

/// A Node cluster worker tells by `listening`, unless its declaration asks for another proof.
pub(crate) fn tells_by_listening(app: &AppDeclaration) -> bool {
    let ready = &app.ready;
    app.exec_mode == ExecMode::Cluster
        && !ready.wait_ready
        && ready.probe.is_none()
        && ready.startup.is_none()
}

fn port_variable(revision: &Revision) -> Option<&str> {
    let layers = revision.declaration.environment.layers.iter().rev();
    layers.filter_map(|layer| layer.variables.get("PORT")).map(Secret::reveal).next()
}
