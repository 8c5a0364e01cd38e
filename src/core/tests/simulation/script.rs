//! What a random script may contain.

use std::time::Duration;

use proptest::prelude::*;
use supd_core::{
    AppName, Autoscale, Bytes, Condition, Millicpu, OnLate, PmTwoRules, Readiness, RestartPolicy, Spec,
};

/// One step of a script. `app` and `nth` are taken modulo what exists.
#[derive(Clone, Debug)]
pub enum Op {
    Apply {
        app: u8,
        kind: App,
        gently: bool,
        /// Milliseconds.
        timeout: Option<u64>,
    },
    /// What an app is told without new processes.
    Amend {
        app: u8,
        kind: App,
    },
    Start {
        nth: u8,
    },
    Stop {
        nth: u8,
    },
    StopApp {
        app: u8,
    },
    Restart {
        nth: u8,
    },
    Delete {
        nth: u8,
    },
    DeleteApp {
        app: u8,
    },
    Reload {
        app: u8,
        /// Milliseconds.
        timeout: Option<u64>,
    },
    Rollback {
        app: u8,
    },
    /// A file has changed, say.
    Renew {
        app: u8,
    },
    /// Everything there is, in one wish.
    StartAll,
    StopAll,
    /// The machine is started anew: only what is entrusted comes back.
    Reboot,
    /// A worker's process fails its checks.
    Unfit {
        nth: u8,
    },
    /// A worker's process uses more memory than it may.
    Oversize {
        nth: u8,
    },
    Scale {
        app: u8,
        count: u32,
    },
    /// All ready workers of an app use so much: thousandths of a processor and bytes, as far as it is known.
    Load {
        app: u8,
        cpu: Option<u64>,
        memory: u64,
        available: Option<u64>,
    },
    /// Milliseconds pass.
    Advance(u64),
    /// Someone else kills a worker's process.
    Crash {
        nth: u8,
    },
    /// A report about a run nobody knows.
    Nonsense {
        run: u64,
        kind: u8,
    },
    /// The supervisor dies, with or without its last orders having been carried out, and is restored.
    KillSupervisor {
        effects_lost: bool,
    },
}

/// The shape of an app.
#[derive(Clone, Copy, Debug)]
pub struct App {
    pub count: u32,
    pub surge: u32,
    pub overlap: bool,
    pub autostart: bool,
    pub autorestart: bool,
    pub told: Option<OnLate>,
    pub pm2_max_restarts: Option<u32>,
    pub parallel: u32,
    /// Milliseconds.
    pub drain: Option<u64>,
    /// Milliseconds.
    pub watch: u64,
    /// On which app, and what of it.
    pub depends_on: Option<(u8, Condition)>,
    /// It scales itself between these.
    pub autoscale: Option<(u32, u32)>,
}

impl App {
    pub fn plain() -> Self {
        Self {
            count: 1,
            surge: 1,
            overlap: false,
            autostart: true,
            autorestart: true,
            told: None,
            pm2_max_restarts: None,
            parallel: 2,
            drain: None,
            watch: 0,
            depends_on: None,
            autoscale: None,
        }
    }

    pub fn overlapping() -> Self {
        Self { overlap: true, told: Some(OnLate::Fail), drain: Some(2_000), watch: 30_000, ..Self::plain() }
    }

    pub fn spec(&self) -> Spec {
        Spec {
            count: self.count,
            autostart: self.autostart,
            restart: RestartPolicy {
                autorestart: self.autorestart,
                stop_exit_codes: vec![99],
                pm2: self.pm2_max_restarts.map(|max_restarts| PmTwoRules {
                    min_uptime: Duration::from_secs(1),
                    max_restarts,
                    restart_delay: Duration::ZERO,
                    exp_backoff: None,
                }),
            },
            kill_timeout: Duration::from_millis(1_600),
            readiness: match self.told {
                None => Readiness::Executed,
                Some(late) => Readiness::Told { within: Duration::from_secs(3), late },
            },
            overlap: self.overlap,
            surge: self.surge,
            parallel: self.parallel,
            drain: self.drain.map(Duration::from_millis),
            settle: Duration::from_millis(1_000),
            reload_within: Duration::from_millis(6_000),
            watch: Duration::from_millis(self.watch),
            depends_on: self.depends_on.iter().map(|(app, condition)| (name(*app), *condition)).collect(),
            autoscale: self.autoscale.map(|(min, max)| autoscale(min, max)),
        }
    }
}

