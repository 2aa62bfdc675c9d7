//! What a program may do, taken from the child on its way to it.
//!
//! A filter needs no `no_new_privs` here: the child keeps `CAP_SYS_ADMIN` over the change of its user, installs the filter as
//! its last step, and `execve` then leaves it what the bounding set and its user allow. No capability is ever inheritable or
//! ambient, and the secure bits stay as the kernel has them.

use std::fs;
use std::io;

use bulkhead_protocol::plan::{Process, Resource, ResourceLimit};
use rustix::io::Errno;
use rustix::process::{Resource as Kind, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities,
};

/// Tells the out-of-memory killer, unless the process is as all others. The agent itself is no candidate: it is PID 1.
///
/// # Errors
/// What the kernel says.
pub fn prefer_in_oom(process: &Process) -> io::Result<()> {
    match process.oom_score_adj {
        0 => Ok(()),
        score => fs::write("/proc/self/oom_score_adj", score.to_string()),
    }
}

/// Sets the resource limits.
///
/// # Errors
/// What the kernel says.
pub fn limit_resources(limits: &[ResourceLimit]) -> Result<(), Errno> {
    for limit in limits {
        let kind = match limit.resource {
            Resource::Core => Kind::Core,
            Resource::OpenFiles => Kind::Nofile,
            Resource::Processes => Kind::Nproc,
        };
        let values = Rlimit {
            current: limit.soft,
            maximum: limit.hard,
        };
        setrlimit(kind, values)?;
    }
    Ok(())
}

/// Takes every capability that is not in `mask` from the bounding set.
///
/// # Errors
/// What the kernel says.
pub fn bound_capabilities(mask: u64) -> Result<(), Errno> {
    for number in 0..u64::BITS {
        let bit = 1 << number;
        if mask & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // The kernel has no capability of this number, and none above it.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Before the change to another user: capabilities survive it.
///
/// # Errors
/// What the kernel says.
pub fn keep_over_change_of_user() -> Result<(), Errno> {
    set_keep_capabilities(true)
}

/// After it: only what installing a filter takes stays, up to `execve`.
///
/// # Errors
/// What the kernel says.
pub fn keep_only_for_filter() -> Result<(), Errno> {
    let sets = CapabilitySets {
        effective: CapabilitySet::SYS_ADMIN,
        permitted: CapabilitySet::SYS_ADMIN,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}
