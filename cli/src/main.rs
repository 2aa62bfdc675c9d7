//! The bulkhead command: arguments in, one call, printing and exit code out.

fn main() {}
