//! Declaration files that are JavaScript.
//!
//! Question answered here: *what does the file export?* It is evaluated by `node`, as a child of the caller with the
//! caller's rights, within limits of time and size. The daemon never does this.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use serde_json::Value;

use super::Options;
use super::document_file::{self, LARGEST, Unreadable};
use super::paths::{self, Places};
use super::problem::{printable, shown};

/// How long a file may take.
const LIMIT: Duration = Duration::from_secs(10);

const EVALUATOR: &str = include_str!("evaluate.js");

/// Moves the pipe from descriptor 0 to 3, which `Command` cannot, and lets nothing burn a processor for long, even
/// when the caller is killed meanwhile.
const LAUNCHER: &str = r#"ulimit -t 30 2>/dev/null; exec "$@" 3>&0 0</dev/null"#;

/// What the evaluator writes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Answer {
    Exports(Value),
    Kind(String),
    Error { message: String, line: Option<usize> },
}

/// A file that exports nothing usable.
#[derive(Debug)]
pub(super) struct Failure {
    /// Line from 1, where `node` tells it.
    pub(super) line: Option<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// The remedy.
    pub(super) hint: Option<String>,
}

impl Failure {
    fn new(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { line: None, message: message.into(), hint: hint.map(str::to_owned) }
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        Self { line: unreadable.line, message: unreadable.message, hint: None }
    }
}

/// How a file is JavaScript.
#[derive(Clone, Copy, Debug)]
pub(super) enum Code {
    /// It exports something.
    Module,
    /// It is something: to PM2 a `.json`, and standard input.
    Expression,
}

/// What `file`, an absolute path, exports or is, as JSON carries it.
pub(super) fn evaluate(file: &Path, code: Code, options: &Options) -> Result<Value, Failure> {
    evaluate_within(LIMIT, file, code, options)
}

/// What a text is as an expression. `node` reads it from a file without a name.
pub(super) fn evaluate_text(text: &str, options: &Options) -> Result<Value, Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cannot hand it to `node`: {error}"), None);
    let descriptor =
        memfd_create(c"declaration", MFdFlags::MFD_CLOEXEC).map_err(|error| cannot(error.into()))?;
    let mut file = File::from(descriptor);
    file.write_all(text.as_bytes()).map_err(cannot)?;
    let name = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    evaluate(Path::new(&name), Code::Expression, options)
}

pub(super) fn evaluate_within(
    limit: Duration,
    file: &Path,
    code: Code,
    options: &Options,
) -> Result<Value, Failure> {
    document_file::open(file)?;
    let node = find_node(options)?;
    let cannot = |error: io::Error| {
        Failure::new(format!("cannot run {}: {error}", shown(&node.to_string_lossy())), None)
    };
    let (answers, theirs) = io::pipe().map_err(cannot)?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LAUNCHER, "sh"]).arg(&node).args(["-e", EVALUATOR, "--"]).arg(file);
    command.arg((2 * limit).as_millis().to_string()).arg(match code {
        Code::Module => "module",
        Code::Expression => "expression",
    });
    command.env_clear().envs(options.caller.iter().map(|(name, value)| (name, value.reveal())));
    // Those of a supervised app around the caller; `node` would take a descriptor of ours for its channel.
    command.env_remove("NODE_CHANNEL_FD").env_remove("NODE_UNIQUE_ID");
    // What the file prints is for the person, not for a program that reads the output of the CLI.
    let stderr = io::stderr().as_fd().try_clone_to_owned().map_err(cannot)?;
    command.current_dir(&options.cwd).stdin(theirs).stdout(stderr).process_group(0);
    let mut node = Evaluation { child: command.spawn().map_err(cannot)? };
    // Holds the writing end; the reading end sees the end of file only once it is gone.
    drop(command);
    let answer = read_answer(answers, Instant::now() + limit);
    let ended = node.end();
    interpret(answer, ended, limit)
}

fn find_node(options: &Options) -> Result<PathBuf, Failure> {
    let path = options.caller.get("PATH").map(|path| path.reveal().to_owned()).unwrap_or_default();
    let places = Places { cwd: options.cwd.clone(), home: paths::home(options), path };
    let hint = "install Node, or write the declaration as .toml, .json or .yaml";
    places
        .program("node")
        .ok_or_else(|| Failure::new("`node` is needed to evaluate the file and is not in PATH", Some(hint)))
}

/// The process that evaluates, and whatever it started.
struct Evaluation {
    child: Child,
}

impl Evaluation {
    /// Ends all of its process group. The group's id is not free before its leader has been waited for.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Ok(leader) = i32::try_from(self.child.id()) {
            // It may have ended already.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
        self.child.wait()
    }
}

/// Why reading stopped without the whole answer.
enum Cut {
    TimedOut,
    TooLarge,
    Failed(io::Error),
}

fn read_answer(mut answers: PipeReader, deadline: Instant) -> Result<Vec<u8>, Cut> {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cut::TimedOut);
        }
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(answers.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Cut::Failed(errno.into())),
        }
        match answers.read(&mut chunk).map_err(Cut::Failed)? {
            0 => return Ok(answer),
            length if answer.len() + length > LARGEST as usize => return Err(Cut::TooLarge),
            length => answer.extend_from_slice(&chunk[..length]),
        }
    }
}

fn interpret(
    answer: Result<Vec<u8>, Cut>,
    ended: io::Result<ExitStatus>,
    limit: Duration,
) -> Result<Value, Failure> {
    const SHAPE: &str = "write `module.exports = { apps: [{ script: \"app.js\" }] }`";
    let answer = match answer {
        Ok(answer) => answer,
        Err(Cut::TimedOut) => {
            let hint = "a declaration should not wait for anything or open connections";
            return Err(Failure::new(format!("evaluating it took longer than {limit:?}"), Some(hint)));
        }
        Err(Cut::TooLarge) => {
            return Err(Failure::new(format!("it exports more than {} MiB", LARGEST >> 20), None));
        }
        Err(Cut::Failed(error)) => {
            return Err(Failure::new(format!("cannot read what it exports: {error}"), None));
        }
    };
    match serde_json::from_slice(&answer) {
        Ok(Answer::Exports(value)) => Ok(value),
        Ok(Answer::Kind(kind)) => {
            let message = format!("expected an object or a list in its exports, found {}", shown(&kind));
            Err(Failure::new(message, Some(SHAPE)))
        }
        Ok(Answer::Error { message, line }) => {
            Err(Failure { line, message: printable(&message), hint: None })
        }
        Err(_) if answer.is_empty() => {
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            let hint = "the file must not end the process itself; what it printed stands above";
            Err(Failure::new(
                format!("`node` ended before the file had exported anything ({how})"),
                Some(hint),
            ))
        }
        Err(error) => Err(Failure::new(format!("what it exports cannot be read: {error}"), None)),
    }
}
