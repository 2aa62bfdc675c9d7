//! The clock of all figures: `CLOCK_MONOTONIC`, in nanoseconds, the same in every process of a machine.

use rustix::time::{ClockId, clock_gettime};

pub(super) fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the monotonic clock is not negative");
    let nanoseconds = u64::try_from(time.tv_nsec).expect("nanoseconds are not negative");
    seconds * 1_000_000_000 + nanoseconds
}

/// Milliseconds from `start_ns` to `end_ns`.
#[allow(
    clippy::cast_precision_loss,
    reason = "a figure for people, not an index"
)]
pub(super) fn milliseconds(start_ns: u64, end_ns: u64) -> f64 {
    end_ns.saturating_sub(start_ns) as f64 / 1e6
}

pub(super) fn milliseconds_since(start_ns: u64) -> f64 {
    milliseconds(start_ns, now_ns())
}
