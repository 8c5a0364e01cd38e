//! What is told to whoever measures: gathered by the loop, completed beside it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use supd_api::{Fault, Status, WorkerView};
use supd_core::Pid;

use crate::metrics::{App, Own, Scene, Worker};
use crate::supervisor::care::cgroups::pressure;
use crate::supervisor::now;
use crate::supervisor::report::health::is_wanted;
use crate::supervisor::state::upgrade::VERSION;
use crate::supervisor::turn::Shell;

impl Shell {
    /// All that the loop knows.
    pub(crate) fn scene(&mut self) -> Result<Scene, Fault> {
        let now = now();
        let wished: Vec<u32> =
            self.core.view(now.mono).filter(|seat| seat.wished).map(|seat| seat.worker.0).collect();
        let views = self.worker_views(&[])?;
        let mut apps: Vec<App> = Vec::new();
        for view in &views {
            if apps.last().is_none_or(|app| app.name != view.app) {
                apps.push(self.app_of(view));
            }
            let Some(app) = apps.last_mut() else { continue };
            if is_wanted(wished.contains(&view.id), view.status) {
                app.wanted += 1;
                app.ready += u32::from(view.status == Status::Online);
            }
        }
        let groups = self.cgroups();
        let crashes = |id| self.counts.crashes_of(id);
        let workers = views.into_iter().map(|view| Worker {
            crashes: crashes(view.id),
            open_files: None,
            cgroup: groups.get(&view.id).cloned(),
            pressure: None,
            view,
        });
        let own = [("keeper", self.keeper_facts.pid), ("supervisor", std::process::id().cast_signed())];
        let own = own.map(|(name, pid)| {
            let (cpu_time, memory) = self.figures.own(Pid(pid));
            Own { name, pid, cpu_time, memory, open_files: None }
        });
        Ok(Scene {
            version: VERSION.to_owned(),
            uptime: now.mono.since(self.keeper_facts.since),
            supervisor_restarts: self.keeper_facts.restarts,
            workers: workers.collect(),
            own: own.into(),
            apps,
        })
    }

    /// The app of its first worker.
    fn app_of(&self, view: &WorkerView) -> App {
        let name = supd_core::AppName(view.app.to_string());
        App {
            namespace: view.namespace.clone(),
            exec_mode: view.exec_mode,
            version: view.version.clone(),
            revision: self.core.revision(&name).map_or(view.revision, |id| id.0),
            wanted: 0,
            ready: 0,
            reloads: self.counts.reloads_of(&name),
            autoscale: self.autoscale_view(&name),
            name: view.app.clone(),
        }
    }
}

/// Counts open descriptors and reads pressure, which takes longer the more there are: not for the loop. A process may have ended
/// meanwhile, or be another user's.
pub(crate) fn complete(scene: &mut Scene) {
    for own in &mut scene.own {
        own.open_files = open_files(own.pid);
    }
    for worker in &mut scene.workers {
        worker.open_files = worker.view.pid.and_then(open_files);
        worker.pressure = worker.cgroup.as_deref().and_then(pressure);
    }
}

/// How many descriptors a process has open (proc_pid_fd(5)). From Linux 6.2 on the directory's size says it.
fn open_files(pid: i32) -> Option<u64> {
    let directory = format!("/proc/{pid}/fd");
    match fs::metadata(&directory).ok()?.size() {
        0 => u64::try_from(fs::read_dir(&directory).ok()?.count()).ok(),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn open_descriptors_are_counted() {
        let pid = std::process::id().cast_signed();
        let held: Vec<File> = (0..500).map(|_| File::open("/dev/null").expect("a file")).collect();
        let before = open_files(pid).expect("our own");
        assert!(before >= 500, "{before}");
        drop(held);
        assert_eq!(open_files(-1), None);
    }
}
