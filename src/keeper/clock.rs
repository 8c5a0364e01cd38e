//! What time is it, on the clock that never jumps?

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds: comparable between processes, and over a change of supervisor, until the
/// machine restarts.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every Linux");
    // Both are never negative on this clock.
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
