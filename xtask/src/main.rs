//! The project's own tasks: demo, test, check, kernel, nested, bench.

fn main() {}
