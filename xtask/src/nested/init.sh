#!/bin/busybox sh
# PID 1 of the nested machine until the host's file system is in place. Everything that a booted
# machine has is set up here, by programs in memory: starting a program over 9p takes a tenth of a
# second.
export PATH=/bin
b=/bin/busybox
fail() { echo "nested: $1"; $b poweroff -f; }

$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do
    $b insmod "$module" || fail "cannot load $module"
done < /modules/order

# The host's root, read-only, under a writable layer on the scratch disk.
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 root /host \
    || fail "cannot mount the host's root"
$b mount -t ext4 -o discard /dev/vda /scratch || fail "cannot mount the scratch disk"
$b mkdir -p /scratch/upper /scratch/work
$b mount -t overlay -o lowerdir=/host,upperdir=/scratch/upper,workdir=/scratch/work root /new \
    || fail "cannot mount the overlay"

# Directories for state lie on the scratch disk itself: there O_TMPFILE, discard and further
# overlays work as on any disk.
for directory in /var/lib/bulkhead /var/lib/containerd /var/tmp; do
    $b mkdir -p "/scratch$directory" "/new$directory"
    $b mount -o bind "/scratch$directory" "/new$directory"
done
$b chmod 1777 /scratch/var/tmp

$b mkdir -p /dev/pts /dev/shm
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$b mount -t tmpfs -o mode=1777 shm /dev/shm
$b ln -sf /proc/self/fd /dev/fd
$b ln -sf /proc/self/fd/0 /dev/stdin
$b ln -sf /proc/self/fd/1 /dev/stdout
$b ln -sf /proc/self/fd/2 /dev/stderr
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in $($b cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control
done
$b mount -t debugfs debugfs /sys/kernel/debug
$b mount -t tracefs tracefs /sys/kernel/tracing
$b mount -t bpf bpf /sys/fs/bpf
$b hostname nested
$b ip link set lo up

for directory in proc sys dev; do
    $b mount -o move /$directory /new/$directory
done
$b mount -t tmpfs run /new/run
$b mkdir -p /new/run/nested /new/run/lock /new/run/netns
$b cp /job /new/run/nested/job
exec $b switch_root /new /bin/sh /run/nested/job
