//! Has the kernel counted something for the memory of a run? It rings; nobody looks before that.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use supd_core::RunId;
use tokio::sync::mpsc::UnboundedSender;

/// A run at its mark rings with each page that it wants. It is listened to again after so long.
const PAUSE: Duration = Duration::from_millis(100);

/// That something was counted in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bell(WatchDescriptor);

/// Who is listened to. The thread that listens ends with this process.
pub(crate) struct Alarms {
    outlet: UnboundedSender<Bell>,
    /// `None`: there was no need for it yet.
    ears: Option<Arc<Inotify>>,
    runs: HashMap<WatchDescriptor, RunId>,
}

impl Alarms {
    pub(crate) fn new(outlet: UnboundedSender<Bell>) -> Self {
        Self { outlet, ears: None, runs: HashMap::new() }
    }

    /// From now on listens to this file of a run.
    pub(super) fn watch(&mut self, run: RunId, file: &Path) {
        if let Err(error) = self.try_watch(run, file) {
            tracing::error!("run {run}: its memory_high cannot be watched: {}: {error}", file.display());
        }
    }

    fn try_watch(&mut self, run: RunId, file: &Path) -> std::io::Result<()> {
        let ears = match &self.ears {
            Some(ears) => Arc::clone(ears),
            None => {
                let ears = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC)?);
                let (inner, outlet) = (Arc::clone(&ears), self.outlet.clone());
                thread::Builder::new().name("alarms".to_owned()).spawn(move || listen(&inner, &outlet))?;
                Arc::clone(self.ears.insert(ears))
            }
        };
        let watch = ears.add_watch(file, AddWatchFlags::IN_MODIFY)?;
        self.runs.insert(watch, run);
        Ok(())
    }

    /// Listens to this one no more.
    pub(crate) fn leave(&mut self, run: RunId) {
        let Some(ears) = &self.ears else { return };
        self.runs.retain(|watch, known| {
            if *known == run {
                // Its file may be gone, and the watch with it.
                let _ = ears.rm_watch(*watch);
            }
            *known != run
        });
    }

    /// Who rings.
    pub(super) fn run_of(&self, bell: Bell) -> Option<RunId> {
        self.runs.get(&bell.0).copied()
    }
}

fn listen(ears: &Inotify, outlet: &UnboundedSender<Bell>) {
    loop {
        let events = match ears.read_events() {
            Ok(events) => events,
            Err(Errno::EINTR) => continue,
            Err(error) => return tracing::error!("memory_high is watched no more: {error}"),
        };
        let mut rung: Vec<WatchDescriptor> = Vec::new();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_MODIFY) && !rung.contains(&event.wd) {
                rung.push(event.wd);
            }
        }
        if rung.into_iter().any(|watch| outlet.send(Bell(watch)).is_err()) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn who_is_left_rings_no_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str| {
            let file = dir.path().join(name);
            fs::write(&file, "0").expect("a file");
            file
        };
        let (one, two) = (file("one"), file("two"));
        let (outlet, mut bells) = unbounded_channel();
        let mut alarms = Alarms::new(outlet);
        alarms.watch(RunId(1), &one);
        alarms.watch(RunId(2), &two);
        alarms.leave(RunId(1));
        fs::write(&one, "1").expect("a file");
        fs::write(&two, "1").expect("a file");
        let bell = bells.blocking_recv().expect("it rings");
        assert_eq!(alarms.run_of(bell), Some(RunId(2)));
        alarms.watch(RunId(3), &dir.path().join("missing"));
        alarms.leave(RunId(2));
        assert_eq!(alarms.run_of(bell), None);
    }
}
