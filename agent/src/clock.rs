//! Guest time.

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

const NANOSECONDS: u64 = 1_000_000_000;

/// `CLOCK_MONOTONIC` in nanoseconds. No system call: the kernel's vDSO answers.
pub fn monotonic_ns() -> u64 {
    as_ns(clock_gettime(ClockId::Monotonic))
}

/// Sets `CLOCK_REALTIME` to the host's when it is off by more than `tolerance_ns`: the clock of a machine that was saved and
/// goes on later stands still in between.
///
/// # Errors
/// Only without the right to do it.
pub fn set_realtime(host_ns: u64, tolerance_ns: u64) -> rustix::io::Result<()> {
    if as_ns(clock_gettime(ClockId::Realtime)).abs_diff(host_ns) <= tolerance_ns {
        return Ok(());
    }
    let tv_sec = i64::try_from(host_ns / NANOSECONDS).unwrap_or(i64::MAX);
    let tv_nsec = i64::try_from(host_ns % NANOSECONDS).unwrap_or(0);
    clock_settime(ClockId::Realtime, Timespec { tv_sec, tv_nsec })
}

fn as_ns(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * NANOSECONDS + u64::try_from(time.tv_nsec).unwrap_or(0)
}
