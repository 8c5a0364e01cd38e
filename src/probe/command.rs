//! What does a command say about a worker?
//!
//! It lives in a thread of its own ([`Companion`]) and is killed with its process group when the check is over, whichever
//! way. There is never more than one: a check waits for the process of the last one to be gone.

use std::io;
use std::process::Stdio;
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use supd_keeper::protocol::Exit;
use supd_keeper::{Companion, CompanionPlan};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::Target;
use super::http::io_words;
use super::thread::elsewhere;
use crate::printable::printable;

/// So many bytes of its output are looked at.
const SEEN_MAX: usize = 200;
/// So many bytes are read at all. One that writes more finds its pipe full, and runs into the timeout.
const READ_MAX: usize = 1 << 20;

/// These are between the worker and us. A Node program with `NODE_CHANNEL_FD` and without that descriptor would not start.
const PRIVATE: [&str; 9] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// A command and its process, if there is one.
#[derive(Debug)]
pub(super) struct Command {
    plan: Arc<CompanionPlan>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    companion: Arc<Companion>,
    end: oneshot::Receiver<io::Result<Exit>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.companion.kill();
    }
}

impl Command {
    /// `None`: there is no program to run.
    pub(super) fn new(command: &[String], target: &Target) -> Option<Self> {
        let (program, args) = command.split_first()?;
        let variables =
            target.environment.iter().filter(|variable| !PRIVATE.contains(&variable.name.as_str()));
        let plan = CompanionPlan {
            run: target.run,
            program: program.clone(),
            args: args.to_vec(),
            env: variables
                .map(|variable| (variable.name.clone(), variable.value.reveal().to_owned()))
                .collect(),
            cwd: target.cwd.clone(),
            user: target.user.clone(),
            group: target.group.clone(),
        };
        Some(Self { plan: Arc::new(plan), running: None })
    }

    pub(super) fn program(&self) -> &str {
        &self.plan.program
    }

    /// Runs it once.
    ///
    /// # Errors
    /// In words, when it could not be run or did not return 0.
    pub(super) async fn run(&mut self) -> Result<String, String> {
        self.kill();
        if let Some(last) = &mut self.running {
            // Only an end without a word (a panic) is an error.
            let _ = (&mut last.end).await;
        }
        let unstarted = |error: io::Error| format!("it cannot be started: {}", io_words(&error));
        let mut output = self.start().map_err(unstarted)?;
        let Some(running) = &mut self.running else { return Err("it is not running".to_owned()) };
        let mut said = Vec::new();
        let mut read = 0;
        let end = loop {
            let mut part = [0; 4096];
            tokio::select! {
                biased;
                end = &mut running.end => break end,
                size = output.read(&mut part), if read < READ_MAX => match size {
                    Ok(size) if size > 0 => {
                        read += size;
                        keep(&mut said, &part[..size]);
                    }
                    Ok(_) | Err(_) => read = READ_MAX,
                }
            }
        };
        self.running = None;
        let mut part = [0; SEEN_MAX];
        if let Ok(size) = output.try_read(&mut part) {
            keep(&mut said, &part[..size]);
        }
        let exit = end.map_err(|_| "it was lost".to_owned())?.map_err(unstarted)?;
        verdict(exit, &said)
    }

    fn start(&mut self) -> io::Result<pipe::Receiver> {
        let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        let output = pipe::Receiver::from_owned_fd(ours)?;
        let companion = Arc::new(Companion::default());
        let (living, plan) = (Arc::clone(&companion), Arc::clone(&self.plan));
        let end = elsewhere(move || living.live(&plan, Stdio::null(), theirs))?;
        self.running = Some(Running { companion, end });
        Ok(output)
    }

    /// Ends what is still running.
    pub(super) fn kill(&self) {
        if let Some(running) = &self.running {
            running.companion.kill();
        }
    }
}

fn keep(said: &mut Vec<u8>, part: &[u8]) {
    let room = SEEN_MAX - said.len();
    said.extend_from_slice(&part[..part.len().min(room)]);
}

fn verdict(exit: Exit, said: &[u8]) -> Result<String, String> {
    let how = match exit {
        Exit::Code(0) => return Ok("exit code 0".to_owned()),
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("ended by {}", signal.as_str()),
            Err(_) => format!("ended by signal {number}"),
        },
    };
    let said = printable(said, SEEN_MAX);
    Err(if said.is_empty() { how } else { format!("{how}: {said}") })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use supd_keeper::protocol::RunId;

    use super::super::{Reach, Role};
    use super::*;

    #[tokio::test]
    async fn there_is_never_more_than_one() {
        let directory = tempfile::tempdir().unwrap();
        let target = Target {
            run: RunId(1),
            role: Role::Live,
            reach: Reach::Port,
            environment: Vec::new(),
            cwd: directory.path().to_str().unwrap().to_owned(),
            user: None,
            group: None,
        };
        let mut command = Command::new(&["/usr/bin/touch".to_owned(), "ran".to_owned()], &target).unwrap();
        let (last, end) = oneshot::channel();
        command.running = Some(Running { companion: Arc::default(), end });
        let early = tokio::time::timeout(Duration::from_millis(50), command.run()).await;
        assert!(early.is_err() && !directory.path().join("ran").exists());
        last.send(Ok(Exit::Signal(9))).unwrap();
        assert_eq!(command.run().await.as_deref(), Ok("exit code 0"));
        assert!(directory.path().join("ran").exists());
    }
}
