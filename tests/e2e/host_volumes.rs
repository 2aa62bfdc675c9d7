//! Directories and files of the host as volumes: what an app can do in them, and what it cannot reach from them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bulkhead_tests::images::busybox_oci;
use nix::libc::O_NONBLOCK;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bulkhead::{Running, own_data, pod};
use crate::killed::process;
use crate::leftovers::{Mounts, processes};

/// No test waits longer for another process.
const PATIENCE: Duration = Duration::from_secs(60);

fn volume(source: &Path, fields: &str) -> String {
    format!("--volume=v,kind=host,source={}{fields}", source.display())
}

#[test]
fn a_host_directory_is_read_and_written_with_owners_and_modes() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("from-host"), "hello\n").unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(host.path(), ""))
        .flag("--mount=volume=v,target=/data")
        .shell("cat /data/from-host; echo back > /data/new; chown 33:34 /data/new; chmod 640 /data/new; sync; mv /data/new /data/kept; ls /data")
        .run()
        .exits(0)
        .prints("hello\nfrom-host\nkept\n");
    let kept = host.path().join("kept");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "back\n");
    let metadata = fs::metadata(&kept).unwrap();
    let found = (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777);
    assert_eq!(found, (33, 34, 0o640));
}

#[test]
fn a_read_only_host_volume_stays_so_whatever_root_in_the_guest_does() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("file"), "kept").unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(host.path(), ",readOnly=true"))
        .flag("--mount=volume=v,target=/data")
        .flag("--caps-retain=CAP_SYS_ADMIN,CAP_DAC_OVERRIDE")
        .shell("mkdir /again; mount -t virtiofs -o rw share0 /again && echo mounted; for d in /data /again; do echo x 2>/dev/null > $d/file && echo written; rm -f $d/file 2>/dev/null && echo removed; done; cat /data/file")
        .run()
        .exits(0)
        .prints("mounted\nkept");
    assert_eq!(
        fs::read_to_string(host.path().join("file")).unwrap(),
        "kept"
    );
}

#[test]
fn a_single_file_comes_without_its_siblings() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("settings"), "one\n").unwrap();
    fs::write(host.path().join("secret"), "not for the guest\n").unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(&host.path().join("settings"), ""))
        .flag("--mount=volume=v,target=/etc/app/settings")
        .shell("cat /etc/app/settings; echo two >> /etc/app/settings; ls /etc/app")
        .run()
        .exits(0)
        .prints("one\nsettings\n");
    let settings = fs::read_to_string(host.path().join("settings")).unwrap();
    assert_eq!(settings, "one\ntwo\n");
}

#[test]
fn links_out_of_a_share_lead_into_the_app_s_own_root() {
    let host = tempfile::tempdir().unwrap();
    let (shared, outside) = (host.path().join("shared"), host.path().join("outside"));
    fs::create_dir(&shared).unwrap();
    fs::write(&outside, "of the host").unwrap();
    symlink(&outside, shared.join("absolute")).unwrap();
    symlink("../outside", shared.join("relative")).unwrap();
    symlink("../../../../../../../../outside", shared.join("above")).unwrap();
    symlink(host.path(), shared.join("directory")).unwrap();
    let place = host.path().display();
    pod(&busybox_oci())
        .pod_flag(&volume(&shared, ""))
        .flag("--mount=volume=v,target=/data/deep")
        .shell(&format!(
            "cd /data/deep; cat absolute relative above directory/outside ../outside 2>/dev/null; \
             mkdir -p {place}; echo 1 > {place}/outside; echo 2 > /data/outside; echo 3 > /outside; \
             cat absolute relative above directory/outside; for l in absolute relative above; do echo written > $l; done"
        ))
        .run()
        .exits(0)
        .prints("1\n2\n3\n1\n");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of the host");
}

