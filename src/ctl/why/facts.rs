//! What can be found out about an app that does not run: who has the port it wants, and what is wrong with its files. This looks at
//! the machine; what follows is for `reasons.rs`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use supd_api::{AppView, CrashReport, EnvironmentView, LogText, WorkerView};

use super::port::{Complaint, complaints};
use crate::cluster::{Endpoint, Holding, holding};
use crate::ctl::client::Client;
use crate::ctl::last_lines::printable;
use crate::processes::{command_line, descendants};
use crate::resolve::{is_program, shebang};

/// So much of a program's beginning is looked at; the kernel takes no more for its first line (`BINPRM_BUF_SIZE`, execve(2)).
const HEAD: u64 = 256;

/// Everything that explains one app.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) app: &'a AppView,
    /// The latest end that nobody asked for.
    pub(crate) latest: Option<&'a CrashReport>,
    pub(super) ports: Vec<Port>,
    pub(super) files: Vec<Defect>,
}

/// A port that its last words complain of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// `127.0.0.1:3000`; `None`: neither its words nor its declaration say which.
    pub(super) address: Option<String>,
    /// Its words.
    pub(super) line: String,
    /// They do not name the address: it is the one that is declared.
    pub(super) declared: bool,
    pub(super) held: Held,
}

/// Who has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nobody,
    By {
        pid: i32,
        command: String,
        /// It belongs to this worker: `web 0`.
        worker: Option<String>,
    },
    /// The daemon, which listens for one of its apps: this one, if that is declared.
    Daemon {
        app: Option<String>,
    },
    /// We may not look into the processes of that user.
    Hidden {
        user: Option<String>,
    },
}

/// What is wrong with a file now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    NoDirectory(PathBuf),
    Missing(PathBuf),
    NotExecutable(PathBuf),
    /// Its first line names a program that does not exist.
    NoInterpreter {
        file: PathBuf,
        interpreter: PathBuf,
    },
}

/// Who else there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    pub(crate) apps: Vec<AppView>,
    /// The processes of the daemon itself.
    pub(crate) daemon: Vec<i32>,
}

impl<'a> Facts<'a> {
    /// Looks. What cannot be seen is left out.
    pub(crate) async fn gather(
        app: &'a AppView,
        latest: Option<&'a CrashReport>,
        others: &Others,
        client: &Client,
    ) -> Self {
        let complaints = latest.map(of_report).unwrap_or_default();
        let named = complaints.iter().filter_map(|it| Some((it.endpoint.clone()?, it.line.clone(), false)));
        let mut wanted: Vec<(Endpoint, String, bool)> = named.collect();
        let mut ports = Vec::new();
        if let (true, Some(first)) = (wanted.is_empty(), complaints.first()) {
            let line = &first.line;
            wanted.extend(declared(app, client).await.into_iter().map(|it| (it, line.clone(), true)));
            if wanted.is_empty() {
                ports.push(Port { address: None, line: line.clone(), declared: false, held: Held::Nobody });
            }
        }
        for (endpoint, line, declared) in wanted {
            let address = Some(shown(&endpoint));
            if ports.iter().all(|port| port.address != address) {
                ports.push(Port { address, line, declared, held: held(&endpoint, others) });
            }
        }
        Self { app, latest, ports, files: defects(app) }
    }
}

fn of_report(report: &CrashReport) -> Vec<Complaint> {
    let words: Vec<String> =
        report.err.iter().chain(&report.out).map(LogText::as_bytes).map(printable).collect();
    complaints(words.iter().map(String::as_str).chain([report.text.as_str()]))
}

/// Where it is declared to listen.
async fn declared(app: &AppView, client: &Client) -> Vec<Endpoint> {
    match app.declaration.listen.as_slice() {
        [] => port_variable(app, client).await.into_iter().collect(),
        listen => listen.iter().map(Endpoint::from).collect(),
    }
}

async fn port_variable(app: &AppView, client: &Client) -> Option<Endpoint> {
    let path = format!("/v1/workers/{}/env", app.workers.first()?.id);
    let view: EnvironmentView = client.get(&path).await.ok()?;
    let port = view.variables.iter().find(|variable| variable.name == "PORT")?;
    let port: u16 = port.value.reveal().trim().parse().ok().filter(|port| *port > 0)?;
    Some(Endpoint::Tcp { address: ([0u16; 8], port).into(), ipv6_only: false })
}

fn shown(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { address, .. } | Endpoint::Udp { address, .. } if address.ip().is_unspecified() => {
            address.port().to_string()
        }
        Endpoint::Tcp { address, .. } | Endpoint::Udp { address, .. } => address.to_string(),
        Endpoint::Unix(path) => path.display().to_string(),
    }
}

fn held(endpoint: &Endpoint, others: &Others) -> Held {
    match holding(endpoint) {
        Holding::Nobody => Held::Nobody,
        Holding::Hidden { uid } => {
            let name = |uid| {
                let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
                known.map_or_else(|| uid.to_string(), |user| user.name)
            };
            Held::Hidden { user: uid.map(name) }
        }
        Holding::By(holder) if others.daemon.contains(&holder.pid) => {
            let listens =
                |app: &&AppView| app.declaration.listen.iter().any(|own| meet(&own.into(), endpoint));
            let app = others.apps.iter().find(listens).map(|app| app.declaration.name.to_string());
            Held::Daemon { app }
        }
        Holding::By(holder) => {
            let has = |worker: &&WorkerView| {
                worker.pid.is_some_and(|pid| pid == holder.pid || descendants(pid).contains(&holder.pid))
            };
            let worker = others.apps.iter().flat_map(|app| &app.workers).find(has);
            let command = command_line(holder.pid).unwrap_or(holder.command);
            Held::By { pid: holder.pid, command, worker: worker.map(|it| format!("{} {}", it.app, it.id)) }
        }
    }
}

