//! The first process of a pod without a machine: see [`bulkhead_agent::container`]. Descriptor 3 is its control socket.
//!
//! Like `/init` it has no `main` of the standard library's kind, which would ignore SIGPIPE, and so would all its children.
#![no_main]

use std::ffi::{c_char, c_int};

use bulkhead_agent::clock::monotonic_ns;
use bulkhead_agent::container;
use bulkhead_agent::reason::reason;
use bulkhead_agent::sys;

const CONTROL: c_int = 3;

/// Where the C library's start-up code goes on.
#[expect(unsafe_code, reason = "the linker finds it by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(_argument_count: c_int, _arguments: *const *const c_char) -> c_int {
    let start_ns = monotonic_ns();
    match container::run(sys::inherited(CONTROL), start_ns) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("container: {}", reason(&error));
            1
        }
    }
}
