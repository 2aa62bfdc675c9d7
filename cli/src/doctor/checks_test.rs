use std::path::PathBuf;

use super::super::Status;
use super::super::stage1_files::Defect;
use super::*;

/// `status finding; remedy`.
fn line(check: &Check) -> String {
    let remedy = check.remedy.as_deref().map(|remedy| format!("; {remedy}"));
    format!(
        "{} {}{}",
        check.status.word(),
        check.finding,
        remedy.unwrap_or_default()
    )
}

fn flags(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_kvm_device() {
    let check = |device, cpu: &str| line(&kvm_device(&device, &flags(cpu)));
    assert_eq!(check(Device::Opens, "fpu"), "ok /dev/kvm opens");
    assert_eq!(
        check(Device::Missing, "fpu vmx"),
        "problem /dev/kvm is missing; modprobe kvm_intel"
    );
    assert_eq!(
        check(Device::Missing, "svm"),
        "problem /dev/kvm is missing; modprobe kvm_amd"
    );
    assert_eq!(
        check(Device::Missing, "fpu"),
        "problem /dev/kvm is missing, and the processor shows neither VT-x nor AMD-V; turn on \
         VT-x or AMD-V in the firmware's setup"
    );
    assert_eq!(
        check(Device::Missing, "hypervisor"),
        "problem /dev/kvm is missing, and the processor shows neither VT-x nor AMD-V; this host \
         is itself a VM: turn on nested virtualization where it is run, or use a host with \
         hardware of its own"
    );
    assert_eq!(
        check(Device::Denied, "vmx"),
        "problem /dev/kvm is not for this user; join its group: usermod --append --groups kvm \
         USER, then log in again"
    );
    assert_eq!(
        check(Device::Fails("busy".to_owned()), "vmx"),
        "problem /dev/kvm does not open (busy); see dmesg for what kvm says"
    );
}

#[test]
fn what_reads_images() {
    let check = |problem| line(&importer(Path::new("/lib/import"), problem));
    assert_eq!(check(None), "ok /lib/import reads images");
    assert_eq!(
        check(Some("is missing")),
        "problem /lib/import is missing; install it: cargo xtask demo builds one under target/dist"
    );
}

#[test]
fn what_the_probe_found() {
    let check = |verdict: Option<Verdict>| line(&kvm_runs_code(verdict.as_ref(), &[]));
    assert_eq!(
        check(None),
        "unknown without /dev/kvm there is nothing to ask"
    );
    assert_eq!(
        check(Some(Verdict::Hardware)),
        "ok KVM runs guest code in hardware"
    );
    let evidence = "stopped at an SSE instruction".to_owned();
    assert_eq!(
        check(Some(Verdict::Emulated { evidence })),
        "problem KVM interprets guest code, Linux cannot boot on it (stopped at an SSE \
         instruction); turn on VT-x or AMD-V in the firmware's setup"
    );
    assert_eq!(
        check(Some(Verdict::Unusable {
            error: "KVM_CREATE_VM: no".to_owned()
        })),
        "problem KVM does not run a VM (KVM_CREATE_VM: no); see dmesg for what kvm says"
    );
}

#[test]
fn the_stage1_image() {
    let directory = PathBuf::from("/lib/kvm");
    let opened = |defects| Stage1Facts::Opened {
        directory: directory.clone(),
        defects,
    };
    assert_eq!(
        line(&stage1(&opened(vec![]))),
        "ok /lib/kvm is whole, with its kernel"
    );
    let defect = |file, problem: &str| Defect {
        file,
        problem: problem.to_owned(),
    };
    assert_eq!(
        line(&stage1(&opened(vec![
            defect("kernel/vmlinux", "is cut off"),
            defect("relay", "is missing")
        ]))),
        "problem /lib/kvm: kernel/vmlinux is cut off, relay is missing; install it: cargo xtask \
         demo builds one under target/dist"
    );
    let reasons = vec![
        "stage1 image \"kvm\"".to_owned(),
        "read /x/manifest".to_owned(),
    ];
    assert_eq!(
        line(&stage1(&Stage1Facts::Unusable(reasons))),
        "problem stage1 image \"kvm\": read /x/manifest; install it: cargo xtask demo builds one \
         under target/dist"
    );
}

#[test]
fn the_data_directory() {
    let data = |writable, free| DataDirectory {
        path: "/d".into(),
        writable,
        free,
    };
    assert_eq!(
        line(&data_directory(&data(true, None))),
        "ok /d can be written"
    );
    assert_eq!(
        line(&data_directory(&data(false, None))),
        "problem /d cannot be written by this user; name another directory with --dir, or become \
         its owner"
    );
    let remedy = "delete something there, or name another directory with --dir";
    let disk = |mib: u64| line(&disk_space(&data(true, Some(mib << 20))));
    assert_eq!(disk(0), format!("problem 0 MiB free in /d; {remedy}"));
    assert_eq!(disk(255), format!("problem 255 MiB free in /d; {remedy}"));
    assert_eq!(disk(256), format!("warning 256 MiB free in /d; {remedy}"));
    assert_eq!(disk(4096), "ok 4096 MiB free in /d");
    assert_eq!(
        line(&disk_space(&data(true, None))),
        "unknown /d does not say"
    );
}

#[test]
fn memory_for_one_pod() {
    let check = |mib: u64| line(&memory(Some(mib << 10)));
    assert_eq!(check(576), "ok 576 MiB available");
    assert_eq!(
        check(575),
        "warning 575 MiB available; a pod without limits takes up to 512 MiB: give its apps a \
         --memory limit"
    );
    assert_eq!(line(&memory(None)), "unknown /proc/meminfo does not say");
}

#[test]
fn tap_devices() {
    assert_eq!(line(&tap(&Device::Opens)), "ok /dev/net/tun opens");
    assert_eq!(
        line(&tap(&Device::Missing)),
        "warning /dev/net/tun is missing; modprobe tun"
    );
    assert_eq!(
        line(&tap(&Device::Denied)),
        "warning /dev/net/tun is not for this user; chmod 0666 /dev/net/tun, as udev does by \
         default"
    );
    assert_eq!(
        line(&tap(&Device::Fails("no such device".to_owned()))),
        "warning /dev/net/tun does not open (no such device); modprobe tun"
    );
}

#[test]
fn control_groups() {
    let all = "cpuset cpu io memory hugetlb pids";
    assert_eq!(
        line(&cgroup(Some(all))),
        "ok cgroup v2 with cpu, memory, pids and io"
    );
    assert_eq!(
        line(&cgroup(Some("cpu pids"))),
        "warning cgroup v2 without memory, io; enable them in the parent's cgroup.subtree_control"
    );
    assert_eq!(
        line(&cgroup(None)),
        "warning cgroup v2 is not mounted on /sys/fs/cgroup: pods have no limits on the host; \
         boot with systemd.unified_cgroup_hierarchy=1"
    );
}

#[test]
fn the_stage1_without_machines_is_called_weaker() {
    assert_eq!(
        line(&container(Some("cpuset cpu io memory pids"))),
        "ok run --stage1=container works too; weaker than a machine: its pods share this host's kernel"
    );
    for lacking in [Some("cpu pids"), None] {
        assert_eq!(
            line(&container(lacking)),
            "unknown run --stage1=container would need cgroup v2; weaker than a machine: its pods share this host's kernel"
        );
    }
}

#[test]
fn no_other_program_is_needed() {
    assert_eq!(tools().status, Status::Ok);
}
