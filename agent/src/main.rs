//! `/init` of the guest.
//!
//! Not a `main` of the standard library's kind: that looks at the standard streams first, which a kernel without a console does not
//! open, and gives up when there is no `/dev/null` to put in their place.
#![no_main]

use std::ffi::{c_char, c_int};

use bulkhead_agent::agent::{Agent, Fatal};
use bulkhead_agent::clock::monotonic_ns;
use bulkhead_agent::reason::reason;
use bulkhead_agent::setup::{GUEST_STEPS, Machine};
use bulkhead_agent::{console, dial};
use rustix::fs::{Mode, OFlags, open};
use rustix::system::{RebootCommand, reboot};

/// Where the C library's start-up code goes on.
#[expect(unsafe_code, reason = "the linker finds it by this name")]
#[unsafe(no_mangle)]
extern "C" fn main(_argument_count: c_int, _arguments: *const *const c_char) -> c_int {
    let first_instruction_ns = monotonic_ns();
    std::panic::set_hook(Box::new(|panic| {
        console::say(&panic.to_string());
        reset();
    }));
    take_standard_descriptors();
    if let Err(fatal) = run(first_instruction_ns) {
        console::say(&reason(&fatal));
    }
    reset();
    1
}

fn run(first_instruction_ns: u64) -> Result<(), Fatal> {
    let dial = Box::new(dial::dial_host);
    Agent::new(Machine::guest(), &GUEST_STEPS, dial, first_instruction_ns)?.run()
}

/// Keeps the numbers 0 to 2 from meaning anything else: a child puts its standard streams there.
fn take_standard_descriptors() {
    use std::os::fd::{AsRawFd, IntoRawFd};
    while let Ok(descriptor) = open("/", OFlags::PATH, Mode::empty()) {
        if descriptor.as_raw_fd() > 2 {
            return;
        }
        let _kept_for_ever = descriptor.into_raw_fd();
    }
}

fn reset() {
    // PID 1 that returns instead makes the kernel panic, which resets as well.
    let _ = reboot(RebootCommand::Restart);
}
