//! Clients that wait for the outcome of a change.

use std::collections::BTreeMap;
use std::time::Duration;

use supd_api::{Accepted, AppName, Fault, FaultCode, WorkerOutcome};
use supd_core::{Event, Mono, RequestId, WorkerResult};
use tokio::sync::oneshot;

use crate::supervisor::call::Reply;
use crate::supervisor::now;
use crate::supervisor::state::ledger::Writer;
use crate::supervisor::turn::Shell;
use crate::supervisor::view::exit_shown;

/// From the last answer to our end: the answer has to reach the client first.
const GOODBYE: Duration = Duration::from_millis(100);
/// It is put off for no longer than this: so long a sink that takes nothing is waited for, and a little more.
const PATIENCE: Duration = Duration::from_secs(3);

/// More outcomes than these are not kept for clients that do not come for them.
const LEFT_MAX: usize = 256;

/// The end of the daemon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goodbye {
    /// When to look whether it is time.
    pub(super) at: Mono,
    at_the_latest: Mono,
}

/// Several requests of the core that are one for the client.
struct Client {
    reply: Reply<Accepted>,
    waits_for: usize,
    accepted: Accepted,
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Requests {
    clients: BTreeMap<u64, Client>,
    requests: BTreeMap<RequestId, u64>,
    next_client: u64,
    /// The latest change of the ledger: no answer is given before it is on disk.
    change: u64,
    held: Vec<(u64, Client)>,
    /// What was left by a predecessor or is left to a successor: nobody waits for it here, but somebody will ask. With
    /// what came of it.
    handed_over: BTreeMap<RequestId, Option<Vec<WorkerResult>>>,
}

impl Requests {
    /// A client that waits for these requests.
    pub(super) fn wait(&mut self, requests: &[RequestId], warnings: Vec<String>, reply: Reply<Accepted>) {
        self.next_client += 1;
        let accepted = Accepted { warnings, ..Accepted::default() };
        self.clients.insert(self.next_client, Client { reply, waits_for: requests.len(), accepted });
        self.requests.extend(requests.iter().map(|request| (*request, self.next_client)));
    }

    /// The ledger has changed; answers from now on wait until this change is on disk.
    pub(super) fn save(&mut self, change: u64) {
        self.change = change;
    }

    /// What came of one request.
    pub(super) fn answer(&mut self, request: RequestId, results: Vec<WorkerResult>, ledger: &Writer) {
        if let Some(outcome) = self.handed_over.get_mut(&request) {
            *outcome = Some(results);
            return;
        }
        // After the death of a supervisor the client is gone.
        let Some(id) = self.requests.remove(&request) else { return };
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.accepted.workers.extend(results.into_iter().filter_map(outcome));
        client.waits_for = client.waits_for.saturating_sub(1);
        if client.waits_for == 0
            && let Some(client) = self.clients.remove(&id)
        {
            self.held.push((self.change, client));
            self.release(ledger);
        }
    }

    /// Gives the answers whose changes are on disk, or cannot get there: then with a warning.
    pub(super) fn release(&mut self, ledger: &Writer) {
        for (change, mut client) in std::mem::take(&mut self.held) {
            match ledger.is_written(change) {
                Ok(false) => {
                    self.held.push((change, client));
                    continue;
                }
                Ok(true) => {}
                Err(why) => client.accepted.warnings.push(format!(
                    "it runs, but it is not written down and would not come back after a reboot: {why}; supd keeps trying"
                )),
            }
            client.accepted.workers.sort_by_key(|outcome| outcome.id);
            // A client that went away meanwhile does not want it.
            let _ = client.reply.send(Ok(client.accepted));
        }
    }

    /// Leaves everything that clients wait for to a successor, and tells them so.
    pub(super) fn hand_over(&mut self) {
        if self.handed_over.len() > LEFT_MAX {
            self.handed_over.retain(|_, outcome| outcome.is_none());
        }
        for (id, mut client) in std::mem::take(&mut self.clients) {
            let pending = self.requests.iter().filter(|(_, waiting)| **waiting == id);
            let pending: Vec<RequestId> = pending.map(|(request, _)| *request).collect();
            client.accepted.pending = pending.iter().map(|request| request.0).collect();
            self.handed_over.extend(pending.into_iter().map(|request| (request, None)));
            let _ = client.reply.send(Ok(client.accepted));
        }
        self.requests.clear();
    }

