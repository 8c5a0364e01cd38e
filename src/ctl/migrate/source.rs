//! Where is PM2's list? A PM2 that runs is asked; a dump is read. PM2 is never started for it.

use std::env;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use supd_api::{Fault, FaultCode};

use super::args::MigrateArgs;
use super::process::{self, Process};

/// A PM2 that runs.
pub(crate) struct Pm2 {
    program: PathBuf,
    home: PathBuf,
}

/// What was found.
pub(crate) struct Source {
    /// In PM2's order.
    pub(crate) processes: Vec<Process>,
    /// Where from, for people.
    pub(crate) origin: String,
    /// `None`: it is a file.
    pub(crate) running: Option<Pm2>,
}

impl Pm2 {
    /// Runs one of its commands and returns what it printed.
    ///
    /// # Errors
    /// `Failed` with its last words.
    pub(crate) fn run(&self, words: &[&str]) -> Result<String, Fault> {
        let shown = format!("{} {}", self.program.display(), words.join(" "));
        let failed = |why: String| Fault::new(FaultCode::Failed, format!("`{shown}`: {why}"));
        let mut command = Command::new(&self.program);
        command.args(words).env("PM2_HOME", &self.home).stdin(Stdio::null());
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = [output.stderr, output.stdout].concat();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        Err(failed(format!("{}: {words}", output.status)))
    }
}

/// Finds PM2's list.
///
/// # Errors
/// `NotFound` when there is neither, `Invalid` when it cannot be understood.
pub(crate) fn read(args: &MigrateArgs) -> Result<Source, Fault> {
    if let Some(file) = &args.from {
        return from_file(file);
    }
    let home = home(args)?;
    if UnixStream::connect(home.join("rpc.sock")).is_ok() {
        let program = args.pm2.clone().or_else(in_path).ok_or_else(|| {
            let text = format!("a PM2 runs in {}, but there is no pm2 in PATH to ask it", home.display());
            Fault::new(FaultCode::NotFound, text)
                .hint("name it with --pm2 PATH, or read its dump with --from FILE")
        })?;
        let pm2 = Pm2 { program, home };
        let invalid = |why| Fault::new(FaultCode::Invalid, format!("{} jlist: {why}", pm2.program.display()));
        let processes = process::parse_list(&pm2.run(&["jlist"])?).map_err(invalid)?;
        return Ok(Source {
            processes,
            origin: format!("the PM2 that runs in {}", pm2.home.display()),
            running: Some(pm2),
        });
    }
    let dump = home.join("dump.pm2");
    let backup = home.join("dump.pm2.bak");
    match (dump.exists(), backup.exists()) {
        (true, true) => from_file(&dump).or_else(|_| from_file(&backup)),
        (true, false) => from_file(&dump),
        (false, true) => from_file(&backup),
        (false, false) => Err(Fault::new(
            FaultCode::NotFound,
            format!("no PM2 runs in {}, and it has no dump", home.display()),
        )
        .hint("name PM2's directory with --pm2-home, or a dump with --from; `pm2 save` writes one")),
    }
}

fn from_file(file: &Path) -> Result<Source, Fault> {
    let failed = |code, why: String| Fault::new(code, format!("{}: {why}", file.display()));
    let bytes = fs::read(file).map_err(|error| failed(FaultCode::NotFound, error.to_string()))?;
    let processes = process::parse_dump(&bytes).map_err(|why| failed(FaultCode::Invalid, why))?;
    Ok(Source { processes, origin: file.display().to_string(), running: None })
}

fn home(args: &MigrateArgs) -> Result<PathBuf, Fault> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = || set("HOME").map(|home| home.join(".pm2"));
    args.pm2_home.clone().or_else(|| set("PM2_HOME")).or_else(usual).ok_or_else(|| {
        Fault::new(FaultCode::NotFound, "where is PM2's directory?").hint("name it with --pm2-home DIR")
    })
}

/// The first `pm2` in `PATH` that is not this program under PM2's name.
fn in_path() -> Option<PathBuf> {
    let own = env::current_exe().ok().and_then(|own| fs::canonicalize(own).ok());
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join("pm2")).find(|file| match fs::canonicalize(file) {
        Ok(real) => Some(&real) != own.as_ref() && real.file_name() != Some("supctl".as_ref()),
        Err(_) => false,
    })
}