/// Whether one of them keeps the other from being bound.
fn meet(one: &Endpoint, other: &Endpoint) -> bool {
    match (one.address(), other.address()) {
        (Some(one), Some(other)) => {
            let any = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port() && (any || one.ip() == other.ip())
        }
        (None, _) | (_, None) => one == other,
    }
}

fn defects(app: &AppView) -> Vec<Defect> {
    let declared = &app.declaration;
    let (cwd, program) = (&declared.cwd, &declared.program);
    if is_missing(cwd) {
        return vec![Defect::NoDirectory(cwd.clone())];
    }
    let executed = program.interpreter.as_deref().unwrap_or(&program.script);
    // A name without a slash is searched in a `PATH` that only the daemon knows.
    let executed = executed.contains('/').then(|| cwd.join(executed)).and_then(|file| unfit(&file));
    let script = program.interpreter.as_ref().and_then(|_| {
        let file = cwd.join(&program.script);
        is_missing(&file).then_some(Defect::Missing(file))
    });
    executed.into_iter().chain(script).collect()
}

/// Why a file cannot be executed.
fn unfit(file: &Path) -> Option<Defect> {
    if is_missing(file) {
        return Some(Defect::Missing(file.to_owned()));
    }
    let mut head = Vec::new();
    // What may not be read is not judged by its first line.
    let readable = File::open(file).and_then(|file| file.take(HEAD).read_to_end(&mut head)).is_ok();
    if fs::metadata(file).is_ok() && !is_program(file) {
        return Some(Defect::NotExecutable(file.to_owned()));
    }
    let (interpreter, _) = shebang(&head).filter(|_| readable)?;
    let interpreter = PathBuf::from(interpreter);
    let gone = interpreter.is_absolute() && is_missing(&interpreter);
    gone.then(|| Defect::NoInterpreter { file: file.to_owned(), interpreter })
}

/// That it cannot be seen by us does not mean that.
fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ctl::fake::{app, worker};

    #[test]
    fn what_is_wrong_with_files_is_seen() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        let file = |name: &str, text: &str, mode| {
            fs::write(at(name), text).expect("a file");
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("its mode");
        };
        file("good", "#!/bin/sh\n", 0o755);
        file("dull", "#!/bin/sh\n", 0o644);
        file("lost", "#!/no/such/python3 -u\n", 0o755);
        file("named", "#!/usr/bin/env no-such-program\n", 0o755);
        let look = |script: &str, interpreter: Option<&str>| {
            let mut view = app("web", Vec::new());
            view.declaration.cwd = dir.path().to_owned();
            view.declaration.program.script = at(script).display().to_string();
            view.declaration.program.interpreter = interpreter.map(str::to_owned);
            defects(&view)
        };
        assert_eq!(look("good", None), []);
        assert_eq!(look("dull", None), [Defect::NotExecutable(at("dull"))]);
        let interpreter = PathBuf::from("/no/such/python3");
        assert_eq!(look("lost", None), [Defect::NoInterpreter { file: at("lost"), interpreter }]);
        assert_eq!(look("named", None), [], "only the daemon knows its PATH");
        assert_eq!(look("nothing", None), [Defect::Missing(at("nothing"))]);
        assert_eq!(look("dull", Some("sh")), []);
        assert_eq!(look("nothing", Some("sh")), [Defect::Missing(at("nothing"))]);
        assert_eq!(look("dull", Some("/no/node")), [Defect::Missing("/no/node".into())]);
        let mut view = app("web", Vec::new());
        view.declaration.cwd = at("nowhere");
        assert_eq!(defects(&view), [Defect::NoDirectory(at("nowhere"))]);
    }

    #[test]
    fn who_has_a_port_is_told_by_pid_command_and_worker() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let endpoint = Endpoint::Tcp { address, ipv6_only: false };
        let us = i32::try_from(std::process::id()).expect("a process id");
        let nobody = Others::default();
        let Held::By { pid, command, worker: None } = held(&endpoint, &nobody) else { panic!("it is ours") };
        assert!(pid == us && command.contains("supd"), "{pid} {command}");
        let mut other = worker(3, "other");
        other.pid = Some(us);
        let mut apps = vec![app("other", vec![other])];
        let others = Others { apps: apps.clone(), daemon: Vec::new() };
        let Held::By { worker: Some(name), .. } = held(&endpoint, &others) else { panic!("a worker's") };
        assert_eq!(name, "other 3");
        let daemon = |apps: &[AppView]| Others { apps: apps.to_vec(), daemon: vec![us] };
        assert_eq!(held(&endpoint, &daemon(&apps)), Held::Daemon { app: None });
        apps[0].declaration.listen = vec![address.to_string().parse().expect("an address")];
        assert_eq!(held(&endpoint, &daemon(&apps)), Held::Daemon { app: Some("other".to_owned()) });
        drop(taken);
        assert_eq!(held(&endpoint, &nobody), Held::Nobody);
    }
}
