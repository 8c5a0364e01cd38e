//! Pid files of workers, as PM2 has them. Written and removed by blocking tasks.

use std::path::PathBuf;

use supd_core::{Pid, RunId};

use crate::supervisor::runs::paths;
use crate::supervisor::turn::Shell;

impl Shell {
    /// The main process of this run has been executed.
    pub(crate) fn write_pid_file(&self, run: RunId, pid: Pid) {
        let Some(path) = self.pid_file_of(run) else { return };
        tokio::task::spawn_blocking(move || {
            let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            if let Err(error) = directory.and_then(|()| std::fs::write(&path, pid.to_string())) {
                tracing::warn!("{}: {error}", path.display());
            }
        });
    }

    /// It has ended. Its replacement may have written the file anew meanwhile.
    pub(crate) fn remove_pid_file(&self, run: RunId) {
        let ended = self.core.run(run).and_then(|(_, _, _, view)| view.pid);
        let (Some(path), Some(pid)) = (self.pid_file_of(run), ended) else { return };
        tokio::task::spawn_blocking(move || {
            if std::fs::read_to_string(&path).is_ok_and(|text| text == pid.to_string()) {
                // If it has gone meanwhile, that is what was wanted.
                let _ = std::fs::remove_file(&path);
            }
        });
    }

    fn pid_file_of(&self, run: RunId) -> Option<PathBuf> {
        let (_, worker, _, _) = self.core.run(run)?;
        let revision = self.revision_of(run)?;
        Some(paths::pid_file(&self.home, &revision.declaration, worker.0))
    }
}
