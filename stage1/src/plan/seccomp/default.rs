//! The filter of an app whose manifest asks for none: images run unchanged, and what would let an app reach for the guest's
//! kernel at large fails as if it lacked the privilege.

use std::collections::BTreeSet;

use bulkhead_pod::manifest::Capability;

use super::calls;
use super::program::{Action, Policy, Table, Test, Verdict};
use super::sets;
use crate::plan::capabilities;

/// `CLONE_NEWNS`, `…NEWCGROUP`, `…NEWUTS`, `…NEWIPC`, `…NEWUSER`, `…NEWPID` and `…NEWNET` (`include/uapi/linux/sched.h`).
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// `AF_VSOCK` (`include/linux/socket.h`): the way to the host is the agent's.
const VSOCK: u32 = 40;

/// What `personality(2)` may be asked: what it is, Linux, 32-bit Linux, and each with `UNAME26`.
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, u32::MAX];

const BY_CAPABILITY: &str = include_str!("sets/by-capability.txt");

/// For an app with this bounding set. A call that no table knows fails as in an older kernel, so that programs do without.
///
/// It lies on the way of every start: each table is gone through once, and each text.
pub(super) fn policy(bounding_set: u64) -> Policy {
    let denied = super::denied();
    let absent = calls::errno("ENOSYS").map_or(Action::Kill, Action::Errno);
    let whitelist: BTreeSet<&str> = sets::whitelist().collect();
    let granted = granted(bounding_set);
    let of = |name: &str| match name {
        name if granted.contains(name) => Verdict::Always(Action::Allow),
        "clone" => Verdict::If(Test::NoneOf(NEW_NAMESPACES), denied),
        // Its flags lie in memory, out of a filter's reach; C libraries then use clone.
        "clone3" => Verdict::Always(absent),
        "socket" => Verdict::If(Test::Not(VSOCK), denied),
        "personality" => Verdict::If(Test::In(PERSONALITIES), denied),
        name if whitelist.contains(name) => Verdict::Always(Action::Allow),
        _ => Verdict::Always(denied),
    };
    let verdict = |(number, name)| (number, of(name));
    let table = |verdicts| Table {
        verdicts,
        other: absent,
    };
    Policy {
        x86_64: table(calls::x86_64_calls().map(verdict).collect()),
        i386: table(calls::i386_calls().map(verdict).collect()),
        x32: absent,
    }
}

/// The calls that a capability of the set opens.
fn granted(bounding_set: u64) -> BTreeSet<&'static str> {
    let held = |capability| bounding_set & capabilities::bit(capability) != 0;
    let of_held = grants().filter(|(capability, _)| held(*capability));
    of_held.flat_map(|(_, names)| names).collect()
}

fn grants() -> impl Iterator<Item = (Capability, std::str::SplitWhitespace<'static>)> {
    let lines = BY_CAPABILITY
        .lines()
        .filter_map(|line| line.split_once(':'));
    lines.filter_map(|(capability, names)| {
        Some((capability.parse().ok()?, names.split_whitespace()))
    })
}

#[cfg(test)]
#[path = "default_test.rs"]
mod tests;
