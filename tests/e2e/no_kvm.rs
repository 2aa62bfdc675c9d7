//! A host whose KVM cannot be used: the refusal says why, and nothing weaker is run instead.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{bulkhead, own_data, pod};

/// Runs the call where `/dev/kvm` is another device.
const WITHOUT_KVM: [&str; 5] = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    "mount --bind /dev/null /dev/kvm && exec \"$0\" \"$@\"",
];

#[test]
fn a_pod_is_refused_with_the_reason() {
    let data = own_data();
    pod(&busybox_oci())
        .data(data.path())
        .under(WITHOUT_KVM)
        .exec("/bin/true")
        .run()
        .exits(254)
        .prints("")
        .says("KVM");
}

#[test]
fn doctor_says_no() {
    let end = bulkhead(["doctor"]).under(WITHOUT_KVM).run();
    if end.succeeded() {
        end.fail("doctor must say that pods cannot run");
    }
    end.shows("KVM");
}
