//! What every app finds mounted, and what of it is closed to the app.

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::plan::{Mount, MountSource, Path};

use super::volumes::is_below;

/// What tells or changes the guest's kernel. `/sys/fs` itself stays for the app's own control group; `/proc/keys` and what follows
/// it are hidden by today's container engines too.
const MASKED: [&str; 14] = [
    "/proc/config.gz",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/kmem",
    "/proc/mem",
    "/proc/sched_debug",
    "/proc/keys",
    "/proc/timer_list",
    "/sys/firmware",
    "/sys/fs/ext4",
    "/sys/fs/erofs",
    "/sys/hypervisor",
    "/sys/module",
    "/sys/power",
];

/// Settings that reach beyond the app. All of `/sys` is read-only by its mount.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sysrq-trigger",
];

/// What the appc specification's OS-SPEC for Linux promises every app, its control group where programs look for it, and its volumes
/// above them. With `closes` the kernel's settings are not the app's to change.
pub(super) fn of_app(volumes: Vec<Mount>, closes: bool) -> Vec<Mount> {
    // A volume at /sys or below replaces the guest's: nothing can be made below it.
    let no_sysfs = volumes.iter().any(|v| is_below(&v.target, "/sys"));
    let mount = |target: &str, source, read_only| Mount {
        target: Text::truncated(target),
        source,
        read_only,
    };
    let mut mounts = vec![mount("/proc", MountSource::Proc, false)];
    if !no_sysfs {
        mounts.push(mount("/sys", MountSource::Sysfs, closes));
        mounts.push(mount("/sys/fs/cgroup", MountSource::Cgroup, closes));
    }
    mounts.push(mount("/dev", MountSource::Dev, false));
    mounts.extend(volumes);
    mounts
}

pub(super) fn masked(volumes: &[Mount], closes: bool) -> Vec<Path> {
    closed(&MASKED, volumes, closes)
}

pub(super) fn read_only(volumes: &[Mount], closes: bool) -> Vec<Path> {
    closed(&READ_ONLY, volumes, closes)
}

/// What lies in a volume is the user's, whatever its path.
fn closed(paths: &[&str], volumes: &[Mount], closes: bool) -> Vec<Path> {
    let in_volume = |path: &str| volumes.iter().any(|v| is_below(path, &v.target));
    let paths = paths.iter().filter(|path| closes && !in_volume(path));
    paths.map(|path| Text::truncated(path)).collect()
}
