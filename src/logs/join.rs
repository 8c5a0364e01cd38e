//! A reader joins.
//!
//! Question answered here: *where do its last lines end and its live ones begin?*

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::LogFile;
use super::subscription::{Opened, Opening};
use super::thread::LogThread;

impl LogThread {
    /// Between two writes, so that what is in the files now and what is published from now on fit together: a line begun in
    /// a file comes live when it is complete, and is left out of the file's last lines.
    pub(super) fn subscribe(&mut self, opening: Opening) {
        let mut files: Vec<Opened> = opening.files.into_iter().filter_map(Opened::new).collect();
        if opening.follow {
            let places: HashMap<PathBuf, usize> =
                files.iter().enumerate().map(|(index, file)| (file.about.path.clone(), index)).collect();
            for tap in self.taps.values_mut().filter(|tap| opening.filter.admits(&tap.source)) {
                let path = tap.files.first().filter(|path| self.files.get(*path).is_some_and(LogFile::sole));
                if let Some(&index) = path.and_then(|path| places.get(path)) {
                    if tap.resumed {
                        tap.framing.begun(files[index].unfinished());
                    }
                    files[index].end = files[index].end.saturating_sub(tap.framing.open());
                }
                tap.framing
                    .watch(|open, shown| path.and_then(|path| begun(path, open, shown)).unwrap_or_default());
            }
            self.audience.join(opening.filter, Arc::downgrade(&opening.feed));
        }
        // A receiver that is gone has ended its subscription already.
        let _ = opening.opened.send(files);
    }
}

/// The first `shown` of the last `open` bytes of this file.
fn begun(path: &Path, open: u64, shown: usize) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut bytes = vec![0; shown];
    file.read_exact_at(&mut bytes, file.metadata().ok()?.len().checked_sub(open)?).ok()?;
    Some(bytes)
}
