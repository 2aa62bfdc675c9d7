//! Time stamps of a start, for the benchmark.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// Tells stage1 where to write its own.
pub(crate) const VARIABLE: &str = "BULKHEAD_TRACE";

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock that all processes of a start share.
pub(crate) fn now() -> i128 {
    let time = clock_gettime(ClockId::Monotonic);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Appends `phase NAME NANOSECONDS`.
pub(crate) fn record(file: &Path, phase: &str, time: i128) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    // One write: other processes append to the same file.
    file.write_all(format!("phase {phase} {time}\n").as_bytes())
}
