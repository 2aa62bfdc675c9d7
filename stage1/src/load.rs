//! How much the host has to do.

use rustix::system::sysinfo;
use rustix::thread::{CpuSet, sched_getaffinity};

/// What a load of one is to `sysinfo(2)`.
const ONE: u64 = 1 << 16;

/// Threads to a processor from which on work takes several times as long as it should.
const MANY: u64 = 2;

/// Whether more threads than [`MANY`] wanted each processor, on the average of the last minute.
pub fn is_high() -> bool {
    // Who does not know how many there are has one.
    let processors = sched_getaffinity(None).map_or(1, |set: CpuSet| set.count());
    exceeds(sysinfo().loads[0], processors)
}

fn exceeds(load: u64, processors: u32) -> bool {
    load > MANY * ONE * u64::from(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_high_above_two_a_processor() {
        assert!(!exceeds(4 * ONE, 2));
        assert!(exceeds(4 * ONE + 1, 2));
        assert!(!exceeds(0, 1));
    }
}
