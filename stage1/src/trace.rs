//! Phases of a start, for measurement: `phase NAME NANOSECONDS` lines of `CLOCK_MONOTONIC`, and `count NAME VALUE` lines of
//! what the VMM had counted when the agent was ready, in the file that the environment variable `BULKHEAD_TRACE` names.
//! Supervisor and relay append to the same open file; no line is written in parts.

use std::fs::File;
use std::io::Write;

use rustix::time::{ClockId, clock_gettime};

/// The environment variable.
pub const VARIABLE: &str = "BULKHEAD_TRACE";

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Appends a phase. What cannot be written is lost: a measurement must not change what it measures.
pub fn phase(file: &File, name: &str, at_ns: u64) {
    let mut file = file;
    let _ = file.write_all(format!("phase {name} {at_ns}\n").as_bytes());
}

/// Appends counters that are not zero, in one write.
pub fn counts<'a>(file: &File, counters: impl Iterator<Item = (&'a str, u64)>) {
    let lines: String = counters
        .filter(|(_, value)| *value != 0)
        .map(|(name, value)| format!("count {name} {value}\n"))
        .collect();
    let mut file = file;
    let _ = file.write_all(lines.as_bytes());
}
