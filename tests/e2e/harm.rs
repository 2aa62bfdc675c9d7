//! An app that harms its own machine as well as it can, next to one that serves.

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;

use crate::bulkhead::{Finished, pod};
use crate::leftovers::no_processes;

/// Runs `harm`, which says `harmed` when it is done, beside an app that writes files and starts programs all the time; sees that
/// app go on after the harm, and stops the pod.
fn beside_a_neighbour(harm: &str) -> Finished {
    let serve = "trap 'echo bye; exit 0' TERM; i=0; while :; do i=$((i + 1)); echo tick $i > /file && cat /file; sleep 0.1; done";
    let wait = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    pod(&busybox_oci())
        .name("harm")
        .shell(&format!("{harm}; {wait}"))
        .app(busybox_oci())
        .name("neighbour")
        .shell(serve)
        .start()
        .wait_for("harm: harmed")
        .wait_for("neighbour: tick")
        .wait_for("neighbour: tick")
        .wait_for("neighbour: tick")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(0)
        .shows("neighbour: bye\n")
}

#[test]
fn an_app_that_fills_its_disk_fills_no_other() {
    let fill = "i=0; while fallocate -l 67108864 /fill$i; do i=$((i + 1)); done; dd if=/dev/zero of=/last bs=1M count=65; \
        echo x > /more || echo harmed";
    beside_a_neighbour(fill).says("No space left on device");
    assert!(no_processes().is_empty());
}

#[test]
fn an_app_that_eats_the_machine_s_memory_loses_its_own_process() {
    // `sort` keeps every line; there is no end of them.
    let eat = "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | sort; echo harmed";
    beside_a_neighbour(eat);
    assert!(no_processes().is_empty());
}

#[test]
fn an_app_that_floods_its_output_leaves_room_for_others() {
    // The shell's own end leaves the flood an orphan, which the pod's end takes along.
    beside_a_neighbour("yes & yes >&2 & echo harmed");
    assert!(no_processes().is_empty());
}