#[test]
fn pipes_sockets_and_devices_of_the_host_are_the_guest_s_own_or_closed() {
    let host = own_data();
    let path = |name: &str| host.path().join(name);
    let pipe = path("pipe");
    for (name, kind) in [("pipe", "p"), ("character", "c 1 5"), ("block", "b 7 0")] {
        let words = [path(name).display().to_string()];
        let status = Command::new("mknod")
            .args(words)
            .args(kind.split(' '))
            .status();
        assert!(status.unwrap().success(), "{name}");
    }
    let listener = UnixListener::bind(path("socket")).unwrap();
    listener.set_nonblocking(true).unwrap();
    let reader = File::options()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(&pipe);
    let reader = reader.unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(host.path(), ""))
        .pod_flag("--insecure-options=all-run")
        .flag("--mount=volume=v,target=/data")
        .shell(
            "cd /data; for d in character block; do head -c 1 $d 2>/dev/null && echo opened; done; \
             nc local:socket </dev/null 2>/dev/null && echo connected; cat pipe & echo of the guest > pipe; wait",
        )
        .run()
        .exits(0)
        .prints("of the guest\n");
    // Nobody has opened the pipe for writing, or connected.
    let mut polled = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, PollTimeout::ZERO), Ok(0));
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_directory_that_is_swapped_for_a_link_while_an_app_is_in_it_leads_nowhere() {
    let host = tempfile::tempdir().unwrap();
    let (shared, outside) = (host.path().join("shared"), host.path().join("outside"));
    let directory = shared.join("directory");
    fs::create_dir_all(&directory).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(directory.join("file"), "in the share\n").unwrap();
    fs::write(outside.join("file"), "of the host\n").unwrap();
    let app = pod(&busybox_oci())
        .pod_flag(&volume(&shared, ""))
        .flag("--mount=volume=v,target=/data")
        .shell(
            "cd /data/directory; exec 3<.; echo ready; until test -L /data/directory; do sleep 0.1; done; \
             cat file /proc/self/fd/3/file; cat /data/directory/file 2>/dev/null; echo new > written; ls -A /data/directory/ 2>/dev/null; echo done",
        )
        .start()
        .wait_for("ready");
    fs::rename(&directory, shared.join("moved")).unwrap();
    symlink(&outside, &directory).unwrap();
    app.finish()
        .exits(0)
        .prints("ready\nin the share\nin the share\ndone\n");
    let moved = fs::read_to_string(shared.join("moved/written"));
    assert_eq!(moved.unwrap(), "new\n");
    assert!(!outside.join("written").exists());
}

#[test]
fn two_apps_and_two_targets_see_one_directory_and_a_linked_source_is_followed() {
    let host = tempfile::tempdir().unwrap();
    let (real, link) = (host.path().join("real"), host.path().join("link"));
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    symlink(&real, &link).unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(&link, ""))
        .pod_flag("--mount=volume=v,target=/a")
        .name("writer")
        .flag("--mount=volume=v,target=/b")
        .shell("echo hello > /a/new; mv /b/new /b/file")
        .app(busybox_oci())
        .name("reader")
        .shell("until test -e /a/file; do sleep 0.1; done; cat /a/file")
        .run()
        .exits(0)
        .shows("reader: hello");
    assert_eq!(fs::read_to_string(real.join("file")).unwrap(), "hello\n");
}

#[test]
fn databases_find_what_they_need() {
    let host = tempfile::tempdir().unwrap();
    pod(&busybox_oci())
        .pod_flag(&volume(host.path(), ""))
        .flag("--mount=volume=v,target=/data")
        .shell("cd /data; exec 3>open; rm open; echo late >&3 && echo unlinked; echo a > one; echo b > two; mv two one; cat one; dd if=/dev/zero of=big bs=1M count=8 conv=fsync 2>/dev/null && stat -c %s big")
        .run()
        .exits(0)
        .prints("unlinked\nb\n8388608\n");
}

#[test]
fn a_missing_source_is_refused_before_the_machine_starts() {
    pod(&busybox_oci())
        .pod_flag("--volume=v,kind=host,source=/nonexistent/place")
        .flag("--mount=volume=v,target=/data")
        .shell("true")
        .run()
        .exits(254)
        .says("volume v: /nonexistent/place: the host says: No such file or directory");
}

