//! The checks on which running a pod depends.

use std::path::Path;

use bulkhead_kvm::probe::Verdict;

use super::Check;
use super::facts::{DataDirectory, Device, Facts, Stage1Facts};

/// A pod's own files are small, but its apps write to the same disk.
const DISK_FREE_MIN: u64 = 256 << 20;
/// Below this, the next few images may not fit.
const DISK_FREE_ADVISED: u64 = 4 << 30;
/// A pod without limits has 512 MiB, and its processes on the host a little.
const MEMORY_ADVISED_KIB: u64 = 576 << 10;
/// Controllers that hold a pod's processes to their limits.
const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// All of them, in the order in which they are worth reading.
pub(super) fn all(facts: &Facts) -> Vec<Check> {
    vec![
        kvm_device(&facts.kvm_device, &facts.cpu_flags),
        kvm_runs_code(facts.kvm.as_ref(), &facts.cpu_flags),
        stage1(&facts.stage1),
        importer(&facts.importer.0, facts.importer.1.as_deref()),
        data_directory(&facts.data),
        disk_space(&facts.data),
        memory(facts.memory_available_kib),
        tap(&facts.tun_device),
        cgroup(facts.cgroup_controllers.as_deref()),
        container(facts.cgroup_controllers.as_deref()),
        tools(),
    ]
}

fn has(flags: &[String], flag: &str) -> bool {
    flags.iter().any(|other| other == flag)
}

/// How this processor comes to virtualization in hardware.
fn how_to_virtualize(flags: &[String]) -> String {
    if has(flags, "hypervisor") {
        let text = "this host is itself a VM: turn on nested virtualization where it is run, or use \
                    a host with hardware of its own";
        return text.to_owned();
    }
    "turn on VT-x or AMD-V in the firmware's setup".to_owned()
}

fn kvm_device(device: &Device, flags: &[String]) -> Check {
    const NAME: &str = "kvm";
    match device {
        Device::Opens => Check::ok(NAME, "/dev/kvm opens"),
        Device::Missing if has(flags, "vmx") => {
            Check::problem(NAME, "/dev/kvm is missing", "modprobe kvm_intel")
        }
        Device::Missing if has(flags, "svm") => {
            Check::problem(NAME, "/dev/kvm is missing", "modprobe kvm_amd")
        }
        Device::Missing => {
            let finding = "/dev/kvm is missing, and the processor shows neither VT-x nor AMD-V";
            Check::problem(NAME, finding, how_to_virtualize(flags))
        }
        Device::Denied => {
            let remedy = "join its group: usermod --append --groups kvm USER, then log in again";
            Check::problem(NAME, "/dev/kvm is not for this user", remedy)
        }
        Device::Fails(error) => {
            let finding = format!("/dev/kvm does not open ({error})");
            Check::problem(NAME, finding, "see dmesg for what kvm says")
        }
    }
}

fn kvm_runs_code(verdict: Option<&Verdict>, flags: &[String]) -> Check {
    const NAME: &str = "kvm-hardware";
    match verdict {
        None => Check::unknown(NAME, "without /dev/kvm there is nothing to ask"),
        Some(Verdict::Hardware) => Check::ok(NAME, "KVM runs guest code in hardware"),
        Some(Verdict::Emulated { evidence }) => {
            let finding =
                format!("KVM interprets guest code, Linux cannot boot on it ({evidence})");
            Check::problem(NAME, finding, how_to_virtualize(flags))
        }
        Some(Verdict::Unusable { error }) => {
            let finding = format!("KVM does not run a VM ({error})");
            Check::problem(NAME, finding, "see dmesg for what kvm says")
        }
    }
}

/// How what belongs to an installation comes to be there.
const REMEDY: &str = "install it: cargo xtask demo builds one under target/dist";

fn stage1(facts: &Stage1Facts) -> Check {
    const NAME: &str = "stage1";
    match facts {
        Stage1Facts::Unusable(reasons) => Check::problem(NAME, reasons.join(": "), REMEDY),
        Stage1Facts::Opened { directory, defects } if defects.is_empty() => Check::ok(
            NAME,
            format!("{} is whole, with its kernel", directory.display()),
        ),
        Stage1Facts::Opened { directory, defects } => {
            let list: Vec<_> = defects
                .iter()
                .map(|d| format!("{} {}", d.file, d.problem))
                .collect();
            let finding = format!("{}: {}", directory.display(), list.join(", "));
            Check::problem(NAME, finding, REMEDY)
        }
    }
}

