//! PID 1 of the guest: mounts, launches, reaps, reports.

fn main() {}