fn with_a_volume(host: &Path) -> Running {
    pod(&busybox_oci())
        .pod_flag(&volume(host, ""))
        .flag("--mount=volume=v,target=/data")
        .shell("echo ready; sleep 600")
        .start()
        .wait_for("ready")
}

#[test]
fn a_killed_supervisor_leaves_no_file_server_and_no_mount() {
    let mounts = Mounts::now();
    let host = tempfile::tempdir().unwrap();
    with_a_volume(host.path())
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    mounts.are_all_that_is_left();
}

#[test]
fn a_killed_file_server_is_told_and_the_pod_can_be_stopped() {
    let mounts = Mounts::now();
    let host = tempfile::tempdir().unwrap();
    let pod = with_a_volume(host.path());
    kill(process("virtiofsd"), Signal::SIGKILL).unwrap();
    pod.signal(Signal::SIGTERM)
        .finish()
        .says("volume v is not served any more: signal 9 killed it");
    mounts.are_all_that_is_left();
}

/// The processes that serve this share of a pod.
fn file_servers(share: usize) -> Vec<Pid> {
    let directory = format!("/shares/{share}");
    let lines = processes();
    let servers = lines.iter().filter(|line| line.ends_with("/virtiofsd"));
    let pids = servers.filter_map(|line| line.split(' ').next());
    let serves_it = |pid: &&str| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split('\0').any(|word| word.ends_with(&directory))
    };
    let pids = pids.filter(serves_it);
    pids.map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect()
}

fn signal_all(processes: &[Pid], signal: Signal) {
    assert!(!processes.is_empty());
    for process in processes {
        kill(*process, signal).unwrap();
    }
}

#[test]
fn a_file_server_that_does_not_answer_the_machine_is_hung_up_on_and_told() {
    let mounts = Mounts::now();
    let (silent, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pod = pod(&busybox_oci())
        .pod_flag(volume(silent.path(), ""))
        .pod_flag(format!("--volume=w,kind=host,source={}", other.path().display()))
        .pod_flag("--insecure-options=all-run")
        .flag("--mount=volume=v,target=/data")
        .flag("--mount=volume=w,target=/other")
        .flag("--caps-retain=CAP_SYS_ADMIN,CAP_DAC_OVERRIDE")
        // A driver that goes resets its device, whose queues the machine then takes back.
        .shell(
            "mkdir /s; mount -t sysfs s /s; cd /s/bus/virtio/drivers/virtiofs; set -- virtio*; echo ready; \
             until test -e /other/go; do sleep 0.1; done; echo $1 > unbind; \
             until test $(cat /s/bus/virtio/devices/$1/status) = 0x00000000; do sleep 0.1; done; echo reset; sleep 600",
        )
        .start()
        .wait_for("ready");
    let servers = file_servers(0);
    signal_all(&servers, Signal::SIGSTOP);
    fs::write(other.path().join("go"), "").unwrap();
    let pod = pod.wait_for("reset");
    signal_all(&servers, Signal::SIGCONT);
    let limit = Instant::now() + PATIENCE;
    while !file_servers(0).is_empty() {
        assert!(
            Instant::now() < limit,
            "it goes on although it was hung up on"
        );
        std::thread::yield_now();
    }
    pod.signal(Signal::SIGTERM).finish().says(
        "volume v is not served any more: the machine has hung up on it, which answered wrongly or too late",
    );
    mounts.are_all_that_is_left();
}

#[test]
fn a_file_server_that_hangs_does_not_hold_up_the_end_of_its_pod() {
    let mounts = Mounts::now();
    let host = tempfile::tempdir().unwrap();
    let pod = with_a_volume(host.path());
    signal_all(&file_servers(0), Signal::SIGSTOP);
    pod.signal(Signal::SIGTERM).finish().exits(143);
    mounts.are_all_that_is_left();
}
