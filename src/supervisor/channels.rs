//! What workers say on their IPC channels, and what follows from it.

use supd_api::ExecMode;
use supd_core::{Event, RunId};
use supd_keeper::protocol;

use super::revision::Revision;
use super::turn::Shell;
use crate::cluster::bind::deepen;
use crate::cluster::{Asker, Delivery, Ended, FromWorker, Seat, ServerQuery, ToWorker};

impl Shell {
    /// Handles one line of a channel. Its receipt is signed with the next snapshot, so that no line is lost with us.
    pub(super) fn on_delivery(&mut self, delivery: Delivery) {
        let run = RunId(delivery.run.0);
        if let Some(revision) = self.revision_of(run) {
            self.on_message(run, &revision, delivery.event);
        }
        self.receipts.push(delivery.receipt);
        self.unsaved = true;
    }

    fn on_message(&mut self, run: RunId, revision: &Revision, event: FromWorker) {
        let app = &revision.declaration;
        let tells_by_listening = app.exec_mode == ExecMode::Cluster && !app.ready.wait_ready;
        match event {
            FromWorker::Ready if app.ready.wait_ready => self.turn(Event::Ready { run }),
            FromWorker::Listening(_) => {
                self.deepen_queues(run);
                if tells_by_listening {
                    self.turn(Event::Ready { run });
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
                match ended {
                    Ended::Closed => {}
                    Ended::Failed(_) | Ended::Deaf { .. } => {
                        tracing::warn!("run {run} of {}: its channel is given up: {ended:?}", app.name);
                    }
                }
            }
            FromWorker::Ready
            | FromWorker::Online
            | FromWorker::Preloaded
            | FromWorker::ExitedAfterDisconnect
            | FromWorker::Message(_) => {}
        }
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
