//! What travels over the control socket, and nothing else.
//!
//! Question answered here: *which words do `supctl`, `curl` and the supervisor share?* Plain serde types with
//! their documentation. This crate may not decide, read files, or know that processes exist.

pub mod action;
pub mod app;
pub mod cgroup;
pub mod change;
pub mod crash;
pub mod event;
pub mod fault;
pub mod health;
pub mod hook;
pub mod listen;
pub mod log;
pub mod logs;
pub mod policy;
pub mod process;
pub mod settings;
pub mod talk;
pub mod unit;
pub mod view;

pub use action::{
    Accepted, PendingRequests, ReloadRequest, RunRequest, Runtime, ScaleTo, SignalRequest, StartApps,
    TargetRequest, UpgradeBegun, UpgradeRequest, WorkerOutcome,
};
pub use app::{
    AppDeclaration, AppName, Balance, Environment, EnvironmentLayer, ExecMode, Instances, Layer, Program,
    RestartPolicy, Secret, Source, Stdin,
};
pub use cgroup::{CgroupPolicy, CgroupUse, CgroupView, Milliprocessors, PressureView, Weight};
pub use change::{Acts, AppDifference, ApplyApps, Change, ChangeKind, CompareApps, Difference, Step};
pub use crash::{Cause, CrashReport};
pub use event::{Happening, HappeningKind, Progress};
pub use fault::{Fault, FaultCode};
pub use health::{HealthReason, HealthView};
pub use hook::HookView;
pub use listen::ListenAddress;
pub use log::{LogLine, LogText, Stream};
pub use logs::{
    Compression, DeclaredRotation, LogForm, LogPolicy, LogSink, LogTarget, OnFull, Rotation, RotationField,
    RotationView, StdoutForm,
};
pub use policy::{
    AutoscalePolicy, Check, Condition, CronPolicy, JobPolicy, LivePolicy, Overlap, Probe, ReadyPolicy,
    ReloadPolicy, StopPolicy, WatchPolicy,
};
pub use process::{Capability, NoCapability, ProcessPolicy, Resource, Rlimit};
pub use settings::Settings;
pub use talk::{Action, InputRequest, Message, MessageRequest, Reply, TriggerRequest, Triggered};
pub use unit::Millis;
pub use view::{
    AppView, AutoscaleView, DaemonView, EnvironmentView, Exit, ExitView, JobResult, JobRun, JobRuns, JobView,
    LogTrouble, LogView, OversizeView, Status, StreamView, UpgradeView, VariableView, Watching, WorkerView,
};
