//! What is put aside is packed and, in time, removed.
//!
//! Question answered here: *which of the files that were put aside may go, and which are to be packed?* A thread of its own at
//! idle priority does that. It may not touch a file that is being written to.
//!
//! A packed file is made under another name, written to the disk, renamed, and only then the plain one is removed: a kill at
//! any moment leaves at least one of them whole, and the next start goes on from there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;
use supd_api::{AppName, Compression};

use super::rotated::{Rotated, packed, rotated, unfinished};
use super::rotation::Rule;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The one that zstd itself takes when none is asked for (zstd(1)).
const ZSTD_LEVEL: i32 = 3;

/// Where files are reported.
#[derive(Clone)]
pub(super) struct Archive(mpsc::Sender<Report>);

struct Report {
    path: PathBuf,
    news: News,
}

enum News {
    /// This app writes into it, by this rule.
    Opened(AppName, Arc<Rule>),
    /// It was put aside, or the disk is full.
    Rotated,
}

impl Archive {
    /// Starts the thread, which ends when the last handle is dropped.
    pub(super) fn start() -> io::Result<Self> {
        let (sender, inbox) = mpsc::channel();
        let thread = std::thread::Builder::new().name("logs-archive".to_owned());
        thread.spawn(move || {
            supd_keeper::idle_priority();
            Archivist::default().run(&inbox);
        })?;
        Ok(Self(sender))
    }

    pub(super) fn opened(&self, path: &Path, app: &AppName, rule: &Arc<Rule>) {
        self.report(path, News::Opened(app.clone(), Arc::clone(rule)));
    }

    pub(super) fn rotated(&self, path: &Path) {
        self.report(path, News::Rotated);
    }

    fn report(&self, path: &Path, news: News) {
        // The thread ends only with its last handle.
        let _ = self.0.send(Report { path: path.to_owned(), news });
    }
}

#[derive(Default)]
struct Archivist {
    files: BTreeMap<PathBuf, (AppName, Arc<Rule>)>,
}

impl Archivist {
    fn run(mut self, inbox: &mpsc::Receiver<Report>) {
        while let Ok(first) = inbox.recv() {
            let mut apps = BTreeSet::new();
            for report in std::iter::once(first).chain(inbox.try_iter()) {
                if let News::Opened(app, rule) = report.news {
                    remove_unfinished(&report.path);
                    self.files.insert(report.path.clone(), (app, rule));
                }
                apps.extend(self.files.get(&report.path).map(|(app, _)| app.clone()));
            }
            for app in apps {
                self.tidy(&app);
            }
        }
    }

    fn tidy(&self, app: &AppName) {
        let mut kept = Vec::new();
        let mut active = 0;
        let mut strictest: Option<&Rule> = None;
        for (path, (_, rule)) in self.files.iter().filter(|(_, (owner, _))| owner == app) {
            // It may grow to that before this is asked again.
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            active += size.max(rule.policy.size.unwrap_or_default());
            strictest = strictest.or(Some(rule));
            match rotated(path) {
                Ok(files) => {
                    kept.extend(keep(files, rule, SystemTime::now()).into_iter().map(|file| (file, rule)))
                }
                Err(error) => tracing::warn!("{} cannot be tidied up: {error}", path.display()),
            }
        }
        let Some(rule) = strictest else { return };
        kept.sort_by_key(|(file, _)| file.modified);
        let mut total = active + kept.iter().map(|(file, _)| file.size).sum::<u64>();
        let mut left = kept.into_iter().peekable();
        while let Some((file, _)) = left.next_if(|(file, _)| {
            rule.policy.max_total.is_some_and(|most| total > most) || too_full(&file.path, rule)
        }) {
            total -= file.size;
            remove(&file.path);
        }
        for (file, rule) in left {
            if let (Some(compression), None) = (rule.policy.compress, file.compression)
                && let Err(error) = pack(&file, compression)
            {
                tracing::warn!("{} cannot be packed: {error}", file.path.display());
            }
        }
    }
}

/// Removes those that are too many or too old.
fn keep(mut files: Vec<Rotated>, rule: &Rule, now: SystemTime) -> Vec<Rotated> {
    let most = rule.policy.keep.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let surplus = files.len().saturating_sub(most);
    let oldest = rule.policy.keep_days.and_then(|days| now.checked_sub(DAY * days));
    let outdated = oldest.map_or(0, |oldest| files.iter().take_while(|file| file.modified < oldest).count());
    let kept = files.split_off(surplus.max(outdated));
    files.iter().for_each(|file| remove(&file.path));
    kept
}

fn too_full(path: &Path, rule: &Rule) -> bool {
    let free = || {
        let space = statvfs(path).ok()?;
        Some(space.blocks_available().saturating_mul(space.fragment_size()))
    };
    rule.policy.min_free.is_some_and(|least| free().is_some_and(|free| free < least))
}

fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => tracing::debug!("{} is removed", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("{} cannot be removed: {error}", path.display()),
    }
}

fn remove_unfinished(path: &Path) {
    unfinished(path).unwrap_or_default().iter().for_each(|left| remove(left));
}

fn pack(file: &Rotated, compression: Compression) -> io::Result<()> {
    let (target, temporary) = packed(&file.path, compression);
    if !target.exists() {
        let made =
            make(&file.path, &temporary, compression).and_then(|()| std::fs::rename(&temporary, &target));
        if made.is_err() {
            remove(&temporary);
        }
        made?;
    }
    std::fs::remove_file(&file.path)
}

fn make(plain: &Path, temporary: &Path, compression: Compression) -> io::Result<()> {
    let source = File::open(plain)?;
    let metadata = source.metadata()?;
    let mode = metadata.permissions().mode();
    let target = OpenOptions::new().write(true).create_new(true).mode(mode & 0o777).open(temporary)?;
    let mut source = BufReader::new(source);
    let target = match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(target, flate2::Compression::default());
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(target, ZSTD_LEVEL)?;
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?
        }
    };
    target.set_modified(metadata.modified()?)?;
    target.sync_all()
}
