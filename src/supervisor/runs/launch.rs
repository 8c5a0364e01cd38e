//! From a declaration to one process: arguments, environment, descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;
use supd_api::{AppDeclaration, ExecMode, ProcessPolicy, Resource, Rlimit, Stdin, VariableView};
use supd_keeper::cgroup::leaf_name;
use supd_keeper::protocol::{self, Attributes, Cgroup, DescriptorName, ExecPlan, Limit, RunId};

use crate::supervisor::care::cgroups::bounds;
use crate::supervisor::versions::revision::Revision;

/// Descriptors of a worker below this are standard input, output and error.
const FIRST_SOCKET: i32 = 3;

/// Room in the pipe of a standard input. More than a worker that reads at all leaves there, and little of what the kernel grants
/// one user for all pipes (`pipe-user-pages-soft`, pipe(7)), which output needs more.
const STDIN_ROOM: i32 = 16 << 10;

/// Our ends of a new run.
pub(crate) struct Ends {
    pub(crate) out: Arc<OwnedFd>,
    pub(crate) err: Arc<OwnedFd>,
    pub(crate) channel: Option<Arc<OwnedFd>>,
    /// `None`: it reads `/dev/null`.
    pub(crate) stdin: Option<Arc<OwnedFd>>,
    /// Where it speaks; `None`: its run began under a supervisor that did not listen.
    pub(crate) notify: Option<Arc<OwnedFd>>,
}

/// Everything an order to spawn needs.
pub(crate) struct Launch {
    pub(crate) plan: ExecPlan,
    pub(crate) attached: Vec<Arc<OwnedFd>>,
    pub(crate) keep: Vec<DescriptorName>,
    pub(crate) ends: Ends,
}

/// The number of the IPC channel in the child, after the sockets it inherits; `None`: it gets none.
///
/// Node apps get one as under PM2. Others only when they ask for it or use it: a Node process further down that inherits
/// `NODE_CHANNEL_FD` without the descriptor would not start.
pub(crate) fn channel_number(app: &AppDeclaration, sockets: usize) -> Option<i32> {
    let node = app.program.interpreter.as_deref().is_some_and(is_node);
    let used = app.ipc
        || app.ready.wait_ready
        || app.stop.shutdown_with_message
        || app.exec_mode == ExecMode::Cluster;
    (node || used).then(|| FIRST_SOCKET + i32::try_from(sockets).unwrap_or(i32::MAX - FIRST_SOCKET))
}

fn is_node(interpreter: &str) -> bool {
    matches!(interpreter.rsplit('/').next(), Some("node" | "nodejs" | "bun"))
}

/// Makes pipes and channel and puts the order together.
///
/// # Errors
/// Those of pipe(2) and socketpair(2), above all `EMFILE`.
pub(crate) fn launch(
    run: RunId,
    revision: &Revision,
    variables: Vec<VariableView>,
    sockets: Vec<Arc<OwnedFd>>,
    channel: Option<i32>,
    notify: OwnedFd,
) -> io::Result<Launch> {
    let app = &revision.declaration;
    let (out, out_child) = pipe2(OFlag::O_CLOEXEC)?;
    let (err, err_child) = pipe2(OFlag::O_CLOEXEC)?;
    let pair = channel.map(pair).transpose()?;

    let mut descriptors = vec![1, 2];
    let mut attached = vec![Arc::new(out_child), Arc::new(err_child)];
    let listen_pid = !sockets.is_empty();
    descriptors.extend((FIRST_SOCKET..).take(sockets.len()));
    attached.extend(sockets);

    let notify = Arc::new(notify);
    let input = (app.stdin == Stdin::Pipe).then(input).transpose()?;
    let ends = Ends {
        stdin: input.as_ref().map(|(_, ours)| Arc::clone(ours)),
        out: Arc::new(out),
        err: Arc::new(err),
        channel: pair.as_ref().map(|(_, ours, _)| Arc::clone(ours)),
        notify: Some(Arc::clone(&notify)),
    };
    let mut keep = vec![DescriptorName::Out(run), DescriptorName::Err(run), DescriptorName::Notify(run)];
    let mut kept = vec![Arc::clone(&ends.out), Arc::clone(&ends.err), notify];
    if let Some((number, ours, theirs)) = pair {
        descriptors.push(number);
        attached.push(theirs);
        keep.push(DescriptorName::Ipc(run));
        kept.push(ours);
    }
    if let Some((theirs, ours)) = input {
        descriptors.push(0);
        attached.push(theirs);
        keep.push(DescriptorName::In(run));
        kept.push(ours);
    }
    attached.extend(kept);

    let (program, argv) = command(revision);
    let env =
        variables.into_iter().map(|variable| (variable.name, variable.value.reveal().to_owned())).collect();
    let plan = ExecPlan {
        program,
        argv,
        env,
        cwd: revision.cwd().to_string_lossy().into_owned(),
        user: app.user.clone(),
        group: app.group.clone(),
        descriptors,
        listen_pid,
        attributes: attributes(&app.process),
        cgroup: Some(Cgroup { leaf: leaf_name(run.0, app.name.as_str()), bounds: bounds(&app.cgroup) }),
    };
    Ok(Launch { plan, attached, keep, ends })
}

