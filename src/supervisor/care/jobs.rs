//! Runs of jobs that somebody asks for, and what of them is shown.

use std::collections::BTreeSet;

use supd_api::{Accepted, Fault, FaultCode, JobResult, JobView};
use supd_core::{AppName, Event, Exit, Mono, SeatView, WorkerId};

use crate::supervisor::call::{Pace, Reply};
use crate::supervisor::turn::Shell;
use crate::supervisor::view::exit_shown;

impl Shell {
    /// Runs these jobs once, and answers when they have ended.
    pub(crate) fn run_jobs(&mut self, targets: &[String], pace: Pace, reply: Reply<Accepted>) {
        let apps = match self.jobs(targets) {
            Ok(apps) => apps,
            Err(fault) => return drop(reply.send(Err(fault))),
        };
        let requests: Vec<_> = apps.iter().map(|_| self.new_request()).collect();
        let wanted = apps.into_iter().zip(&requests);
        let events: Vec<Event> = wanted
            .map(|(app, request)| Event::Run { request: Some(*request), app, why: "asked for".to_owned() })
            .collect();
        self.wait(&requests, Vec::new(), pace, reply);
        events.into_iter().for_each(|event| self.turn(event));
    }

    fn jobs(&self, targets: &[String]) -> Result<BTreeSet<AppName>, Fault> {
        let apps = self.apps_of(targets)?;
        match apps.iter().find(|app| !self.core.is_job(app)) {
            None => Ok(apps),
            Some(app) => Err(Fault::new(FaultCode::Invalid, format!("`{app}` is no job, it has no runs"))
                .hint(format!(
                    "`supctl restart {app}` gives it new processes; a job is declared with `[apps.job]`"
                ))),
        }
    }

    /// What is shown of those workers that are jobs.
    pub(crate) fn job_views(&self, now: Mono) -> impl Iterator<Item = (WorkerId, JobView)> {
        self.core.view(now).filter_map(|seat| Some((seat.worker, self.job_view(&seat)?)))
    }

    fn job_view(&self, seat: &SeatView<'_>) -> Option<JobView> {
        let job = seat.job?;
        let last = seat.last_exit.map(|(exit, at, took)| supd_api::JobRun {
            result: result(exit, job.stopped),
            exit: exit_shown(exit),
            at: at.0,
            took: took.into(),
        });
        Some(JobView {
            next: self.timetable.next_of(seat.app).filter(|_| job.heeds_clock),
            queued: job.queued,
            last,
            runs: self.counts.runs_of(seat.app),
        })
    }
}

fn result(exit: &Exit, stopped: bool) -> JobResult {
    match exit {
        _ if stopped => JobResult::Stopped,
        Exit::Code(0) => JobResult::Completed,
        Exit::TimedOut(_) => JobResult::TimedOut,
        Exit::Code(_)
        | Exit::Signal(_)
        | Exit::OutOfMemory
        | Exit::NotStarted(_)
        | Exit::NotReady(_)
        | Exit::Unfit(_)
        | Exit::Unknown => JobResult::Failed,
    }
}
