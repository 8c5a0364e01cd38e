//! What all processes of a worker may use together, where it has a control group of its own (cgroups(7), version 2).

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is not given is bounded by the groups above alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CgroupPolicy {
    /// Bytes beyond which a worker is slowed down, and replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_high: Option<u64>,
    /// Bytes beyond which it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<u64>,
    /// Time of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_max: Option<Milliprocessors>,
    /// Share of processors while they are all busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<Weight>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<u32>,
    /// Share of disks while they are busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<Weight>,
}

impl CgroupPolicy {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The fields that are given and not a matter of one of these controllers.
    pub fn beyond(&self, controllers: &[String]) -> Vec<&'static str> {
        // `memory_max` is the matter of the controller `memory`.
        let controller = |field: &str| field.split('_').next().unwrap_or_default().to_owned();
        let fields = self.given().into_iter().map(|(field, _)| field);
        fields.filter(|field| !controllers.contains(&controller(field))).collect()
    }

    /// The fields that are given, with their values in words, in the order of the reference.
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let Self { memory_high, memory_max, cpu_max, cpu_weight, pids_max, io_weight } = self;
        let all = [
            ("memory_high", memory_high.map(bytes)),
            ("memory_max", memory_max.map(bytes)),
            ("cpu_max", cpu_max.map(|it| it.to_string())),
            ("cpu_weight", cpu_weight.map(|it| it.0.to_string())),
            ("pids_max", pids_max.map(|it| it.to_string())),
            ("io_weight", io_weight.map(|it| it.0.to_string())),
        ];
        all.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
    }
}

/// Exact, and as it may be declared.
fn bytes(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let whole = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    whole.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// Thousandths of the time of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Milliprocessors(pub u32);

impl fmt::Display for Milliprocessors {
    /// In percent of one processor: `150%`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 10 {
            0 => write!(out, "{}%", self.0 / 10),
            tenth => write!(out, "{}.{tenth}%", self.0 / 10),
        }
    }
}

/// A share against those of the groups beside it, from 1 to 10000; 100 is everybody's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Weight(pub u16);

impl Weight {
    /// What the kernel takes.
    pub const RANGE: std::ops::RangeInclusive<u16> = 1..=10_000;
}

/// Whether runs have control groups of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CgroupView {
    /// They have.
    Own {
        /// The directory of the groups.
        dir: String,
        /// What can be bounded in them.
        controllers: Vec<String>,
    },
    /// They have not, for this reason.
    None(String),
}

/// The control group of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CgroupUse {
    /// Its directory.
    pub dir: PathBuf,
    /// For what its processes wait; `None`: this kernel does not tell.
    pub pressure: Option<PressureView>,
}

/// The share of the latest ten seconds in which some processes of a worker stood still for want of something, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PressureView {
    /// Of processors.
    pub cpu: f64,
    /// Of memory.
    pub memory: f64,
    /// Of disks.
    pub io: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_they_are_declared() {
        let policy = CgroupPolicy {
            memory_high: Some(384 << 20),
            memory_max: Some(1 << 30),
            cpu_max: Some(Milliprocessors(1505)),
            cpu_weight: Some(Weight(50)),
            pids_max: Some(64),
            io_weight: None,
        };
        let said: Vec<String> =
            policy.given().iter().map(|(field, value)| format!("{field} {value}")).collect();
        assert_eq!(
            said,
            ["memory_high 384M", "memory_max 1G", "cpu_max 150.5%", "cpu_weight 50", "pids_max 64"]
        );
        assert_eq!(
            (bytes(1000), bytes(0), Milliprocessors(50).to_string()),
            ("1000".into(), "0".into(), "5%".into())
        );
        assert_eq!(policy.beyond(&["memory".to_owned(), "cpu".to_owned()]), ["pids_max"]);
    }

    #[test]
    fn an_older_declaration_says_nothing_of_it() {
        assert!(serde_json::from_str::<CgroupPolicy>("{}").unwrap().is_default());
    }
}
