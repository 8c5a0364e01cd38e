//! The table `[apps.autoscale]` as users write it, and what it means.
//!
//! Question answered here: *which members has it, and how does an app scale itself with every default filled in?*

use schemars::JsonSchema;
use serde::Deserialize;
use supd_api::{AutoscalePolicy, Instances as Number};

use super::read::App;
use super::resolve::span;
use super::value::{Instances, Percent, Size, Span, Threshold};

/// Bounds and targets of an app that scales itself.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct AutoscaleFields {
    /// Never fewer workers. Default: 1.
    pub(super) min: Option<Threshold>,
    /// Never more: a number, `max` or 0 for one per processor, -2 for two less. Default: `max`.
    pub(super) max: Option<Instances>,
    /// What a worker is to use of one processor in the mean, in percent: `60` or `"60%"`.
    pub(super) cpu: Option<Percent>,
    /// What a worker is to use of memory in the mean: bytes, or a text such as `300M`.
    pub(super) memory: Option<Size>,
    /// Fewer workers only when for so long no more were needed. Milliseconds, or a text such as `5m`. Default: 5 minutes.
    pub(super) stabilization: Option<Span>,
}

/// How the app scales itself, if it does.
pub(super) fn autoscale(app: &App) -> Option<AutoscalePolicy> {
    let fields = app.fields.autoscale.as_ref()?;
    Some(AutoscalePolicy {
        min: fields.min.as_ref().map_or(1, |count| count.0),
        max: fields.max.as_ref().map_or(Number::AllBut(0), |number| number.0),
        cpu: fields.cpu.as_ref().map(|percent| percent.0),
        memory: fields.memory.as_ref().and_then(|size| size.0),
        stabilization: span(&fields.stabilization).unwrap_or(AutoscalePolicy::DEFAULT_STABILIZATION),
    })
}

/// The declared number of workers; one that scales itself begins with the fewest.
pub(super) fn instances(app: &App) -> Number {
    let fewest = app.fields.autoscale.as_ref().and_then(|fields| fields.min.as_ref());
    let default = fewest.map_or(1, |count| count.0);
    app.fields.instances.as_ref().map_or(Number::Count(default), |instances| instances.0)
}

/// Whether there may be several workers.
pub(super) fn may_be_several(app: &App) -> bool {
    let several = |number: &Number| *number != Number::Count(1) && *number != Number::Count(0);
    several(&instances(app)) || autoscale(app).is_some_and(|policy| several(&policy.max))
}
