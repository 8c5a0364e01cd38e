//! The directories that are watched.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::Plan;
use super::rules::Rules;
use super::trouble::{Step, told};

/// What is asked of each directory.
const MASK: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR);

/// The directories of a plan, each with its watch.
pub(super) struct Tree<'a> {
    inotify: Inotify,
    directories: HashMap<WatchDescriptor, PathBuf>,
    rules: Rules,
    /// Ends a walk early.
    stop: &'a AtomicBool,
}

/// Why nothing can be watched, in words.
pub(super) type Trouble = String;

impl<'a> Tree<'a> {
    /// Begins to watch. What has changed since the plan's moment is returned.
    ///
    /// # Errors
    /// A limit has been reached, or there is nothing to watch.
    pub(super) fn new(plan: &Plan, stop: &'a AtomicBool) -> Result<(Self, Vec<PathBuf>), Trouble> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| told(Step::Begin, errno, 0))?;
        let mut tree = Self { inotify, directories: HashMap::new(), rules: Rules::new(plan), stop };
        let mut changed = Vec::new();
        for root in tree.rules.roots().to_vec() {
            tree.plant(&root, plan.since, &mut changed)?;
        }
        Ok((tree, changed))
    }

    /// How many directories are watched.
    pub(super) fn size(&self) -> usize {
        self.directories.len()
    }

    /// A path as it is shown.
    pub(super) fn shown(&self, path: &Path) -> PathBuf {
        self.rules.shown(path).to_owned()
    }

    /// The paths that have changed by now. Directories that have come are watched from now on.
    ///
    /// # Errors
    /// A limit has been reached.
    pub(super) fn read(&mut self) -> Result<Vec<PathBuf>, Trouble> {
        let mut changed = Vec::new();
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        changed.extend(self.happened(event)?);
                    }
                }
                Err(Errno::EAGAIN) => return Ok(changed),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(told(Step::Read, errno, self.size())),
            }
        }
    }

    /// The path that has changed, if it counts.
    fn happened(&mut self, event: InotifyEvent) -> Result<Option<PathBuf>, Trouble> {
        let InotifyEvent { wd, mask, name, .. } = event;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return self.begin_anew().map(Some);
        }
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            self.directories.remove(&wd);
            return Ok(None);
        }
        let (Some(directory), Some(name)) = (self.directories.get(&wd), name) else { return Ok(None) };
        if name == ".gitignore" {
            let directory = directory.clone();
            self.rules.heed(&directory);
            return Ok(None);
        }
        let path = directory.join(name);
        let is_dir = mask.contains(AddWatchFlags::IN_ISDIR);
        if !self.rules.counts(&path, is_dir) {
            return Ok(None);
        }
        if is_dir && mask.contains(AddWatchFlags::IN_MOVED_FROM) {
            self.forget(&path);
        }
        if is_dir && mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO) {
            // That it has come is a change, whatever is in it.
            self.cover(&path, SystemTime::now(), &mut Vec::new())?;
        }
        Ok(Some(path))
    }

    /// Watches a root, and for its coming and going its directory.
    fn plant(&mut self, root: &Path, since: SystemTime, changed: &mut Vec<PathBuf>) -> Result<(), Trouble> {
        let above = root.parent().map(|above| self.add(above));
        match std::fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {
                self.cover(root, since, changed)?;
                if self.directories.values().any(|covered| covered == root) {
                    return Ok(());
                }
                Err(told(Step::Directory(root), Errno::EACCES, self.size()))
            }
            Ok(metadata) => {
                changed.extend(newer(&metadata, since).then(|| root.to_owned()));
                above.unwrap_or(Ok(())).map_err(|errno| told(Step::Directory(root), errno, self.size()))
            }
            Err(_) => above
                .unwrap_or(Ok(()))
                .map_err(|errno| told(Step::Directory(root.parent().unwrap_or(root)), errno, self.size())),
        }
    }

    /// Watches a directory and those in it. A directory that vanishes meanwhile, or may not be read, is left out; one that is
    /// ignored is not looked into.
    fn cover(&mut self, top: &Path, since: SystemTime, changed: &mut Vec<PathBuf>) -> Result<(), Trouble> {
        let mut left = vec![top.to_owned()];
        while let Some(directory) = left.pop() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self.add(&directory) {
                Ok(()) => {}
                Err(Errno::ENOSPC | Errno::ENOMEM) => {
                    return Err(told(Step::Directory(&directory), Errno::ENOSPC, self.size()));
                }
                Err(errno) => {
                    tracing::debug!("{} is not watched: {}", directory.display(), errno.desc());
                    continue;
                }
            }
            self.rules.heed(&directory);
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                let Ok(kind) = entry.file_type() else { continue };
                let path = entry.path();
                if !self.rules.counts(&path, kind.is_dir()) {
                    continue;
                }
                if kind.is_dir() {
                    left.push(path);
                } else if entry.metadata().is_ok_and(|metadata| newer(&metadata, since)) {
                    changed.push(path);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, directory: &Path) -> nix::Result<()> {
        let wd = self.inotify.add_watch(directory, MASK)?;
        self.directories.insert(wd, directory.to_owned());
        Ok(())
    }

    /// A directory that was moved away is watched no more, nor is anything in it.
    fn forget(&mut self, top: &Path) {
        let gone = self.directories.iter().filter(|(_, path)| path.starts_with(top));
        let gone: Vec<WatchDescriptor> = gone.map(|(wd, _)| *wd).collect();
        for wd in gone {
            self.directories.remove(&wd);
            // It may have been deleted meanwhile.
            let _ = self.inotify.rm_watch(wd);
        }
    }

    /// The kernel had more to tell than it keeps: something has changed, and directories may have come.
    fn begin_anew(&mut self) -> Result<PathBuf, Trouble> {
        let roots = self.rules.roots().to_vec();
        for root in &roots {
            self.plant(root, SystemTime::now(), &mut Vec::new())?;
        }
        Ok(roots.into_iter().next().unwrap_or_default())
    }
}

impl AsFd for Tree<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Whether it was written, or came to its place, after that moment.
fn newer(metadata: &std::fs::Metadata, since: SystemTime) -> bool {
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    changed > (since.as_secs().cast_signed(), i64::from(since.subsec_nanos()))
}
