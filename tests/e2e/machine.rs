//! The virtual machine around the pod: its size, and how its failures are explained.

use std::fs;
use std::path::Path;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{own_data, pod, stage1};
use crate::leftovers::no_processes;

#[test]
fn cpus_follow_the_limit() {
    pod(&busybox_oci())
        .shell("nproc")
        .flag("--cpu=2")
        .run()
        .exits(0)
        .prints("2\n");
    pod(&busybox_oci())
        .shell("nproc")
        .flag("--cpu=500m")
        .run()
        .exits(0)
        .prints("1\n");
}

#[test]
fn memory_follows_the_limit() {
    let total = |flag: &str| -> u64 {
        let end = pod(&busybox_oci())
            .shell("awk '/MemTotal/ {print $2}' /proc/meminfo")
            .flag(flag.to_owned())
            .run()
            .exits(0);
        end.text()
            .trim()
            .parse()
            .unwrap_or_else(|_| end.fail("expected a number"))
    };
    let (small, large) = (total("--memory=128Mi"), total("--memory=1Gi"));
    assert!((100 << 10..400 << 10).contains(&small), "{small} KiB");
    assert!((1000 << 10..1400 << 10).contains(&large), "{large} KiB");
}

#[test]
fn the_rule_of_the_size_is_told_by_debug() {
    pod(&busybox_oci())
        .pod_flag("--debug")
        .flag("--memory=256Mi")
        .exec("/bin/true")
        .run()
        .exits(0)
        .says("MiB");
}

#[test]
fn the_guest_sees_no_virtualization_of_its_own() {
    pod(&busybox_oci())
        .shell("grep -cwE 'svm|vmx' /proc/cpuinfo; grep -qw hypervisor /proc/cpuinfo && echo hypervisor")
        .run()
        .exits(0)
        .prints("0\nhypervisor\n");
}

#[test]
fn an_app_that_needs_more_memory_than_its_limit_is_killed_and_the_pod_says_so() {
    pod(&busybox_oci())
        .exec("/bin/awk")
        .args(["BEGIN { s = \"0123456789abcdef\"; while (1) s = s s }"])
        .flag("--memory=96Mi")
        .run()
        .exits(137);
}

#[test]
fn a_guest_that_panics_is_explained_by_its_console() {
    let end = pod(&busybox_oci())
        .shell("mount -t proc p /proc 2>/dev/null; echo c > /proc/sysrq-trigger; sleep 60")
        .flag("--caps-retain=CAP_SYS_ADMIN,CAP_SYS_BOOT,CAP_DAC_OVERRIDE")
        .pod_flag("--insecure-options=all-run")
        .run();
    if end.text().contains("panic") || end.stderr.is_empty() {
        end.fail("the console belongs to standard error");
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn a_kernel_that_is_no_kernel_is_named() {
    let broken = Stage1Copy::new();
    broken.replace("kernel/vmlinux", b"not a kernel");
    pod(&busybox_oci())
        .pod_flag(format!("--stage1={}", broken.path().display()))
        .exec("/bin/true")
        .run()
        .exits(254)
        .says("kernel");
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn a_kernel_that_is_cut_short_is_an_error() {
    let broken = Stage1Copy::new();
    let kernel = fs::read(stage1().join("rootfs/kernel/vmlinux")).unwrap();
    broken.replace("kernel/vmlinux", &kernel[..kernel.len() / 2]);
    let end = pod(&busybox_oci())
        .pod_flag(format!("--stage1={}", broken.path().display()))
        .exec("/bin/true")
        .run()
        .exits(254);
    end.does_not_say("panicked");
}

#[test]
fn our_own_bzimage_boots() {
    let compressed = Stage1Copy::new();
    let kernel = fs::read(stage1().join("rootfs/kernel/bzImage")).unwrap();
    compressed.replace("kernel/vmlinux", &kernel);
    pod(&busybox_oci())
        .pod_flag(format!("--stage1={}", compressed.path().display()))
        .shell("echo booted")
        .run()
        .exits(0)
        .prints("booted\n");
}

#[test]
fn a_guest_that_never_becomes_ready_is_given_up_with_its_console() {
    // Debian's kernel finds neither our devices nor a root.
    let foreign = Stage1Copy::new();
    foreign.replace("initramfs.cpio", b"");
    let end = pod(&busybox_oci())
        .pod_flag(format!("--stage1={}", foreign.path().display()))
        .exec("/bin/true")
        .run()
        .exits(254);
    if !String::from_utf8_lossy(&end.stderr)
        .to_lowercase()
        .contains("panic")
    {
        end.fail("the console must tell of the kernel's panic");
    }
    assert_eq!(no_processes(), Vec::<String>::new());
}

#[test]
fn a_kernel_that_cannot_be_told_its_devices_is_named_as_the_reason() {
    // With another name the parameter is as absent as without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES.
    let deaf = Stage1Copy::new();
    let mut kernel = fs::read(stage1().join("rootfs/kernel/vmlinux")).unwrap();
    let name = b"virtio_mmio.device\0";
    let at = kernel
        .windows(name.len())
        .position(|bytes| bytes == name)
        .expect("our kernel has the parameter");
    kernel[at] = b'V';
    deaf.replace("kernel/vmlinux", &kernel);
    let end = pod(&busybox_oci())
        .pod_flag(format!("--stage1={}", deaf.path().display()))
        .exec("/bin/true")
        .run()
        .exits(254);
    end.says("built without CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES");
    assert_eq!(no_processes(), Vec::<String>::new());
}

/// A copy of the stage1 image with another file in it.
struct Stage1Copy(tempfile::TempDir);

impl Stage1Copy {
    fn new() -> Self {
        let directory = own_data();
        let copied = std::process::Command::new("cp")
            .args(["--recursive", "--sparse=always"])
            .arg(stage1().join("."))
            .arg(directory.path())
            .status()
            .expect("cp starts");
        assert!(copied.success());
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn replace(&self, file: &str, content: &[u8]) {
        fs::write(self.path().join("rootfs").join(file), content).expect("write into the copy");
    }
}
