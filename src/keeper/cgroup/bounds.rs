//! What may be asked of a control group, and in which words the kernel wants it (Documentation/admin-guide/cgroup-v2.rst).

use serde::{Deserialize, Serialize};

/// The period of `cpu.max` in microseconds, the kernel's default.
const PERIOD: u64 = 100_000;
/// The least that the kernel grants in a period, in microseconds.
const QUOTA_MIN: u64 = 1_000;
/// Of what has no bound.
const NONE: &str = "max";

/// Thousandths of the time of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Milliprocessors(pub u32);

/// A share against those of the groups beside: 1 to 10000; 100 is the default of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u16);

/// Bounds of all processes of a run together. `None`: those of the groups above alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bounds {
    /// Bytes beyond which its processes are slowed down and have to give memory back.
    pub memory_high: Option<u64>,
    /// Bytes beyond which they are killed, all of them.
    pub memory_max: Option<u64>,
    /// Time of processors.
    pub cpu_max: Option<Milliprocessors>,
    /// Share of processors while they are all busy.
    pub cpu_weight: Option<Weight>,
    /// Processes and threads.
    pub pids_max: Option<u32>,
    /// Share of disks while they are busy.
    pub io_weight: Option<Weight>,
}

/// One of them: what it is called in declarations, the files that take it (the first that is there), and what is written there.
pub(super) struct Bound {
    pub(super) field: &'static str,
    pub(super) files: &'static [&'static str],
    /// `None`: nothing is asked for.
    pub(super) value: Option<String>,
    /// What the file says before anybody has asked.
    pub(super) default: String,
}

impl Bounds {
    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn all(&self) -> [Bound; 6] {
        let Self { memory_high, memory_max, cpu_max, cpu_weight, pids_max, io_weight } = self;
        let bound = |field, files, value: Option<String>, default: &str| Bound {
            field,
            files,
            value,
            default: default.to_owned(),
        };
        let number = |value: &Option<u64>| value.map(|value| value.to_string());
        let weight = |value: &Option<Weight>| value.map(|Weight(value)| value.to_string());
        let io = io_weight.map(|Weight(value)| format!("default {value}"));
        [
            bound("memory_high", &["memory.high"], number(memory_high), NONE),
            bound("memory_max", &["memory.max"], number(memory_max), NONE),
            bound("cpu_max", &["cpu.max"], cpu_max.map(quota), NONE),
            bound("cpu_weight", &["cpu.weight"], weight(cpu_weight), "100"),
            bound("pids_max", &["pids.max"], number(&pids_max.map(u64::from)), NONE),
            // With the scheduler BFQ it is the second one.
            bound("io_weight", &["io.weight", "io.bfq.weight"], io, "default 100"),
        ]
    }
}

fn quota(Milliprocessors(thousandths): Milliprocessors) -> String {
    format!("{} {PERIOD}", (u64::from(thousandths) * PERIOD / 1000).max(QUOTA_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_in_the_words_of_the_kernel() {
        let bounds = Bounds {
            memory_high: Some(1 << 20),
            memory_max: Some(2 << 20),
            cpu_max: Some(Milliprocessors(1500)),
            cpu_weight: Some(Weight(50)),
            pids_max: Some(64),
            io_weight: Some(Weight(200)),
        };
        let said = bounds.all().map(|bound| format!("{} {}", bound.files[0], bound.value.expect("a value")));
        let wanted = [
            "memory.high 1048576",
            "memory.max 2097152",
            "cpu.max 150000 100000",
            "cpu.weight 50",
            "pids.max 64",
            "io.weight default 200",
        ];
        assert_eq!(said, wanted);
        assert!(Bounds::default().all().iter().all(|bound| bound.value.is_none()));
        assert_eq!(quota(Milliprocessors(1)), "1000 100000");
    }
}
