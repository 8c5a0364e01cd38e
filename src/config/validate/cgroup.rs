//! Whether a control group can be bounded as declared.

use supd_api::{CgroupPolicy, Weight};

use super::Check;

impl Check<'_> {
    pub(super) fn cgroup(&mut self) {
        let CgroupPolicy { memory_high, memory_max, cpu_max, cpu_weight, pids_max, io_weight } =
            self.app.cgroup;
        for (field, bytes) in [("memory_high", memory_high), ("memory_max", memory_max)] {
            if bytes == Some(0) {
                self.fail(field, "nothing runs without memory");
            }
        }
        if let (Some(high), Some(max)) = (memory_high, memory_max)
            && high > max
        {
            let hint = "`memory_high` is where a worker is replaced, `memory_max` where it is killed";
            self.fail_with("memory_high", "it is above `memory_max`, so it is never reached", Some(hint));
        }
        if cpu_max.is_some_and(|processors| processors.0 == 0) {
            self.fail("cpu_max", "nothing runs without a processor");
        }
        if pids_max == Some(0) {
            self.fail("pids_max", "a worker has at least one process");
        }
        for (field, weight) in [("cpu_weight", cpu_weight), ("io_weight", io_weight)] {
            if weight.is_some_and(|Weight(weight)| !Weight::RANGE.contains(&weight)) {
                self.fail(field, "expected a number from 1 to 10000");
            }
        }
    }
}
