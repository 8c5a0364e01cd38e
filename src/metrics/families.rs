//! Which figures there are, by what names.
//!
//! Labels have few values each: names of apps, numbers of seats, and closed lists. What has no bound (pids, paths, reasons) is no label.

use supd_api::{AutoscaleView, ExecMode, JobRuns, JobView, PressureView, Status, StreamView};

use super::text::{Family, Form, Kind, Page};
use super::{App, Own, Reloads, Scene, Worker};

/// All states of a worker.
const STATUSES: [Status; 6] =
    [Status::Online, Status::Launching, Status::Stopping, Status::Stopped, Status::Errored, Status::Waiting];
/// Those that only a job can be in.
const JOB_STATUSES: [Status; 2] = [Status::Scheduled, Status::Idle];

/// The whole page.
pub fn page(scene: &Scene, form: Form) -> String {
    let mut page = Page::new(form);
    daemon(&mut page, scene);
    own(&mut page, &scene.own);
    apps(&mut page, &scene.apps);
    autoscale(&mut page, &scene.apps);
    workers(&mut page, &scene.workers);
    jobs(&mut page, &scene.workers);
    output(&mut page, &scene.workers);
    page.end()
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, help }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, help }
}

const fn info(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Info, help }
}

fn daemon(page: &mut Page, scene: &Scene) {
    page.begin(&info("supd_build", "Version of the running supervisor."));
    page.sample(&[("version", &scene.version)], 1.0);
    page.begin(&gauge("supd_uptime_seconds", "Time since the daemon was started."));
    page.sample(&[], scene.uptime.as_secs_f64());
    page.begin(&counter("supd_supervisor_restarts", "How often the supervisor was started again."));
    page.sample(&[], f64::from(scene.supervisor_restarts));
}

fn own(page: &mut Page, all: &[Own]) {
    let mut each = |family: Family, value: fn(&Own) -> Option<f64>| {
        page.begin(&family);
        for own in all {
            if let Some(value) = value(own) {
                page.sample(&[("process", own.name)], value);
            }
        }
    };
    each(counter("supd_process_cpu_seconds", "Processor time that the daemon itself has used."), |own| {
        Some(own.cpu_time.as_secs_f64())
    });
    each(gauge("supd_process_memory_bytes", "Resident memory of the daemon itself."), |own| {
        Some(own.memory as f64)
    });
    each(gauge("supd_process_open_fds", "Open descriptors of the daemon itself."), |own| {
        own.open_files.map(|count| count as f64)
    });
}

fn apps(page: &mut Page, apps: &[App]) {
    page.begin(&info("supd_app", "What is declared of the app."));
    for app in apps {
        let mode = match app.exec_mode {
            ExecMode::Fork => "fork",
            ExecMode::Cluster => "cluster",
        };
        let version = app.version.as_deref().unwrap_or_default();
        let labels = [
            ("app", app.name.as_str()),
            ("namespace", app.namespace.as_str()),
            ("exec_mode", mode),
            ("version", version),
        ];
        page.sample(&labels, 1.0);
    }
    let mut each = |family: Family, value: fn(&App) -> f64| {
        page.begin(&family);
        for app in apps {
            page.sample(&[("app", app.name.as_str())], value(app));
        }
    };
    each(gauge("supd_app_revision", "Number of the declaration's present version."), |app| {
        app.revision as f64
    });
    each(gauge("supd_app_workers_wanted", "How many workers shall run."), |app| f64::from(app.wanted));
    each(gauge("supd_app_workers_ready", "How many of the workers that shall run are ready."), |app| {
        f64::from(app.ready)
    });
    page.begin(&counter("supd_app_reloads", "Reloads that have ended, by outcome."));
    for app in apps {
        let Reloads { done, failed, rolled_back } = app.reloads;
        for (outcome, count) in [("done", done), ("failed", failed), ("rolled_back", rolled_back)] {
            page.sample(&[("app", app.name.as_str()), ("outcome", outcome)], count as f64);
        }
    }
}

fn autoscale(page: &mut Page, apps: &[App]) {
    let mut each = |family: Family, value: fn(&AutoscaleView) -> Option<u32>| {
        page.begin(&family);
        for app in apps {
            if let Some(value) = app.autoscale.as_ref().and_then(value) {
                page.sample(&[("app", app.name.as_str())], f64::from(value));
            }
        }
    };
    each(gauge("supd_app_autoscale_workers_min", "The fewest workers that autoscaling allows."), |view| {
        Some(view.min)
    });
    each(gauge("supd_app_autoscale_workers_max", "The most workers that autoscaling allows."), |view| {
        Some(view.max)
    });
    each(gauge("supd_app_autoscale_workers_desired", "How many workers the load asks for."), |view| {
        view.wanted
    });
}

