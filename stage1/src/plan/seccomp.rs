//! The system call filter of an app, for 64-bit and 32-bit programs alike.
//!
//! | manifest | filter |
//! |---|---|
//! | a retain set | its calls, and the four without which no program starts or ends |
//! | a remove set | all but its calls; it takes the place of the default filter |
//! | neither | the default filter ([`default`]) |
//!
//! A forbidden call ends the process by SIGSYS, unless the set names an error.
//!
//! Of an app that could open files by their handles, every filter forbids that ([`forbid_handles`]).

mod calls;
mod default;
mod program;
mod sets;

use std::collections::BTreeSet;

use bulkhead_pod::manifest::{App, Isolator, SyscallFilter};
use bulkhead_protocol::bounded::Blob;
use bulkhead_protocol::plan::{AppName, FILTER_INSTRUCTION_LENGTH, Filter};

use super::{PlanError, bound, capabilities};
use program::{Action, Instruction, Policy, Table, Verdict};

/// In every retain set: the agent's `execve`, an orderly end, and the return from a signal handler.
const ALWAYS: [&str; 5] = ["execve", "exit", "exit_group", "rt_sigreturn", "sigreturn"];

/// Opens a file by a handle, and the capability that it takes (`open_by_handle_at(2)`).
const OPEN_BY_HANDLE: &str = "open_by_handle_at";
const MAY_OPEN_BY_HANDLE: &str = "CAP_DAC_READ_SEARCH";

/// The filter; none when every call is allowed.
pub(super) fn filter(
    app: &App,
    name: &AppName,
    bounding_set: u64,
) -> Result<Option<Filter>, PlanError> {
    let capability = MAY_OPEN_BY_HANDLE.parse().ok().map(capabilities::bit);
    let may_open_by_handle = capability.is_some_and(|bit| bounding_set & bit != 0);
    let mut policy = None;
    for isolator in &app.isolators {
        let wrong = |problem| PlanError::Isolator {
            whose: format!("app {name}"),
            isolator: isolator.name(),
            problem,
        };
        match isolator {
            Isolator::SeccompRetain(set) if names_all(set) && may_open_by_handle => {
                policy = Some(self::policy(&BTreeSet::new(), denied(), Action::Allow));
            }
            Isolator::SeccompRetain(set) if names_all(set) => return Ok(None),
            Isolator::SeccompRetain(set) => policy = Some(retain(set).map_err(wrong)?),
            Isolator::SeccompRemove(set) => policy = Some(remove(set).map_err(wrong)?),
            _ => {}
        }
    }
    let mut policy = policy.unwrap_or_else(|| default::policy(bounding_set));
    if may_open_by_handle {
        forbid_handles(&mut policy);
    }
    let program = program::compile(&policy);
    let filter = Blob::try_from(bytes(&program));
    let what = || format!("app {name}: its system call filter");
    filter.map(Some).map_err(bound(what()))
}

fn names_all(set: &SyscallFilter) -> bool {
    set.names().iter().any(|name| name.as_str() == sets::ALL)
}

fn retain(set: &SyscallFilter) -> Result<Policy, String> {
    let mut names = expand(set)?;
    names.extend(ALWAYS);
    Ok(policy(&names, Action::Allow, violation(set)?))
}

fn remove(set: &SyscallFilter) -> Result<Policy, String> {
    let names = expand(set)?;
    if names.contains("execve") {
        return Err("it removes execve, without which no program starts".to_owned());
    }
    Ok(policy(&names, violation(set)?, Action::Allow))
}

/// A handle leads past mounts, to every file of the file system behind one, where the neighbours' volumes lie too.
fn forbid_handles(policy: &mut Policy) {
    for (table, number) in [
        (&mut policy.x86_64, calls::x86_64_number(OPEN_BY_HANDLE)),
        (&mut policy.i386, calls::i386_number(OPEN_BY_HANDLE)),
    ] {
        let Some(number) = number else { continue };
        if table.of(number) == Verdict::Always(Action::Allow) {
            table.verdicts.insert(number, Verdict::Always(denied()));
        }
    }
}

fn denied() -> Action {
    calls::errno("EPERM").map_or(Action::Kill, Action::Errno)
}

/// These calls have one verdict and all others the other; what is not allowed is what x32 calls get.
fn policy(names: &BTreeSet<&str>, named: Action, other: Action) -> Policy {
    let table = |number: fn(&str) -> Option<u32>| Table {
        verdicts: names
            .iter()
            .filter_map(|name| Some((number(name)?, Verdict::Always(named))))
            .collect(),
        other,
    };
    Policy {
        x86_64: table(calls::x86_64_number),
        i386: table(calls::i386_number),
        x32: if named == Action::Allow { other } else { named },
    }
}

fn violation(set: &SyscallFilter) -> Result<Action, String> {
    let Some(errno) = set.errno() else {
        return Ok(Action::Kill);
    };
    let number = calls::errno(errno.as_str());
    number
        .map(Action::Errno)
        .ok_or_else(|| format!("errno: Linux has no error {errno}"))
}

fn expand(set: &SyscallFilter) -> Result<BTreeSet<&str>, String> {
    let mut names = BTreeSet::new();
    for name in set.names() {
        let name = name.as_str();
        if name.starts_with('@') {
            if !sets::expand(name, &mut names) {
                return Err(format!("there is no group {name} of system calls"));
            }
        } else if calls::exists(name) {
            names.insert(name);
        } else {
            return Err(format!("Linux on x86 has no system call {name}"));
        }
    }
    Ok(names)
}

/// As `struct sock_filter` lies in memory.
fn bytes(program: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(program.len() * FILTER_INSTRUCTION_LENGTH);
    for step in program {
        bytes.extend(step.code.to_le_bytes());
        bytes.extend([step.if_true, step.if_false]);
        bytes.extend(step.operand.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
#[path = "seccomp_test.rs"]
mod tests;