fn importer(path: &Path, problem: Option<&str>) -> Check {
    const NAME: &str = "importer";
    match problem {
        None => Check::ok(NAME, format!("{} reads images", path.display())),
        Some(problem) => Check::problem(NAME, format!("{} {problem}", path.display()), REMEDY),
    }
}

fn data_directory(data: &DataDirectory) -> Check {
    const NAME: &str = "data";
    let path = data.path.display();
    if data.writable {
        return Check::ok(NAME, format!("{path} can be written"));
    }
    let remedy = "name another directory with --dir, or become its owner";
    Check::problem(
        NAME,
        format!("{path} cannot be written by this user"),
        remedy,
    )
}

fn disk_space(data: &DataDirectory) -> Check {
    const NAME: &str = "disk";
    let Some(free) = data.free else {
        return Check::unknown(NAME, format!("{} does not say", data.path.display()));
    };
    let finding = format!("{} MiB free in {}", free >> 20, data.path.display());
    let remedy = "delete something there, or name another directory with --dir";
    match free {
        0..DISK_FREE_MIN => Check::problem(NAME, finding, remedy),
        DISK_FREE_MIN..DISK_FREE_ADVISED => Check::warning(NAME, finding, remedy),
        _ => Check::ok(NAME, finding),
    }
}

fn memory(available_kib: Option<u64>) -> Check {
    const NAME: &str = "memory";
    let Some(available) = available_kib else {
        return Check::unknown(NAME, "/proc/meminfo does not say");
    };
    let finding = format!("{} MiB available", available >> 10);
    if available < MEMORY_ADVISED_KIB {
        let remedy = "a pod without limits takes up to 512 MiB: give its apps a --memory limit";
        return Check::warning(NAME, finding, remedy);
    }
    Check::ok(NAME, finding)
}

/// A warning while pods have loopback only: nothing opens it yet.
fn tap(device: &Device) -> Check {
    const NAME: &str = "tap";
    match device {
        Device::Opens => Check::ok(NAME, "/dev/net/tun opens"),
        Device::Missing => Check::warning(NAME, "/dev/net/tun is missing", "modprobe tun"),
        Device::Denied => {
            let remedy = "chmod 0666 /dev/net/tun, as udev does by default";
            Check::warning(NAME, "/dev/net/tun is not for this user", remedy)
        }
        Device::Fails(error) => {
            let finding = format!("/dev/net/tun does not open ({error})");
            Check::warning(NAME, finding, "modprobe tun")
        }
    }
}

fn cgroup(controllers: Option<&str>) -> Check {
    const NAME: &str = "cgroup";
    let Some(controllers) = controllers else {
        let finding = "cgroup v2 is not mounted on /sys/fs/cgroup: pods have no limits on the host";
        let remedy = "boot with systemd.unified_cgroup_hierarchy=1";
        return Check::warning(NAME, finding, remedy);
    };
    let present: Vec<&str> = controllers.split_whitespace().collect();
    let missing: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|controller| !present.contains(controller))
        .collect();
    if missing.is_empty() {
        return Check::ok(NAME, "cgroup v2 with cpu, memory, pids and io");
    }
    let finding = format!("cgroup v2 without {}", missing.join(", "));
    Check::warning(
        NAME,
        finding,
        "enable them in the parent's cgroup.subtree_control",
    )
}

/// The stage1 without machines. Nobody has to want it, so nothing here is worse than unknown.
fn container(controllers: Option<&str>) -> Check {
    const NAME: &str = "container";
    const WEAKER: &str = "weaker than a machine: its pods share this host's kernel";
    let has = |controller: &&str| {
        let mut present = controllers.into_iter().flat_map(str::split_whitespace);
        present.any(|other| other == *controller)
    };
    match CONTROLLERS.iter().all(has) {
        true => Check::ok(NAME, format!("run --stage1=container works too; {WEAKER}")),
        false => Check::unknown(
            NAME,
            format!("run --stage1=container would need cgroup v2; {WEAKER}"),
        ),
    }
}

/// There is nothing to find wrong, and saying so spares the reader a search.
fn tools() -> Check {
    Check::ok("tools", "run needs no other program of the host")
}

#[cfg(test)]
#[path = "checks_test.rs"]
mod tests;