/// An IPC channel: its number in the worker, our end, theirs.
fn pair(number: i32) -> io::Result<(i32, Arc<OwnedFd>, Arc<OwnedFd>)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((number, Arc::new(ours), Arc::new(theirs)))
}

/// A pipe for standard input: theirs, and ours, which never waits.
fn input() -> io::Result<(Arc<OwnedFd>, Arc<OwnedFd>)> {
    let (theirs, ours) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // With more room it works as well.
    let _ = fcntl(&ours, FcntlArg::F_SETPIPE_SZ(STDIN_ROOM));
    Ok((Arc::new(theirs), Arc::new(ours)))
}

/// What is asked of its control group, in words.
pub(crate) fn asked(app: &AppDeclaration) -> String {
    let given = app.cgroup.given();
    let given: Vec<String> = given.into_iter().map(|(field, value)| format!("{field} {value}")).collect();
    if given.is_empty() { "no bounds".to_owned() } else { given.join(", ") }
}

/// As the keeper has it.
fn attributes(process: &ProcessPolicy) -> Attributes {
    let limit = |(resource, limit): (&Resource, &Rlimit)| Limit {
        resource: kept(*resource),
        soft: limit.soft,
        hard: limit.hard,
    };
    Attributes {
        umask: process.umask,
        nice: process.nice,
        oom_score_adj: process.oom_score_adj,
        limits: process.rlimits.iter().map(limit).collect(),
        no_new_privs: process.no_new_privs,
        capabilities: process.capabilities.iter().map(|capability| capability.number()).collect(),
    }
}

pub(crate) fn kept(resource: Resource) -> protocol::Resource {
    match resource {
        Resource::As => protocol::Resource::As,
        Resource::Core => protocol::Resource::Core,
        Resource::Cpu => protocol::Resource::Cpu,
        Resource::Data => protocol::Resource::Data,
        Resource::Fsize => protocol::Resource::Fsize,
        Resource::Memlock => protocol::Resource::Memlock,
        Resource::Msgqueue => protocol::Resource::Msgqueue,
        Resource::Nice => protocol::Resource::Nice,
        Resource::Nofile => protocol::Resource::Nofile,
        Resource::Nproc => protocol::Resource::Nproc,
        Resource::Rtprio => protocol::Resource::Rtprio,
        Resource::Sigpending => protocol::Resource::Sigpending,
        Resource::Stack => protocol::Resource::Stack,
    }
}

/// What is executed, with all its arguments.
pub(crate) fn command(revision: &Revision) -> (String, Vec<String>) {
    let program = &revision.declaration.program;
    let (interpreter, script) = match &revision.pin {
        Some(pin) => (&pin.interpreter, &pin.script),
        None => (&program.interpreter, &program.script),
    };
    let mut argv = Vec::new();
    if let Some(interpreter) = interpreter {
        argv.push(interpreter.clone());
        argv.extend(program.interpreter_args.iter().cloned());
    }
    argv.push(script.clone());
    argv.extend(program.args.iter().cloned());
    (argv[0].clone(), argv)
}
