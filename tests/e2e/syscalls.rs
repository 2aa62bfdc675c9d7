//! The guest kernel answers what programs of a distribution may call.

use bulkhead_guest_kernel::absent_syscalls::{ABSENT, LAST_PROBED, may_be_absent};
use bulkhead_tests::images::probe_oci;

use crate::bulkhead::pod;

/// The system calls that the guest kernel does not have, as an app sees it.
fn absent_calls() -> Vec<u64> {
    let output = pod(&probe_oci())
        .pod_flag("--insecure-options=seccomp")
        .run()
        .exits(0)
        .text();
    let mut answers = output.lines().filter_map(|line| line.split_once(' '));
    let mut absent = Vec::new();
    for wanted in 0..=LAST_PROBED {
        let (number, answer) = answers.next().expect("an answer for every number");
        assert_eq!(
            number,
            wanted.to_string(),
            "the probe calls each number once"
        );
        if answer == "ENOSYS" {
            absent.push(wanted);
        }
    }
    absent
}

#[test]
fn what_debian_s_kernel_answers_is_answered_but_for_a_list_with_reasons() {
    let absent = absent_calls();
    let surprises: Vec<_> = absent
        .iter()
        .filter(|number| !may_be_absent(**number))
        .collect();
    assert!(
        surprises.is_empty(),
        "system calls {surprises:?} answer ENOSYS"
    );
    for (name, number, reason) in ABSENT {
        assert!(
            absent.contains(number),
            "{name} is answered: strike it from the list ({reason})"
        );
    }
}