fn workers(page: &mut Page, workers: &[Worker]) {
    let mut each = |family: Family, value: fn(&Worker) -> Option<f64>| {
        page.begin(&family);
        for worker in workers {
            let id = worker.view.id.to_string();
            if let Some(value) = value(worker) {
                page.sample(&[("app", worker.view.app.as_str()), ("worker", &id)], value);
            }
        }
    };
    each(gauge("supd_worker_up", "1 while the worker is ready, else 0."), |worker| {
        Some(f64::from(u8::from(worker.view.status == Status::Online)))
    });
    each(counter("supd_worker_restarts", "How often the worker was started again."), |worker| {
        Some(f64::from(worker.view.restarts))
    });
    each(counter("supd_worker_crashes", "Ends and failed starts that nobody asked for."), |worker| {
        Some(worker.crashes as f64)
    });
    each(gauge("supd_worker_unstable_restarts", "Short lives in a row."), |worker| {
        Some(f64::from(worker.view.unstable_restarts))
    });
    each(gauge("supd_worker_uptime_seconds", "Time since the present process was started."), |worker| {
        worker.view.uptime.map(|uptime| uptime.duration().as_secs_f64())
    });
    each(counter("supd_worker_cpu_seconds", "Processor time that the present process has used."), |worker| {
        worker.view.pid.map(|_| worker.view.cpu_time.duration().as_secs_f64())
    });
    each(gauge("supd_worker_memory_bytes", "Memory that the worker uses."), |worker| {
        worker.view.pid.map(|_| worker.view.memory as f64)
    });
    each(gauge("supd_worker_open_fds", "Open descriptors of the main process."), |worker| {
        worker.open_files.map(|count| count as f64)
    });
    pressure(page, workers);
    page.begin(&gauge("supd_worker_status", "1 for the state that the worker is in, 0 for all others."));
    for worker in workers {
        let id = worker.view.id.to_string();
        let of_jobs = JOB_STATUSES.into_iter().filter(|_| worker.view.job.is_some());
        for status in STATUSES.into_iter().chain(of_jobs) {
            let word = status.as_str().replace(' ', "_");
            let labels = [("app", worker.view.app.as_str()), ("worker", &id), ("status", &word)];
            page.sample(&labels, f64::from(u8::from(worker.view.status == status)));
        }
    }
}

fn jobs(page: &mut Page, workers: &[Worker]) {
    let jobs: Vec<(&str, &JobView)> = workers
        .iter()
        .filter_map(|worker| Some((worker.view.app.as_str(), worker.view.job.as_ref()?)))
        .collect();
    if jobs.is_empty() {
        return;
    }
    page.begin(&counter("supd_job_runs", "Runs of the job that have ended or were skipped, by result."));
    for (app, job) in &jobs {
        let JobRuns { completed, failed, timed_out, skipped, completed_at: _ } = job.runs;
        let all =
            [("completed", completed), ("failed", failed), ("timed_out", timed_out), ("skipped", skipped)];
        for (result, count) in all {
            page.sample(&[("app", app), ("result", result)], count as f64);
        }
    }
    page.begin(&gauge("supd_job_last_success_timestamp_seconds", "When a run of the job last completed."));
    for (app, job) in &jobs {
        if let Some(at) = job.runs.completed_at {
            page.sample(&[("app", app)], at as f64 / 1000.0);
        }
    }
    page.begin(&gauge("supd_job_last_duration_seconds", "How long the last run of the job took."));
    for (app, job) in &jobs {
        if let Some(last) = &job.last {
            page.sample(&[("app", app)], last.took.duration().as_secs_f64());
        }
    }
}

fn pressure(page: &mut Page, workers: &[Worker]) {
    page.begin(&gauge(
        "supd_worker_pressure_ratio",
        "Share of the latest ten seconds in which some processes of the worker waited for a resource (PSI).",
    ));
    for worker in workers {
        let id = worker.view.id.to_string();
        for PressureView { cpu, memory, io } in worker.pressure.iter() {
            for (resource, percent) in [("cpu", cpu), ("memory", memory), ("io", io)] {
                let labels = [("app", worker.view.app.as_str()), ("worker", &id), ("resource", resource)];
                // The kernel tells two decimals of the percent.
                page.sample(&labels, (percent * 100.0).round() / 10_000.0);
            }
        }
    }
}

fn output(page: &mut Page, workers: &[Worker]) {
    let mut each = |family: Family, value: fn(&StreamView) -> u64| {
        page.begin(&family);
        for worker in workers {
            let (id, logs) = (worker.view.id.to_string(), &worker.view.logs);
            for (stream, figures) in [("out", &logs.out), ("err", &logs.error)] {
                let labels = [("app", worker.view.app.as_str()), ("worker", &id), ("stream", stream)];
                page.sample(&labels, value(figures) as f64);
            }
        }
    };
    each(counter("supd_worker_log_written_bytes", "Output that has reached its file."), |stream| {
        stream.written
    });
    each(counter("supd_worker_log_lost_bytes", "Output that was dropped."), |stream| stream.lost_bytes);
    each(counter("supd_worker_log_lost_lines", "Lines of output that were dropped."), |stream| {
        stream.lost_lines
    });
    page.begin(&gauge(
        "supd_worker_log_files_failing",
        "Log files of the worker that cannot be written now.",
    ));
    for worker in workers {
        let (id, count) = (worker.view.id.to_string(), worker.view.logs.trouble.len());
        page.sample(&[("app", worker.view.app.as_str()), ("worker", &id)], count as f64);
    }
}