/// The name of one of the three apps.
pub fn name(app: u8) -> AppName {
    AppName(format!("app{}", app % 3))
}

/// With targets of 60 % of one processor and 100 bytes, and a window of one minute.
pub fn autoscale(min: u32, max: u32) -> Autoscale {
    Autoscale {
        min,
        max,
        cpu: Some(Millicpu(600)),
        memory: Some(Bytes(100)),
        stabilization: Duration::from_secs(60),
    }
}

/// How a process behaves. Milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Until the program is executed; `None`: it cannot be.
    pub executes_after: Option<u64>,
    /// From there until it is ready; `None`: never.
    pub ready_after: Option<u64>,
    /// From there until it dies of itself.
    pub dies_after: Option<u64>,
    /// It dies with this code.
    pub code: i32,
    /// From being told to accept nothing more until it has finished; `None`: never.
    pub drains_after: Option<u64>,
    /// From being asked until it goes; `None`: it ignores that.
    pub goes_after: Option<u64>,
    /// It leaves processes behind, which go so long after being asked (`Some(None)`: only when killed).
    pub leaves: Option<Option<u64>>,
    /// From the kill to its end: some sit in the kernel for a while.
    pub dies_of_kill_after: u64,
}

impl Profile {
    pub const GOOD: Self = Self {
        executes_after: Some(2),
        ready_after: Some(50),
        dies_after: None,
        code: 1,
        drains_after: Some(30),
        goes_after: Some(20),
        leaves: None,
        dies_of_kill_after: 1,
    };

    /// The ways in which a release can be bad.
    pub const BAD: [Self; 4] = [
        Self { ready_after: None, ..Self::GOOD },
        Self { ready_after: None, goes_after: None, ..Self::GOOD },
        Self { ready_after: None, dies_after: Some(5), ..Self::GOOD },
        Self { executes_after: None, ..Self::GOOD },
    ];
}

/// A process that may do anything.
pub fn profile() -> impl Strategy<Value = Profile> {
    (
        prop_oneof![4 => (0u64..20).prop_map(Some), 1 => Just(None)],
        prop_oneof![4 => (0u64..2_000).prop_map(Some), 1 => (2_500u64..3_500).prop_map(Some), 1 => Just(None)],
        prop_oneof![3 => Just(None), 1 => (0u64..100).prop_map(Some), 1 => (0u64..40_000).prop_map(Some)],
        prop_oneof![Just(0), Just(1), Just(99)],
        prop_oneof![3 => (0u64..1_000).prop_map(Some), 1 => Just(None)],
        prop_oneof![4 => Just(None), 1 => (0u64..3_000).prop_map(|ms| Some(Some(ms))), 1 => Just(Some(None))],
        prop_oneof![8 => 0u64..5, 1 => 0u64..2_500],
        prop_oneof![3 => (0u64..2_500).prop_map(Some), 1 => Just(None)],
    )
        .prop_map(|(executes_after, ready_after, dies_after, code, goes_after, leaves, kill, drains_after)| Profile {
            executes_after,
            ready_after,
            dies_after,
            code,
            drains_after,
            goes_after,
            leaves,
            dies_of_kill_after: kill,
        })
}

/// A process that behaves, in its own time.
pub fn fair_profile() -> impl Strategy<Value = Profile> {
    (0u64..20, 0u64..2_900, 0u64..1_500, 0u64..3_000).prop_map(|(execute, ready, go, drain)| Profile {
        executes_after: Some(execute),
        ready_after: Some(ready),
        drains_after: Some(drain),
        goes_after: Some(go),
        ..Profile::GOOD
    })
}

