//! Crash reports on disk: `$SUPD_HOME/crashes/<app>/<time>-<run>.json`, one file each, so that a crash costs one small write.
//!
//! They hold output, which may hold secrets: directories 0700, files 0600. Everything here blocks.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use supd_api::{AppName, CrashReport};

use crate::atomic;

/// So many of each app are kept.
pub(crate) const KEPT: usize = 20;
/// Version of the format: fields may be added with a default.
const VERSION: u32 = 1;
/// A larger file is none of ours.
const SIZE_MAX: u64 = 4 << 20;

/// The document.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    report: CrashReport,
}

/// Adds a report, and removes those that are too many.
///
/// # Errors
/// It cannot be written.
pub(crate) fn add(root: &Path, report: &CrashReport) -> io::Result<()> {
    let directory = directory(root, &report.app);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    let text = serde_json::to_vec(&Document { version: VERSION, report: report.clone() })?;
    // Numbers of fixed width, so that names sort by time.
    atomic::write(&directory.join(format!("{:015}-{:010}.json", report.at, report.run)), &text)?;
    let kept = newest_first(&directory)?;
    kept.iter().skip(KEPT).try_for_each(fs::remove_file)
}

/// The reports of this app, the latest first. What cannot be read is left out.
pub(crate) fn read(root: &Path, app: &AppName) -> Vec<CrashReport> {
    let files = newest_first(&directory(root, app)).unwrap_or_default();
    files.iter().filter_map(|path| parse(path)).collect()
}

fn parse(path: &Path) -> Option<CrashReport> {
    let small = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= SIZE_MAX);
    let text = small.then(|| fs::read(path).ok())??;
    let Document { version, report } = serde_json::from_slice(&text).ok()?;
    (version <= VERSION).then_some(report)
}

/// Whose reports are in it; whatever the app is called, it is one part of a path, and no two apps share it.
fn directory(root: &Path, app: &AppName) -> PathBuf {
    root.join(app.as_str().replace('%', "%25").replace('/', "%2F"))
}

/// Removes the reports of all apps but these.
///
/// # Errors
/// One of them cannot be removed.
pub(crate) fn retain<'a>(root: &Path, apps: impl Iterator<Item = &'a AppName>) -> io::Result<()> {
    let kept: BTreeSet<PathBuf> = apps.map(|app| directory(root, app)).collect();
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !kept.contains(&entry.path()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn newest_first(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort_unstable_by(|one, two| two.cmp(one));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use supd_api::{Exit, LogText, Millis};

    use super::*;

    fn report(app: &str, at: u64) -> CrashReport {
        CrashReport {
            app: AppName::new(app).expect("a name"),
            worker: 0,
            run: at / 10,
            revision: 1,
            pid: None,
            started_at: at,
            at,
            uptime: Millis(0),
            exit: Exit::Code(1),
            text: "exited with code 1 after 0 ms".to_owned(),
            cause: None,
            peak_memory: Some(1),
            answer: None,
            changed: None,
            out: Vec::new(),
            err: vec![LogText::from(b"\xff\n".to_vec())],
        }
    }

    #[test]
    fn the_latest_are_kept_and_private() {
        let home = tempfile::tempdir().expect("a directory");
        let root = home.path().join("crashes");
        let times = (0..25).map(|number| number * 1_000_000_000);
        times.for_each(|at| add(&root, &report("web", at)).expect("written"));
        add(&root, &report("web two", 7)).expect("written");
        let directory = root.join("web");
        assert_eq!(fs::metadata(&directory).expect("there").permissions().mode() & 0o777, 0o700);
        for entry in fs::read_dir(&directory).expect("listed") {
            let mode = entry.expect("an entry").metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(directory.join("999999999999999-0000000000.json"), "{").expect("written");
        let kept = read(&root, &AppName::new("web").expect("a name"));
        let expected: Vec<_> = (5..25).rev().map(|number| report("web", number * 1_000_000_000)).collect();
        assert_eq!(kept, expected);
        let two = AppName::new("web two").expect("a name");
        retain(&root, [&two].into_iter()).expect("removed");
        assert!(!directory.exists());
        assert_eq!(read(&root, &two), [report("web two", 7)]);
        assert_eq!(read(&root, &AppName::new("web").expect("a name")), []);
    }

    #[test]
    fn whatever_an_app_is_called_it_has_one_directory_of_its_own() {
        let home = tempfile::tempdir().expect("a directory");
        let names = ["@org/api", "@org%2Fapi", "@org%252Fapi", "@org-api", "@org"];
        names
            .iter()
            .enumerate()
            .for_each(|(at, name)| add(home.path(), &report(name, at as u64)).expect("written"));
        assert_eq!(fs::read_dir(home.path()).expect("listed").count(), names.len());
        let names = names.map(|name| AppName::new(name).expect("a name"));
        retain(home.path(), names[..1].iter()).expect("removed");
        assert_eq!(names.map(|name| read(home.path(), &name).len()), [1, 0, 0, 0, 0]);
    }
}
