//! Whether an app can scale itself as declared.

use supd_api::{AutoscalePolicy, Instances, Millis};

use super::super::value::MOST_PERCENT;
use super::Check;

/// As Kubernetes' limit of `stabilizationWindowSeconds`.
const LONGEST_WINDOW: Millis = Millis(3_600_000);

impl Check<'_> {
    pub(super) fn autoscale(&mut self) {
        let Some(policy) = &self.app.autoscale else { return };
        let AutoscalePolicy { min, max, cpu, memory, stabilization } = *policy;
        if min == 0 || min > Instances::LIMIT {
            self.fail("autoscale.min", format!("expected 1 to {} workers", Instances::LIMIT));
        }
        match max {
            Instances::Count(count) if count > Instances::LIMIT => {
                self.fail("autoscale.max", format!("expected at most {} workers", Instances::LIMIT));
            }
            Instances::Count(count) if count < min => {
                self.fail("autoscale.max", format!("{count} is less than `min`, which is {min}"));
            }
            Instances::AllBut(count) if count > Instances::LIMIT => {
                self.fail("autoscale.max", format!("expected at most {} less", Instances::LIMIT));
            }
            Instances::Count(_) | Instances::AllBut(_) => {}
        }
        self.beginning(min, max);
        if cpu.is_none() && memory.is_none() {
            let hint = Some("write `cpu = 60` (percent of one processor) or `memory = \"300M\"`");
            self.fail_with("autoscale", "neither `cpu` nor `memory` says what a worker is to use", hint);
        }
        if cpu.is_some_and(|percent| !(1..=MOST_PERCENT).contains(&percent)) {
            self.fail("autoscale.cpu", format!("expected 1 to {MOST_PERCENT} percent of one processor"));
        }
        if memory == Some(0) {
            self.fail("autoscale.memory", "expected more than 0 bytes");
        }
        if stabilization > LONGEST_WINDOW {
            self.fail("autoscale.stabilization", "expected at most an hour");
        }
        if !self.app.restart.autorestart {
            let hint = Some("leave out `autorestart = false`, or `autoscale`");
            self.fail_with("autoscale", "an app whose exits are final has no load to be shared", hint);
        }
    }

    fn beginning(&mut self, min: u32, max: Instances) {
        let (Instances::Count(count), Instances::Count(max)) = (self.app.instances, max) else { return };
        if min <= max && !(min..=max).contains(&count) {
            let message = format!("{count} workers to begin with, yet `autoscale` allows {min} to {max}");
            self.fail_with("instances", message, Some("leave it out: it begins with `min`"));
        }
    }
}
