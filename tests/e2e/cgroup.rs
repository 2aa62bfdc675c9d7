//! Limits of an app, seen in its own control group.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::pod;

#[test]
fn limits_are_seen_in_the_app_s_own_control_group() {
    pod(&busybox_oci())
        .shell(
            "cd /sys/fs/cgroup; cat memory.max cpu.max cpu.weight pids.max; cat /proc/self/cgroup",
        )
        .flag("--memory=42Mi")
        .flag("--cpu=900m")
        .flag("--cpu-shares=512")
        .run()
        .exits(0)
        .prints("44040192\n90000 100000\n50\n2048\n0::/\n");
}

#[test]
fn an_app_cannot_raise_its_own_limits() {
    pod(&busybox_oci())
        .shell("echo max > /sys/fs/cgroup/memory.max || echo refused")
        .flag("--memory=64Mi")
        .run()
        .exits(0)
        .prints("refused\n");
}

#[test]
fn a_fork_bomb_ends_at_the_app_s_own_limit() {
    pod(&busybox_oci())
        .name("bomb")
        .shell("while sleep 1000 & do :; done")
        .app(busybox_oci())
        .name("neighbour")
        .shell("trap 'exit 0' TERM; while :; do sleep 1; done")
        .run()
        .exits(2)
        .says("can't fork");
}
