//! Where the files of a worker are, by PM2's rules for names.

use std::path::{Path, PathBuf};

use supd_api::{AppDeclaration, LogTarget, Stream};

use crate::home::Home;

/// File that takes a stream of a worker; `None`: it is discarded.
pub(crate) fn log_file(home: &Home, app: &AppDeclaration, worker: u32, stream: Stream) -> Option<PathBuf> {
    let (target, suffix) = match stream {
        Stream::Out => (&app.logs.out_file, "-out"),
        Stream::Err => (&app.logs.error_file, "-error"),
    };
    path(home, app, worker, target, suffix)
}

/// File that takes both streams of a worker, in addition.
pub(crate) fn combined_log_file(home: &Home, app: &AppDeclaration, worker: u32) -> Option<PathBuf> {
    path(home, app, worker, &app.logs.log_file, "")
}

fn path(home: &Home, app: &AppDeclaration, worker: u32, target: &LogTarget, suffix: &str) -> Option<PathBuf> {
    let path = match target {
        LogTarget::Discard => return None,
        LogTarget::File(path) => path.clone(),
        LogTarget::Default => home.logs().join(format!("{}{suffix}.log", file_name(app.name.as_str()))),
    };
    Some(if app.logs.merge_logs { path } else { numbered(&path, worker, ".log") })
}

/// File that holds the pid of a worker while it runs.
pub(crate) fn pid_file(home: &Home, app: &AppDeclaration, worker: u32) -> PathBuf {
    match &app.pid_file {
        Some(path) => numbered(path, worker, ".pid"),
        None => home.pids().join(format!("{}-{worker}.pid", file_name(app.name.as_str()))),
    }
}

/// PM2: every character outside `[A-Za-z0-9.-]` becomes `-`. But `/` becomes `_`: `org/api` shares no file with `org-api`.
fn file_name(name: &str) -> String {
    let plain = |c| match c {
        '/' => '_',
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    name.chars().map(plain).collect()
}

/// PM2: `-<id>` goes before `.log` or `.pid`; a path with another ending stays as it is, and is shared.
fn numbered(path: &Path, worker: u32, ending: &str) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(ending)) {
        Some(stem) => format!("{stem}-{worker}{ending}").into(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        assert_eq!(file_name("my app/x:y"), "my-app_x-y");
        assert_eq!(numbered(Path::new("/l/web-out.log"), 3, ".log"), Path::new("/l/web-out-3.log"));
        assert_eq!(numbered(Path::new("/run/web.pid"), 0, ".pid"), Path::new("/run/web-0.pid"));
        assert_eq!(numbered(Path::new("/dev/stdout"), 3, ".log"), Path::new("/dev/stdout"));
    }
}