    /// Everything left to be asked for.
    pub(super) fn handed_over(&self) -> Vec<(RequestId, Option<Vec<WorkerResult>>)> {
        self.handed_over.iter().map(|(request, outcome)| (*request, outcome.clone())).collect()
    }

    /// After a predecessor.
    pub(super) fn taken_over(handed_over: Vec<(RequestId, Option<Vec<WorkerResult>>)>) -> Self {
        Self { handed_over: handed_over.into_iter().collect(), ..Self::default() }
    }

    /// Somebody comes for what was left.
    pub(super) fn claim(&mut self, wanted: &[u64], reply: Reply<Accepted>, ledger: &Writer) {
        let wanted: Vec<RequestId> = wanted.iter().copied().map(RequestId).collect();
        if let Some(unknown) = wanted.iter().find(|request| !self.handed_over.contains_key(request)) {
            let text = format!("nobody waits for the outcome of request {}", unknown.0);
            let fault = Fault::new(FaultCode::NotFound, text).hint("see `supctl list` for the present state");
            return drop(reply.send(Err(fault)));
        }
        self.next_client += 1;
        let mut client = Client { reply, waits_for: 0, accepted: Accepted::default() };
        for request in wanted {
            match self.handed_over.remove(&request).flatten() {
                Some(results) => client.accepted.workers.extend(results.into_iter().filter_map(outcome)),
                None => {
                    client.waits_for += 1;
                    self.requests.insert(request, self.next_client);
                }
            }
        }
        if client.waits_for > 0 {
            self.clients.insert(self.next_client, client);
        } else {
            self.held.push((self.change, client));
            self.release(ledger);
        }
    }

    fn is_idle(&self) -> bool {
        self.clients.is_empty() && self.held.is_empty()
    }
}

fn outcome(result: WorkerResult) -> Option<WorkerOutcome> {
    let app = AppName::new(result.app.0).ok()?;
    Some(WorkerOutcome {
        id: result.worker.0,
        app,
        failure: result.failure,
        exit: result.exit.as_ref().map(exit_shown),
    })
}

impl Shell {
    pub(super) fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// Stops all workers, keeping what is wished for the next life, then ends.
    pub(super) fn stop_everything(&mut self, reply: Option<Reply<Accepted>>) {
        let request = self.new_request();
        let reply = reply.unwrap_or_else(|| oneshot::channel().0);
        self.requests.wait(&[request], Vec::new(), reply);
        self.turn(Event::Shutdown { request });
    }

    pub(super) fn begin_to_quit(&mut self) {
        if self.core.is_halting() && self.goodbye.is_none() && self.core.runs().next().is_none() {
            let now = now().mono;
            self.goodbye = Some(Goodbye { at: now + GOODBYE, at_the_latest: now + PATIENCE });
        }
    }

    /// Ends the daemon when everyone has been answered and what its workers wrote last is where it belongs.
    pub(super) fn quit_when_done(&mut self) {
        let now = now().mono;
        let Some(goodbye) = self.goodbye.filter(|goodbye| goodbye.at <= now) else { return };
        let done = self.requests.is_idle() && self.outputs.is_empty();
        if !done && now < goodbye.at_the_latest {
            self.goodbye = Some(Goodbye { at: now + GOODBYE, ..goodbye });
            return;
        }
        self.goodbye = None;
        // Whoever finds the socket missing starts a new daemon; whoever connects to it would wait for ever.
        let _ = std::fs::remove_file(self.home.socket());
        self.keeper.order(supd_keeper::protocol::Order::Quit { code: self.code() }, Vec::new());
    }
}

/// The fault for whatever can only be a defect.
pub(super) fn internal(what: &str) -> Fault {
    Fault::new(FaultCode::Internal, what).hint("this is a defect of supd; please report it with its log")
}
