//! Pods without a machine: what separates them from the host, and what they leave of it. What they share with other pods is
//! tested by the modules that run over both stage1 images.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::{Signal, kill};

use crate::bulkhead::{Call, bulkhead, image_id, own_data, pod};
use crate::enter::{Pod, RESTRICTIONS, WAITS};
use crate::killed::process;
use crate::leftovers::{Mounts, PATIENCE, no_processes};
use crate::sandbox::Sandbox;

fn container() -> Call {
    pod(&busybox_oci()).pod_flag("--stage1=container")
}

/// Control groups of pods.
fn groups() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/fs/cgroup/bulkhead");
    let paths = entries.into_iter().flatten().flatten().map(|e| e.path());
    paths.filter(|path| path.is_dir()).collect()
}

/// Loop devices of the host that are in use.
pub(crate) fn loop_devices() -> BTreeSet<PathBuf> {
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    let paths = devices.map(|device| device.path());
    paths
        .filter(|path| path.join("loop/backing_file").exists())
        .collect()
}

/// Waits until no more are in use than before; the kernel gives them back a moment after their last user has gone.
pub(crate) fn no_loop_device_is_left_but(before: &BTreeSet<PathBuf>) {
    let limit = Instant::now() + PATIENCE;
    while !loop_devices().is_subset(before) {
        assert!(Instant::now() < limit, "a loop device is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_host_s_files_processes_and_names_are_out_of_sight() {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    container()
        .pod_flag("--hostname=inside")
        .shell("hostname; ls /; set -- /proc/[0-9]*; echo $#; cat /proc/net/dev | wc -l; ls /dev")
        .run()
        .exits(0)
        // Its own processes: the agent and the shell, which looks without others.
        .prints(
            "inside\nbin\ndev\netc\nproc\nroot\nsys\ntmp\nusr\nvar\n2\n3\n\
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
        bulkhead(["run"])
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
fn what_enters_an_app_is_root_with_the_app_s_restrictions() {
    let pod = Pod::start(WAITS, |call| {
        call.pod_flag("--stage1=container")
            .flag("--user=1000")
            .flag("--group=1000")
            .flag("--caps-retain=CAP_CHOWN,CAP_KILL")
    });
    pod.shell(&format!("id -u; {RESTRICTIONS}"))
        .run()
        .exits(0)
        .prints("0\nCapEff:\t0000000000000021\nCapBnd:\t0000000000000021\nNoNewPrivs:\t0\nSeccomp:\t2\n");
    pod.end();
}

#[test]
fn a_pod_leaves_no_mount_loop_device_or_group() {
    let (mounts, before, devices) = (Mounts::now(), groups(), loop_devices());
    container().exec("/bin/true").run().exits(0);
    assert_eq!(groups(), before);
    no_loop_device_is_left_but(&devices);
    mounts.are_all_that_is_left();
}

#[test]
fn a_container_that_is_killed_ends_its_pod_and_is_told() {
    let (mounts, before, devices) = (Mounts::now(), groups(), loop_devices());
    let pod = container()
        .shell("echo ready; sleep 600")
        .start()
        .wait_for("ready");
    kill(process("container"), Signal::SIGKILL).unwrap();
    pod.finish().exits(254).says("stage1: ");
    assert_eq!(groups(), before);
    no_loop_device_is_left_but(&devices);
    mounts.are_all_that_is_left();
}

#[test]
fn a_killed_supervisor_takes_all_along_but_its_group_which_is_collected() {
    let (data, before, devices) = (own_data(), groups(), loop_devices());
    container()
        .data(data.path())
        .shell("sleep 600 & echo ready; wait")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    assert_eq!(no_processes(), Vec::<String>::new());
    no_loop_device_is_left_but(&devices);
    assert_eq!(groups().len(), before.len() + 1);
    bulkhead(["gc", "--grace-period=0s"])
        .data(data.path())
        .run()
        .exits(0);
    assert_eq!(groups(), before);
}

#[test]
fn a_removed_app_s_loop_device_is_freed_while_its_pod_goes_on() {
    let before = loop_devices();
    let sandbox = Sandbox::start_with(&["--stage1=container"]);
    sandbox.add("one", "echo x > /x").exits(0);
    // Of the image, and of the writable layer.
    assert_eq!(loop_devices().difference(&before).count(), 2);
    sandbox.add("two", "true").exits(0);
    assert_eq!(loop_devices().difference(&before).count(), 3);
    sandbox.do_to("start", "one").exits(0);
    sandbox.do_to("rm", "one").exits(0);
    let of_two = || loop_devices().difference(&before).count() == 2;
    let limit = Instant::now() + PATIENCE;
    while !of_two() {
        assert!(Instant::now() < limit, "a loop device is left");
        std::thread::yield_now();
    }
    sandbox.stop().exits(0);
    no_loop_device_is_left_but(&before);
}
