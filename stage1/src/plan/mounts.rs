//! What every app finds mounted, and what of it is closed to the app.

use bulkhead_protocol::bounded::Text;
use bulkhead_protocol::plan::{Mount, MountSource, NameFile, NameFiles, Path};

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

/// The same of a kernel that is the host's. Root of an app without a capability may write most of `/proc/sys`.
const MASKED_OF_HOST: [&str; 7] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY_OF_HOST: [&str; 3] = ["/proc/fs", "/proc/irq", "/proc/sys"];

/// What the appc specification's OS-SPEC for Linux promises every app, its control group where programs look for it, its volumes
/// above them, and above all the pod's own files of names (rkt's order). With `closes` the kernel's settings are not the app's to
/// change.
pub(super) fn of_app(volumes: Vec<Mount>, files: &NameFiles, closes: bool) -> Vec<Mount> {
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
    let files = [
        (NameFile::Hosts, &files.hosts),
        (NameFile::ResolvConf, &files.resolv_conf),
    ];
    // Every app has the same file in the agent's memory: it is nobody's to write.
    let files = files.iter().filter(|(_, content)| content.is_some());
    mounts.extend(files.map(|(file, _)| {
        let target = format!("/etc/{}", file.file_name());
        mount(&target, MountSource::NameFile(*file), true)
    }));
    mounts
}

pub(super) fn masked(volumes: &[Mount], closes: bool, of_host: bool) -> Vec<Path> {
    let more = MASKED_OF_HOST.iter().filter(|_| of_host);
    closed(MASKED.iter().chain(more), volumes, closes)
}

pub(super) fn read_only(volumes: &[Mount], closes: bool, of_host: bool) -> Vec<Path> {
    let more = READ_ONLY_OF_HOST.iter().filter(|_| of_host);
    closed(READ_ONLY.iter().chain(more), volumes, closes)
}

/// What lies in a volume is the user's, whatever its path.
fn closed<'a>(
    paths: impl Iterator<Item = &'a &'static str>,
    volumes: &[Mount],
    closes: bool,
) -> Vec<Path> {
    let in_volume = |path: &str| volumes.iter().any(|v| is_below(path, &v.target));
    let paths = paths.filter(|path| closes && !in_volume(path));
    paths.map(|path| Text::truncated(path)).collect()
}

#[cfg(test)]
mod tests {
    use bulkhead_protocol::plan::NameFileBytes;

    use super::*;

    #[test]
    fn a_pod_s_files_of_names_lie_above_its_volumes() {
        let files = NameFiles {
            hosts: Some(NameFileBytes::default()),
            resolv_conf: None,
        };
        let mount = |source, read_only| Mount {
            target: Text::truncated("/etc/hosts"),
            source,
            read_only,
        };
        let volume = mount(MountSource::EmptyVolume { index: 0 }, false);
        let file = mount(MountSource::NameFile(NameFile::Hosts), true);
        let above = of_app(vec![volume.clone()], &files, true).split_off(4);
        assert_eq!(above, [volume, file]);
    }
}
