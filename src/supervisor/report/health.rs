//! Is everything as it shall be? For load balancers and whoever watches.

use supd_api::{AppName, Fault, HealthReason, HealthView, Status, WorkerView};

use crate::supervisor::now;
use crate::supervisor::turn::Shell;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Has nothing failed? A worker that has been given up or waits for its next start has.
    Healthy,
    /// Is every worker ready that shall run?
    Ready,
}

impl Shell {
    /// Of the workers that these targets name; without targets, of the daemon and all it has.
    pub(crate) fn health(&mut self, question: Question, targets: &[String]) -> Result<HealthView, Fault> {
        let wished: Vec<(u32, bool)> =
            self.core.view(now().mono).map(|seat| (seat.worker.0, seat.wished)).collect();
        let is_wished = |id| wished.iter().any(|(worker, wished)| *worker == id && *wished);
        let views = self.worker_views(targets)?;
        let seats: Vec<(bool, &WorkerView)> = views.iter().map(|view| (is_wished(view.id), view)).collect();
        let mut health = judge(question, &seats);
        if question == Question::Ready && self.core.is_halting() {
            health.ok = false;
            health.reasons.insert(0, of_all("supd is being stopped"));
        }
        // Of an app that is named somebody expects something, unless it is a job between two runs; of all there is, nothing may be
        // enough.
        let expected = !targets.is_empty() && views.iter().any(|view| view.job.is_none());
        if question == Question::Ready && expected && health.wanted == 0 {
            health.ok = false;
            health.reasons.push(of_all("no worker of it shall run"));
        }
        Ok(health)
    }
}

/// Workers, each with whether it is wished up. One whose policy let it end (a job that is done) is not wanted any more.
fn judge(question: Question, seats: &[(bool, &WorkerView)]) -> HealthView {
    let wanted: Vec<&WorkerView> = seats
        .iter()
        .filter(|(wished, view)| is_wanted(*wished, view.status))
        .map(|(_, view)| *view)
        .collect();
    let is_well = |view: &WorkerView| match (question, view.status) {
        (_, Status::Online) => true,
        (Question::Healthy, status) => !matches!(status, Status::Errored | Status::Waiting),
        (Question::Ready, _) => false,
    };
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let reasons: Vec<HealthReason> =
        wanted.iter().filter(|view| !is_well(view)).map(|view| of_worker(view)).collect();
    HealthView {
        ok: reasons.is_empty(),
        wanted: count(wanted.len()),
        ready: count(wanted.iter().filter(|view| view.status == Status::Online).count()),
        reasons,
    }
}

/// Whether somebody waits for this worker to run.
pub(crate) fn is_wanted(wished: bool, status: Status) -> bool {
    wished && status != Status::Stopped
}

fn of_worker(view: &WorkerView) -> HealthReason {
    let app: AppName = view.app.clone();
    HealthReason {
        app: Some(app),
        worker: Some(view.id),
        status: Some(view.status),
        reason: view.reason.clone(),
    }
}

fn of_all(reason: &str) -> HealthReason {
    HealthReason { app: None, worker: None, status: None, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(id: u32, status: Status) -> WorkerView {
        let view = serde_json::json!({
            "id": id, "app": "web", "namespace": "default", "instance": 0, "exec_mode": "fork_mode", "pid": null,
            "status": status, "reason": "why", "remaining": null, "uptime": null, "restarts": 0,
            "unstable_restarts": 0, "cpu": 0.0, "memory": 0, "user": "u", "version": null, "created_at": 0,
            "started_at": null, "last_exit": null, "out_file": null, "error_file": null, "pid_file": "/p",
        });
        serde_json::from_value(view).expect("a worker")
    }

    #[test]
    fn each_state_of_one_that_shall_run() {
        for (status, wanted, ready, healthy, ready_ok) in [
            (Status::Online, 1, 1, true, true),
            (Status::Launching, 1, 0, true, false),
            (Status::Stopping, 1, 0, true, false),
            // A job that is done.
            (Status::Stopped, 0, 0, true, true),
            (Status::Errored, 1, 0, false, false),
            (Status::Waiting, 1, 0, false, false),
        ] {
            let view = worker(3, status);
            let judged = |question| judge(question, &[(true, &view)]);
            let (health, readiness) = (judged(Question::Healthy), judged(Question::Ready));
            assert_eq!((health.ok, readiness.ok), (healthy, ready_ok), "{status:?}");
            assert_eq!((readiness.wanted, readiness.ready), (wanted, ready), "{status:?}");
            assert_eq!(readiness.reasons.is_empty(), readiness.ok);
        }
    }

    #[test]
    fn who_is_not_wished_up_is_not_waited_for() {
        let (up, down) = (worker(0, Status::Online), worker(1, Status::Stopping));
        assert!(judge(Question::Ready, &[(true, &up), (false, &down)]).ok);
        let readiness = judge(Question::Ready, &[(true, &up), (true, &down)]);
        let reason = HealthReason {
            app: Some(up.app.clone()),
            worker: Some(1),
            status: Some(Status::Stopping),
            reason: "why".to_owned(),
        };
        assert_eq!(readiness, HealthView { ok: false, wanted: 2, ready: 1, reasons: vec![reason] });
    }
}
