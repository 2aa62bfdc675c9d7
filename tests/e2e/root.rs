//! The app's root: the image below a writable layer of its own.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::pod;

#[test]
fn a_large_file_reads_back_with_the_same_hash() {
    let script = r#"
        set -e
        line=$(head -c 3000 /dev/urandom | od -An -tx1 | tr -d ' \n')
        yes "$line" | head -c 200000000 | tee /big | sha256sum > /written
        sync
        test "$(wc -c < /big)" = 200000000
        sha256sum < /big | cmp - /written
        echo same
    "#;
    pod(&busybox_oci())
        .shell(script)
        .run()
        .exits(0)
        .prints("same\n");
}

#[test]
fn writes_do_not_reach_the_image_or_another_pod() {
    pod(&busybox_oci())
        .shell("echo changed > /etc/passwd; rm /bin/ls; mkdir /new; cat /etc/passwd")
        .run()
        .exits(0)
        .prints("changed\n");
    pod(&busybox_oci())
        .shell("head -n 1 /etc/passwd; test -L /bin/ls; test ! -e /new")
        .run()
        .exits(0)
        .prints("root:x:0:0:root:/root:/bin/sh\n");
}

#[test]
fn a_read_only_root_refuses_writes() {
    pod(&busybox_oci())
        .shell("touch /file || echo refused; head -n 1 /etc/group")
        .flag("--readonly-rootfs")
        .run()
        .exits(0)
        .prints("refused\nroot:x:0:\n")
        .says("Read-only file system");
}

#[test]
fn the_image_s_disk_is_read_only_on_the_host_s_side() {
    // Not by the guest's courtesy: root writes to the device itself.
    pod(&busybox_oci())
        .shell("mknod /tmp/vda b 254 0; dd if=/dev/zero of=/tmp/vda bs=4096 count=1 2>&1 | grep -q . ; echo done")
        .run()
        .exits(0)
        .prints("done\n");
    pod(&busybox_oci()).exec("/bin/true").run().exits(0);
}

#[test]
fn apps_do_not_see_each_other_s_root() {
    pod(&busybox_oci())
        .name("writer")
        .shell("echo secret > /tmp/file")
        .app(busybox_oci())
        .name("reader")
        .shell("sleep 1; test ! -e /tmp/file")
        .run()
        .exits(0);
}

#[test]
fn apps_of_a_pod_share_loopback() {
    pod(&busybox_oci())
        .name("server")
        .shell("echo hello | nc -l -p 4000")
        .app(busybox_oci())
        .name("client")
        .shell("until nc 127.0.0.1 4000 </dev/null; do sleep 0.1; done")
        .run()
        .exits(0)
        .shows("hello");
}

#[test]
fn a_pod_has_loopback_alone() {
    pod(&busybox_oci())
        .shell("ls /sys/class/net")
        .run()
        .exits(0)
        .prints("lo\n");
}

#[test]
fn devices_and_pseudo_file_systems_are_there() {
    let script = "
        set -e
        for device in null zero full random urandom tty; do test -c /dev/$device; done
        test -d /dev/pts; test -d /dev/shm; test -e /dev/fd/0; test -e /dev/ptmx
        echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 8 /dev/urandom | wc -c
        test -r /proc/self/status; test -d /sys/class
        touch /dev/shm/file
    ";
    pod(&busybox_oci())
        .shell(script)
        .run()
        .exits(0)
        .prints("4\n8\n");
}
