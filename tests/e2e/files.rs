//! Files that an app finds whatever its image holds.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::pod;

#[test]
fn hosts_host_name_and_mounts_are_there() {
    let script = "
        cat /etc/hostname
        stat -c %a /etc/hostname
        awk '/^127/ {print $2, $3}' /etc/hosts
        readlink /etc/mtab
        grep -c ' / overlay ' /etc/mtab
    ";
    pod(&busybox_oci())
        .pod_flag("--hostname=box")
        .shell(script)
        .run()
        .exits(0)
        .prints("box\n644\nlocalhost box\n../proc/self/mounts\n1\n");
}

#[test]
fn they_are_there_in_a_read_only_root_too() {
    pod(&busybox_oci())
        .pod_flag("--hostname=box")
        .flag("--readonly-rootfs")
        .shell("cat /etc/hostname; test -s /etc/hosts && test -L /etc/mtab")
        .run()
        .exits(0)
        .prints("box\n");
}

#[test]
fn the_pod_s_name_replaces_the_image_s() {
    pod(&bulkhead_tests::images::python_docker_archive())
        .pod_flag("--hostname=box")
        .exec("/bin/cat")
        .args(["/etc/hostname"])
        .run()
        .exits(0)
        .prints("box\n");
}