fn app() -> impl Strategy<Value = App> {
    let told = prop_oneof![Just(None), Just(Some(OnLate::Fail)), Just(Some(OnLate::Assume))];
    let pm2 = prop_oneof![3 => Just(None), 1 => (0u32..6).prop_map(Some)];
    let drain = prop::option::of(0u64..2_000);
    let watch = prop_oneof![Just(0), 1u64..60_000];
    let flags = (any::<bool>(), 0u8..8, 0u8..6);
    (0u32..5, 1u32..3, flags, told, pm2, 1u32..4, drain, watch, (depends_on(), bounds())).prop_map(
        |(count, surge, flags, told, pm2_max_restarts, parallel, drain, watch, more)| {
            let ((overlap, autostart, autorestart), (depends_on, autoscale)) = (flags, more);
            App {
                count,
                surge,
                overlap,
                autostart: autostart != 0,
                autorestart: autorestart != 0,
                told,
                pm2_max_restarts,
                parallel,
                drain,
                watch,
                depends_on,
                autoscale,
            }
        },
    )
}

fn bounds() -> impl Strategy<Value = Option<(u32, u32)>> {
    prop_oneof![2 => Just(None), 1 => (1u32..4, 0u32..5).prop_map(|(min, more)| Some((min, min + more)))]
}

pub fn load() -> impl Strategy<Value = Op> {
    let cpu = prop_oneof![1 => Just(None), 4 => (0u64..2_000).prop_map(Some)];
    let available = prop_oneof![3 => Just(None), 1 => (0u64..300).prop_map(Some)];
    (0u8..3, cpu, 0u64..300, available).prop_map(|(app, cpu, memory, available)| Op::Load {
        app,
        cpu,
        memory,
        available,
    })
}

/// Also on itself, and in circles.
fn depends_on() -> impl Strategy<Value = Option<(u8, Condition)>> {
    prop_oneof![2 => Just(None), 1 => (0u8..3, condition()).prop_map(Some)]
}

pub fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Started), Just(Condition::Ready), Just(Condition::Completed)]
}

fn timeout() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![3 => Just(None), 1 => (0u64..10_000).prop_map(Some)]
}

pub fn op() -> impl Strategy<Value = Op> {
    let time = prop_oneof![0u64..10, 0u64..1_000, 0u64..10_000, 0u64..100_000];
    prop_oneof![
        3 => (0u8..3, app(), any::<bool>(), timeout()).prop_map(|(app, kind, gently, timeout)| {
            Op::Apply { app, kind, gently, timeout }
        }),
        1 => (0u8..3, app()).prop_map(|(app, kind)| Op::Amend { app, kind }),
        1 => any::<u8>().prop_map(|nth| Op::Start { nth }),
        1 => any::<u8>().prop_map(|nth| Op::Stop { nth }),
        1 => (0u8..3).prop_map(|app| Op::StopApp { app }),
        1 => any::<u8>().prop_map(|nth| Op::Restart { nth }),
        1 => any::<u8>().prop_map(|nth| Op::Delete { nth }),
        1 => (0u8..3).prop_map(|app| Op::DeleteApp { app }),
        3 => (0u8..3, timeout()).prop_map(|(app, timeout)| Op::Reload { app, timeout }),
        1 => (0u8..3).prop_map(|app| Op::Rollback { app }),
        2 => (0u8..3).prop_map(|app| Op::Renew { app }),
        1 => Just(Op::StartAll),
        1 => Just(Op::StopAll),
        1 => Just(Op::Reboot),
        2 => any::<u8>().prop_map(|nth| Op::Unfit { nth }),
        2 => any::<u8>().prop_map(|nth| Op::Oversize { nth }),
        1 => (0u8..3, 0u32..6).prop_map(|(app, count)| Op::Scale { app, count }),
        3 => load(),
        8 => time.prop_map(Op::Advance),
        2 => any::<u8>().prop_map(|nth| Op::Crash { nth }),
        1 => (1_000_000u64..1_000_010, 0u8..8).prop_map(|(run, kind)| Op::Nonsense { run, kind }),
        2 => any::<bool>().prop_map(|effects_lost| Op::KillSupervisor { effects_lost }),
    ]
}
