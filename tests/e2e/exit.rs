//! The pod's exit status.

use bulkhead_tests::images::{busybox_oci, exits_aci};

use crate::bulkhead::{app_status, data, own_data, pod};

#[test]
fn zero_is_passed_on() {
    pod(&busybox_oci())
        .exec("/bin/true")
        .run()
        .exits(0)
        .prints("");
}

#[test]
fn other_codes_are_passed_on() {
    pod(&busybox_oci()).shell("exit 3").run().exits(3);
    pod(&busybox_oci()).shell("exit 255").run().exits(255);
}

#[test]
fn a_signal_is_128_and_its_number() {
    pod(&busybox_oci()).shell("kill -TERM $$").run().exits(143);
    pod(&busybox_oci()).shell("kill -SEGV $$").run().exits(139);
}

#[test]
fn the_first_failing_app_decides_and_stops_the_others() {
    let files = own_data();
    let uuid = files.path().join("uuid");
    let stops = "trap 'exit 0' TERM; touch /tmp/waits; while :; do sleep 1; done";
    pod(&busybox_oci())
        .pod_flag(format!("--uuid-file-save={}", uuid.display()))
        .name("first")
        .shell("exit 0")
        .app(busybox_oci())
        .name("second")
        .shell("sleep 1; exit 5")
        .app(busybox_oci())
        .name("third")
        .shell(stops)
        .run()
        .exits(5);
    assert_eq!(app_status(data(), &uuid, "first"), "0");
    assert_eq!(app_status(data(), &uuid, "second"), "5");
    assert_eq!(app_status(data(), &uuid, "third"), "0");
}

#[test]
fn two_failures_give_the_first_one() {
    // The third app fails too, but only because it was told to stop.
    pod(&busybox_oci())
        .name("first")
        .shell("exit 0")
        .app(busybox_oci())
        .name("second")
        .shell("sleep 1; exit 5")
        .app(busybox_oci())
        .name("third")
        .shell("trap 'exit 6' TERM; while :; do sleep 1; done")
        .run()
        .exits(5);
}

#[test]
fn the_manifest_decides_without_flags() {
    pod(&exits_aci())
        .run()
        .exits(7)
        .prints("/usr\n65534\nimage\n");
}

#[test]
fn a_program_that_does_not_exist_is_203_and_named() {
    let files = own_data();
    let uuid = files.path().join("uuid");
    pod(&busybox_oci())
        .pod_flag(format!("--uuid-file-save={}", uuid.display()))
        .name("app")
        .exec("/no/such/program")
        .run()
        .exits(203)
        .says("/no/such/program")
        .says("No such file or directory");
    assert_eq!(app_status(data(), &uuid, "app"), "203");
}

#[test]
fn orphans_are_reaped_and_do_not_hold_the_pod() {
    pod(&busybox_oci())
        .shell("(sleep 600 &) ; exit 4")
        .run()
        .exits(4);
}
