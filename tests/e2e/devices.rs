//! Device nodes that an app finds, and those that it may not make.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{own_data, pod};

#[test]
fn an_app_makes_nodes_of_its_own_devices_and_of_no_other() {
    pod(&busybox_oci())
        .shell(
            "cd /tmp; mknod null c 1 3 && echo x > null && echo null; mknod tty c 5 2 && echo ptmx; \
             mknod disk b 254 16 || echo no disk; mknod kmsg c 1 11 || echo no log; mknod mem c 1 1 || echo no memory; \
             mknod pipe p && echo pipe",
        )
        .run()
        .exits(0)
        .prints("null\nptmx\nno disk\nno log\nno memory\npipe\n");
}

#[test]
fn a_disk_is_open_to_the_app_that_mounts_it_and_not_to_its_neighbour() {
    let files = own_data();
    let disk = files.path().join("disk");
    std::fs::write(&disk, [b'a'; 4096]).unwrap();
    pod(&busybox_oci())
        .pod_flag(format!("--volume=v,kind=disk,source={}", disk.display()))
        .pod_flag("--volume=shared,kind=empty")
        .pod_flag("--mount=volume=shared,target=/shared")
        .name("owner")
        .flag("--mount=volume=v,target=/disk")
        .shell("n=\"$((0x$(stat -c %t /disk))) $((0x$(stat -c %T /disk)))\"; mknod /copy b $n && head -c 3 /copy; echo; echo $n > /shared/.new; mv /shared/.new /shared/number; until test -e /shared/seen; do sleep 0.1; done")
        .app(busybox_oci())
        .name("neighbour")
        .flag("--caps-retain=CAP_MKNOD,CAP_SYS_ADMIN,CAP_DAC_OVERRIDE")
        .shell("until test -e /shared/number; do sleep 0.1; done; mknod /copy b $(cat /shared/number) || echo none; \
            mount -t devtmpfs dev /tmp && ! head -c 3 /tmp/vdc1 && echo denied; touch /shared/seen")
        .run()
        .exits(0)
        .shows("owner: aaa")
        .shows("neighbour: none\nneighbour: denied");
}
