//! Is the output of a run that has ended on disk?
//!
//! Until it is, the keeper is not told to forget the run, for with the run it drops its end of the pipes. A successor
//! whose core knows nothing of that run any more learns from the snapshot where its last words belong.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::stat::{FileStat, SFlag, fstat, makedev};
use serde::{Deserialize, Serialize};
use supd_api::{AppDeclaration, AppName, DeclaredRotation, LogPolicy, LogSink, Rotation, Stream};
use supd_core::RunId;
use supd_keeper::protocol::{self, DescriptorName, Order};

use crate::home::Home;
use crate::logs::{self, Sink, Source, Tally};
use crate::supervisor::runs::paths;
use crate::supervisor::settings::Store;
use crate::supervisor::turn::Shell;

/// Where the output of a run goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Output {
    pub(crate) app: AppName,
    #[serde(default)]
    namespace: String,
    pub(crate) worker: u32,
    pub(crate) out_file: Option<PathBuf>,
    pub(crate) error_file: Option<PathBuf>,
    /// Takes both, in addition.
    #[serde(default)]
    log_file: Option<PathBuf>,
    #[serde(default)]
    policy: LogPolicy,
    #[serde(skip)]
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// More may come.
    #[default]
    Flowing,
    /// Its pipes have been read to their ends.
    Complete,
    /// The run is no more; what is in its pipes is being carried away.
    Ebbing,
}

impl Output {
    pub(crate) fn new(home: &Home, app: &AppDeclaration, worker: u32) -> Self {
        Self {
            app: app.name.clone(),
            namespace: app.namespace.clone(),
            worker,
            out_file: paths::log_file(home, app, worker, Stream::Out),
            error_file: paths::log_file(home, app, worker, Stream::Err),
            log_file: paths::combined_log_file(home, app, worker),
            policy: app.logs.clone(),
            state: State::Flowing,
        }
    }

    /// How it is rotated.
    pub(crate) fn rotation(&self, settings: &Store) -> Rotation {
        settings.rotation(&self.policy.rotation)
    }

    /// From now on it is rotated as this says.
    pub(crate) fn declare_rotation(&mut self, declared: &DeclaredRotation) {
        self.policy.rotation = declared.clone();
    }

    fn of(&self, stream: Stream, settings: &Store, tally: Arc<Tally>, resumed: bool) -> logs::Output {
        let own = match stream {
            Stream::Out => &self.out_file,
            Stream::Err => &self.error_file,
        };
        let mut files: Vec<PathBuf> = own.iter().chain(&self.log_file).cloned().collect();
        files.dedup();
        let LogPolicy { form, on_full, sink, .. } = self.policy.clone();
        let (rotation, sink) = (self.rotation(settings), sink.map(to_sink));
        logs::Output { files, form, rotation, on_full, tally, sink, resumed }
    }
}

/// A warning for each app whose output goes to a standard output that leads nowhere: that of a daemon in the background.
pub(crate) fn sinks_that_nobody_sees<'a>(apps: impl Iterator<Item = &'a AppDeclaration>) -> Vec<String> {
    let is_null = |file: FileStat| {
        SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR
            && file.st_rdev == makedev(1, 3)
    };
    if !fstat(std::io::stdout()).is_ok_and(is_null) {
        return Vec::new();
    }
    let wants = |app: &&AppDeclaration| matches!(app.logs.sink, Some(LogSink::Stdout(_)));
    let text = |app: &AppDeclaration| {
        format!(
            "{}: this daemon runs in the background: what `log_sink` sends to its standard output is lost",
            app.name
        )
    };
    apps.filter(wants).map(text).collect()
}

fn to_sink(sink: LogSink) -> Sink {
    match sink {
        LogSink::Journald => Sink::Journald { socket: logs::JOURNALD.into() },
        LogSink::Syslog => Sink::Syslog { socket: logs::SYSLOG.into() },
        LogSink::Stdout(form) => Sink::Stdout { form },
    }
}

impl Shell {
    /// Carries what comes out of these pipes into its files. `resumed`: a predecessor has done so before.
    pub(crate) fn follow(
        &mut self,
        run: RunId,
        output: Output,
        out: &Arc<OwnedFd>,
        err: &Arc<OwnedFd>,
        resumed: bool,
    ) {
        for (stream, pipe) in [(Stream::Out, out), (Stream::Err, err)] {
            let source = Source {
                run: protocol::RunId(run.0),
                app: output.app.clone(),
                namespace: output.namespace.clone(),
                worker: output.worker,
                stream,
            };
            match pipe.try_clone() {
                Ok(pipe) => {
                    let tally = self.carried.tally(output.worker, stream);
                    self.logs.attach(source, pipe, output.of(stream, &self.settings, tally, resumed));
                }
                Err(error) => tracing::error!("run {run}: its output cannot be followed: {error}"),
            }
        }
        self.outputs.insert(run, output);
    }

    /// Nothing of this run is left: the keeper forgets it as soon as its last words are on disk.
    pub(crate) fn let_ebb(&mut self, run: RunId) {
        match self.outputs.get_mut(&run) {
            Some(Output { state: State::Ebbing, .. }) => return,
            Some(Output { state: state @ State::Flowing, .. }) => *state = State::Ebbing,
            Some(Output { state: State::Complete, .. }) | None => self.forget_output(run),
        }
        self.logs.release(protocol::RunId(run.0));
    }

    /// Both streams of a run have been read to their ends.
    pub(crate) fn on_drained(&mut self, run: RunId) {
        match self.outputs.get_mut(&run) {
            Some(Output { state: state @ State::Flowing, .. }) => *state = State::Complete,
            Some(Output { state: State::Ebbing, .. }) => self.forget_output(run),
            Some(Output { state: State::Complete, .. }) | None => {}
        }
    }

    fn forget_output(&mut self, run: RunId) {
        self.outputs.remove(&run);
        self.unsaved = true;
        self.complete_crash(run);
        self.keeper.order(Order::Forget { run: protocol::RunId(run.0) }, Vec::new());
    }

    /// Goes on with what a predecessor had not carried away when its core forgot the run.
    pub(crate) fn take_ebbing(
        &mut self,
        outputs: Vec<(RunId, Output)>,
        descriptors: &BTreeMap<DescriptorName, Arc<OwnedFd>>,
    ) {
        for (run, output) in outputs {
            let kept = protocol::RunId(run.0);
            let ends =
                (descriptors.get(&DescriptorName::Out(kept)), descriptors.get(&DescriptorName::Err(kept)));
            // Those that the core knows are followed already.
            if let ((Some(out), Some(err)), false) = (ends, self.outputs.contains_key(&run)) {
                self.follow(run, output, out, err, true);
                self.let_ebb(run);
            }
        }
    }
}
