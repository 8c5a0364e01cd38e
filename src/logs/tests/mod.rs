//! Real pipes, real files, real threads. Every wait is for an event; the time limits only end a test that has failed.

mod carry;
mod follow;
mod forms;
mod kill;
mod pressure;
mod read;
mod rotate;
mod sinks;
mod trouble;

use std::fs::File;
use std::io::{PipeReader, PipeWriter};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use supd_api::{AppName, LogLine, Stream};
use supd_keeper::protocol::RunId;

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

struct Bench {
    directory: tempfile::TempDir,
    logs: Logs,
    notices: mpsc::Receiver<Notice>,
}

impl Bench {
    fn new() -> Self {
        let (tell, notices) = mpsc::channel();
        let logs = Logs::start(new_journal().unwrap(), move |notice| drop(tell.send(notice))).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), logs, notices }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A pipe attached as standard output of this run, of a worker of the same number.
    fn attach(&self, run: u64, path: Option<&Path>) -> PipeWriter {
        self.attach_as(run, into(path))
    }

    fn attach_as(&self, run: u64, output: Output) -> PipeWriter {
        let (reader, writer) = std::io::pipe().unwrap();
        self.logs.attach(source(run, Stream::Out), reader.into(), output);
        writer
    }

    /// The next one that tells more than where output begins and ends.
    fn notice(&self) -> Notice {
        loop {
            match self.notices.recv_timeout(LIMIT).expect("a notice") {
                Notice::Begun { .. } | Notice::Ended { .. } | Notice::Losing { .. } | Notice::Left { .. } => {
                }
                notice => return notice,
            }
        }
    }

    /// Closes the run by attaching an empty standard error.
    fn finish(&self, run: u64) {
        let (reader, _) = std::io::pipe().unwrap();
        self.logs.attach(source(run, Stream::Err), reader.into(), Output::default());
    }

    /// Waits for so many runs to be drained, and for nothing else.
    fn drained(&self, count: usize) {
        for _ in 0..count {
            let notice = self.notice();
            assert!(matches!(notice, Notice::Drained { .. }), "{notice:?}");
        }
    }

    /// Returns when every command given so far has been carried out.
    fn settle(&self) {
        let mut end = self.logs.subscribe(request(Vec::new(), 0, false));
        assert_eq!(wait(async { end.next().await }), None);
    }
}

fn source(run: u64, stream: Stream) -> Source {
    let worker = u32::try_from(run).unwrap();
    Source { run: RunId(run), app: AppName::new("app").unwrap(), namespace: String::new(), worker, stream }
}

fn into(path: Option<&Path>) -> Output {
    let files = path.into_iter().map(Path::to_owned).collect();
    Output { files, rotation: Rotation::never(), ..Output::default() }
}

fn request(paths: Vec<PathBuf>, tail: usize, follow: bool) -> Request {
    let file = |path| TailFile {
        path,
        app: AppName::new("app").unwrap(),
        worker: Some(1),
        stream: Stream::Out,
        extent: None,
    };
    Request {
        filter: Filter { workers: Workers(vec![Named::All]), streams: Streams::Both },
        wanted: Wanted { tail: Some(tail), ..Wanted::default() },
        follow,
        files: paths.into_iter().map(file).collect(),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, future).await.expect("in time") })
}

fn text(line: &LogLine) -> String {
    match line {
        LogLine::Line { text, .. } => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => panic!("{other:?}"),
    }
}

fn duplicate(reader: &PipeReader) -> OwnedFd {
    reader.try_clone().unwrap().into()
}

fn length(path: &Path) -> u64 {
    File::open(path).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
}

/// Returns when the file has so many bytes.
fn reaches(path: &Path, bytes: u64) {
    let start = std::time::Instant::now();
    while length(path) < bytes {
        assert!(start.elapsed() < LIMIT, "{} has {} of {bytes} bytes", path.display(), length(path));
        std::thread::yield_now();
    }
}

/// This test executable as a process of its own, to run the one test of this name (of this module's children).
fn alone(test: &str) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("logs::tests::{test}")]);
    command
}
