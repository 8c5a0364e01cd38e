//! Carrying a word to where it goes, once.

use std::env;
use std::fs::File;
use std::io::{self, Seek};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use supd_api::Secret;
use supd_keeper::protocol::{Exit, RunId};
use supd_keeper::{Companion, CompanionPlan, memfd};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{document, orders};
use super::{Note, Target};
use crate::printable::printable;

/// For curl to give up in its own words, in seconds.
const CURL_TIME: u64 = 20;
/// How long any of it may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// So much is told of what a program says.
const SAID_MAX: usize = 300;
/// No run has this number: what is started here belongs to none.
const NO_RUN: RunId = RunId(0);
/// What of our own environment a program gets.
const VARIABLES: [&str; 13] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
];

/// Delivers a word. It ends within half a minute, and what it has started with it.
///
/// # Errors
/// Why it did not arrive, in words without secrets.
pub async fn deliver(target: &Target, note: &Note) -> Result<(), String> {
    let (command, input) = match (target, orders(target, note, CURL_TIME)) {
        (Target::Exec(words), _) => (words.clone(), document(note).to_string()),
        (_, Some(orders)) => (["curl", "-q", "--config", "-"].map(Secret::from).to_vec(), orders),
        (_, None) => return Err("it has no address".to_owned()),
    };
    let done = run(&command, input.as_bytes()).await;
    done.map_err(|why| target.secrets().into_iter().fold(why, |why, secret| why.replace(secret, "***")))
}

async fn run(command: &[Secret], input: &[u8]) -> Result<(), String> {
    let Some((program, args)) = command.split_first() else { return Err("there is no program".to_owned()) };
    let plan = CompanionPlan {
        run: NO_RUN,
        program: program.reveal().to_owned(),
        args: args.iter().map(|arg| arg.reveal().to_owned()).collect(),
        env: VARIABLES.iter().filter_map(|name| variable(name)).collect(),
        cwd: "/".to_owned(),
        user: None,
        group: None,
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{}: there is no such program", plan.program),
        _ => error.to_string(),
    };
    let companion = Arc::new(Companion::default());
    let (end, output) = start(&companion, plan.clone(), input).map_err(failed)?;
    let Ok(ended) = timeout(PATIENCE, end).await else {
        companion.kill();
        return Err(format!("{}: it took longer than {PATIENCE:?}", plan.program));
    };
    let how = match ended.map_err(|_| "it was lost".to_owned())?.map_err(failed)? {
        Exit::Code(0) => return Ok(()),
        Exit::Code(code) => format!("{} returned {code}", plan.program),
        Exit::Signal(number) => format!("{} was ended by signal {number}", plan.program),
    };
    let mut said = [0; 4 * SAID_MAX];
    let count = output.try_read(&mut said).unwrap_or_default();
    let said = printable(&said[..count], SAID_MAX);
    Err(if said.is_empty() { how } else { format!("{how}: {said}") })
}

fn variable(name: &str) -> Option<(String, String)> {
    let otherwise = (name == "PATH").then(|| "/usr/local/bin:/usr/bin:/bin".to_owned());
    Some((name.to_owned(), env::var(name).ok().or(otherwise)?))
}

type End = oneshot::Receiver<io::Result<Exit>>;

/// In a thread of its own, which lives as long as the process.
fn start(companion: &Arc<Companion>, plan: CompanionPlan, input: &[u8]) -> io::Result<(End, pipe::Receiver)> {
    let mut input = File::from(memfd::write(c"supd-hook", input)?);
    input.rewind()?;
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    let output = pipe::Receiver::from_owned_fd(ours)?;
    let (sender, end) = oneshot::channel();
    let living = Arc::clone(companion);
    Builder::new().name("hook".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        drop(sender.send(living.live(&plan, Stdio::from(input), theirs)));
    })?;
    Ok((end, output))
}
