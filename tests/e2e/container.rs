//! Pods without a machine: what separates them from the host, and what they leave of it. What they share with other pods is
//! tested by the modules that run over both stage1 images.

use std::fs;
use std::path::Path;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::{Signal, kill};

use crate::bulkhead::{Call, image_id, own_data, pod};
use crate::killed::process;
use crate::leftovers::{Mounts, no_processes};

fn container() -> Call {
    pod(&busybox_oci()).pod_flag("--stage1=container")
}

/// Loop devices and control groups of the host.
fn host() -> (Vec<String>, Vec<String>) {
    let names = |directory: &Path, wanted: &dyn Fn(&Path) -> bool| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let wanted = entries.filter(|entry| wanted(&entry.path()));
        let mut names: Vec<_> = wanted
            .map(|entry| entry.path().display().to_string())
            .collect();
        names.sort();
        names
    };
    let is_attached = |path: &Path| path.join("loop/backing_file").exists();
    (
        names(Path::new("/sys/block"), &is_attached),
        names(Path::new("/sys/fs/cgroup/bulkhead"), &Path::is_dir),
    )
}

#[test]
fn the_host_s_files_processes_and_names_are_out_of_sight() {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    container()
        .pod_flag("--hostname=inside")
        .shell("hostname; ls /; ls /proc | grep -c '^[0-9]'; cat /proc/net/dev | wc -l; ls /dev")
        .run()
        .exits(0)
        // Its own processes: the agent, the shell, and those of the pipe.
        .prints(
            "inside\nbin\ndev\netc\nproc\nsys\n5\n3\n\
             console\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n",
        );
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        name
    );
}

#[test]
fn the_host_s_kernel_is_not_the_app_s_to_change() {
    container()
        .shell("echo 1 > /proc/sys/vm/panic_on_oom || echo no; echo 1 > /proc/sys/kernel/hostname || echo no; cat /proc/interrupts | wc -c")
        .run()
        .exits(0)
        .prints("no\nno\n0\n");
}

#[test]
fn parameters_of_the_host_are_refused_and_those_of_the_pod_s_namespaces_are_set() {
    let data = own_data();
    let id = image_id(&busybox_oci(), data.path());
    let run = |parameter: &str| {
        let isolator = format!(r#"{{"name":"os/unix/sysctl","value":{{"{parameter}":"9000"}}}}"#);
        let manifest = format!(
            r#"{{"acVersion":"0.8.11","acKind":"PodManifest","isolators":[{isolator}],"apps":[{{"name":"app","image":{{"id":"sha512-{id}"}},
                "app":{{"exec":["/bin/cat","/proc/sys/kernel/msgmax"],"user":"0","group":"0"}}}}]}}"#
        );
        let file = data.path().join("pod.json");
        fs::write(&file, manifest).unwrap();
        crate::bulkhead::bulkhead(["run"])
            .data(data.path())
            .pod_flag("--stage1=container")
            .pod_flag(format!("--pod-manifest={}", file.display()))
            .run()
    };
    run("kernel.msgmax").exits(0).prints("9000\n");
    run("vm.overcommit_memory")
        .exits(254)
        .says("vm.overcommit_memory is the host's own");
}

#[test]
fn a_pod_leaves_no_mount_loop_device_or_group() {
    let (mounts, before) = (Mounts::now(), host());
    container().exec("/bin/true").run().exits(0);
    assert_eq!(host(), before);
    mounts.are_all_that_is_left();
}

#[test]
fn a_container_that_is_killed_ends_its_pod_and_is_told() {
    let (mounts, before) = (Mounts::now(), host());
    let pod = container()
        .shell("echo ready; sleep 600")
        .start()
        .wait_for("ready");
    kill(process("container"), Signal::SIGKILL).unwrap();
    pod.finish().exits(254).says("stage1: signal");
    assert_eq!(host(), before);
    mounts.are_all_that_is_left();
}

#[test]
fn a_killed_supervisor_takes_every_process_along() {
    container()
        .shell("sleep 600 & echo ready; wait")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    assert_eq!(no_processes(), Vec::<String>::new());
}
