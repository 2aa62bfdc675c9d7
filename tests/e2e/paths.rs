//! Paths of the kernel that an app sees hidden or read-only.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::pod;

#[test]
fn paths_of_the_kernel_are_hidden_or_read_only() {
    let script = "
        for path in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /sys/class/net/lo/mtu; do
            { echo x > $path; } 2>/dev/null || echo refused
        done
        ls -A /sys/fs/ext4 /sys/module /sys/power | grep -v : | wc -w
        wc -c < /proc/kallsyms
    ";
    pod(&busybox_oci())
        .shell(script)
        .run()
        .exits(0)
        .prints("refused\nrefused\nrefused\n0\n0\n");
}

#[test]
fn they_are_open_when_the_user_says_so() {
    pod(&busybox_oci())
        .pod_flag("--insecure-options=paths")
        .shell(
            "echo core > /proc/sys/kernel/core_pattern && ls /sys/fs/ext4 | grep -q . && echo open",
        )
        .run()
        .exits(0)
        .prints("open\n");
}
