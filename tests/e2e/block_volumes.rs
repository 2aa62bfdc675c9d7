//! Disks of the host as volumes: block devices and image files, as a device node or by the file system on them.

use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bulkhead_tests::images::busybox_oci;
use nix::libc::O_EXCL;
use nix::sys::signal::Signal;
use rustix::fs::{FlockOperation, flock};

use crate::bulkhead::{Call, own_data, pod};
use crate::leftovers::Mounts;

/// No test waits longer for another process.
const PATIENCE: Duration = Duration::from_secs(60);

/// No multiple of a page.
const LENGTH: u64 = (1 << 20) + 512;

#[track_caller]
fn host(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// A file of so many zeroes.
fn file(directory: &Path, name: &str, length: u64) -> PathBuf {
    let path = directory.join(name);
    File::create(&path).unwrap().set_len(length).unwrap();
    path
}

/// A loop device with a file behind it.
struct Loop(PathBuf);

impl Loop {
    fn of(file: &Path) -> Self {
        Self::with(file, &[])
    }

    fn read_only(file: &Path) -> Self {
        Self::with(file, &["--read-only"])
    }

    fn with(file: &Path, flags: &[&str]) -> Self {
        let file = file.display().to_string();
        let call = [&["--find", "--show"], flags, &[&file]].concat();
        Self(PathBuf::from(host("losetup", &call).trim()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        host("losetup", &["--detach", &self.0.display().to_string()]);
    }
}

fn volume(kind: &str, source: &Path, fields: &str) -> String {
    format!("--volume=v,kind={kind},source={}{fields}", source.display())
}

/// An app that sees this volume.
fn with(volume: &str, target: &str) -> Call {
    pod(&busybox_oci())
        .pod_flag(volume)
        .flag(format!("--mount=volume=v,target={target}"))
}

#[test]
fn a_block_device_is_the_app_s_to_read_and_write_to_its_last_sector() {
    let files = own_data();
    let backing = file(files.path(), "disk", LENGTH);
    let mut content: Vec<u8> = (0..LENGTH).map(|n| (n / 512 % 251) as u8).collect();
    fs::write(&backing, &content).unwrap();
    let digest = host("sha256sum", &[backing.to_str().unwrap()]);
    let digest = &digest[..64];
    let device = Loop::of(&backing);
    chown(&device.0, Some(33), Some(34)).unwrap();
    fs::set_permissions(&device.0, fs::Permissions::from_mode(0o640)).unwrap();
    with(&volume("host", &device.0, ""), "/dev/made/for/it")
        .shell(
            "d=/dev/made/for/it; test -b $d && stat -c '%a %u %g' $d; blockdev --getsize64 $d; sha256sum < $d; \
             echo first | dd of=$d conv=notrunc 2>/dev/null; \
             yes last | head -c 512 | dd of=$d bs=512 seek=2048 conv=notrunc,fsync 2>/dev/null; \
             dd if=/dev/zero of=$d bs=512 seek=2049 count=1 2>/dev/null || echo end",
        )
        .run()
        .exits(0)
        .prints(&format!("640 33 34\n{LENGTH}\n{digest}  -\nend\n"));
    content[..6].copy_from_slice(b"first\n");
    let last = content.len() - 512;
    content[last..].copy_from_slice(&b"last\n".repeat(103)[..512]);
    assert!(fs::read(&device.0).unwrap() == content);
    drop(device);
    assert!(fs::read(&backing).unwrap() == content);
}

#[test]
fn a_read_only_disk_stays_so_whatever_root_in_the_guest_does() {
    let files = own_data();
    let backing = file(files.path(), "disk", 1 << 20);
    let other = file(files.path(), "other", 1 << 20);
    pod(&busybox_oci())
        .pod_flag(volume("disk", &backing, ",readOnly=true"))
        .pod_flag(format!("--volume=w,kind=disk,source={}", other.display()))
        .pod_flag("--insecure-options=all-run")
        .flag("--mount=volume=v,target=/disk")
        .flag("--mount=volume=w,target=/other")
        .shell("blockdev --setrw /disk; for n in $(cat /proc/partitions | grep -o 'vd.*'); do test -e /sys/class/block/$n/force_ro && echo 0 > /sys/class/block/$n/force_ro; done; \
            echo x 2>/dev/null > /disk && sync && echo written; cat < /disk | tr -d '\\0'; echo y > /other")
        .run()
        .exits(0)
        .prints("");
    assert!(fs::read(&backing).unwrap().iter().all(|byte| *byte == 0));
    assert_eq!(&fs::read(&other).unwrap()[..2], b"y\n");
}

#[test]
fn a_file_system_in_a_file_is_mounted_by_the_guest_alone_and_survives_a_kill() {
    let mounts = Mounts::now();
    let files = own_data();
    let image = file(files.path(), "image", 64 << 20);
    host(
        "mkfs.ext4",
        &["-q", "-F", "-d", "/etc/apt", image.to_str().unwrap()],
    );
    let write = with(&volume("disk", &image, ",fsType=ext4"), "/data")
        .shell("test -d /data/sources.list.d && echo durable > /data/file && sync /data/file && echo ready; sleep 600")
        .start()
        .wait_for("ready");
    write
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    mounts.are_all_that_is_left();
    // Its journal is the guest's to recover; two apps see one file system.
    with(&volume("disk", &image, ",fsType=ext4"), "/data")
        .name("one")
        .shell("cat /data/file; echo more > /data/.new; mv /data/.new /data/new; until test -e /data/seen; do sleep 0.1; done")
        .app(busybox_oci())
        .name("two")
        .flag("--mount=volume=v,target=/other")
        .shell("until test -e /other/new; do sleep 0.1; done; cat /other/new; touch /other/seen; mknod /other/node c 1 3 && ! echo x 2>/dev/null > /other/node")
        .run()
        .exits(0)
        .shows("one: durable")
        .shows("two: more");
    host("e2fsck", &["-fn", image.to_str().unwrap()]);
    let seen = host("debugfs", &["-R", "cat /new", image.to_str().unwrap()]);
    assert_eq!(seen, "more\n");
    // Read-only, for the descriptor is.
    with(
        &volume("disk", &image, ",fsType=ext4,readOnly=true"),
        "/data",
    )
    .shell("cat /data/new; touch /data/x || echo refused")
    .run()
    .exits(0)
    .prints("more\nrefused\n");
}

#[test]
fn two_apps_have_one_disk() {
    let files = own_data();
    let image = file(files.path(), "image", 1 << 20);
    pod(&busybox_oci())
        .pod_flag(volume("disk", &image, ""))
        .pod_flag("--mount=volume=v,target=/disk")
        .name("writer")
        .shell("echo hello | dd of=/disk conv=notrunc 2>/dev/null")
        .app(busybox_oci())
        .name("reader")
        .shell("until dd if=/disk bs=6 count=1 2>/dev/null | grep hello; do sleep 0.1; done")
        .run()
        .exits(0)
        .shows("reader: hello");
    assert_eq!(&fs::read(&image).unwrap()[..6], b"hello\n");
}

/// A volume that is refused before the machine starts, with this reason.
#[track_caller]
fn refused(kind: &str, source: &Path, fields: &str, text: &str) {
    with(&volume(kind, source, fields), "/disk")
        .exec("/bin/true")
        .run()
        .exits(254)
        .says(&format!("volume v: {}: {text}", source.display()));
}

#[test]
fn what_is_in_use_is_refused_and_readers_share() {
    let files = own_data();
    let mounted = files.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let image = file(files.path(), "image", 16 << 20);
    host("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    let device = Loop::of(&image);
    let name = device.0.to_str().unwrap();
    host("mount", &[name, mounted.to_str().unwrap()]);
    let in_use = "is in use on the host";
    refused("host", &device.0, "", in_use);
    refused("host", &device.0, ",readOnly=true", in_use);
    host("umount", &[mounted.to_str().unwrap()]);

    let other = file(files.path(), "other", 1 << 20);
    for (kind, source) in [("host", &device.0), ("disk", &other)] {
        let run = |fields: &str| with(&volume(kind, source, fields), "/disk");
        let reader = run(",readOnly=true")
            .shell("echo ready; sleep 600")
            .start()
            .wait_for("ready");
        run(",readOnly=true").shell("test -b /disk").run().exits(0);
        refused(kind, source, "", "is in use");
        reader
            .signal(Signal::SIGKILL)
            .finish()
            .dies_of(Signal::SIGKILL);
        let writer = run("")
            .shell("echo ready; sleep 600")
            .start()
            .wait_for("ready");
        refused(kind, source, "", "is in use");
        refused(kind, source, ",readOnly=true", "is in use");
        writer.signal(Signal::SIGTERM).finish();
    }
}

#[test]
fn a_disk_is_free_when_its_pod_has_exited() {
    let files = own_data();
    let device = Loop::of(&file(files.path(), "disk", 1 << 20));
    let uuid = files.path().join("uuid");
    let pod = with(&volume("host", &device.0, ""), "/disk")
        .data(files.path())
        .pod_flag(format!("--uuid-file-save={}", uuid.display()))
        .shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done")
        .start()
        .wait_for("ready");
    let claim = || {
        let mut options = File::options();
        options.read(true).custom_flags(O_EXCL).open(&device.0)
    };
    claim().expect_err("the pod has it");
    let uuid = fs::read_to_string(uuid).expect("the UUID");
    let run = files.path().join("pods/run").join(uuid.trim());
    let lock = File::open(run).expect("the pod's directory");
    let pod = pod.signal(Signal::SIGTERM);
    // The kernel wakes who waits for the lock as soon as it is free.
    flock(&lock, FlockOperation::LockShared).expect("the pod exits");
    claim().expect("nobody has it any more");
    pod.finish().exits(7);
}

#[test]
fn a_file_that_the_host_uses_as_a_disk_is_refused_by_whatever_name() {
    let files = own_data();
    let image = file(files.path(), "image", 1 << 20);
    let (linked, second_name) = (files.path().join("linked"), files.path().join("second"));
    symlink(&image, &linked).unwrap();
    fs::hard_link(&image, &second_name).unwrap();
    let device = Loop::of(&image);
    let in_use = format!("is in use on the host by {}", device.0.display());
    for source in [&image, &linked, &second_name] {
        refused("disk", source, "", &in_use);
        refused("disk", source, ",readOnly=true", &in_use);
    }
    drop(device);
    // Who only reads shares it with who only reads.
    let device = Loop::read_only(&image);
    let in_use = format!("is in use on the host by {}", device.0.display());
    refused("disk", &image, "", &in_use);
    with(&volume("disk", &image, ",readOnly=true"), "/disk")
        .shell("test -b /disk")
        .run()
        .exits(0);
}

/// Waits until another process has this file open.
fn wait_for_opener(file: &Path) {
    let limit = Instant::now() + PATIENCE;
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    let has_it = |process: PathBuf| {
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut targets = descriptors
            .flatten()
            .map(|entry| fs::read_link(entry.path()));
        targets.any(|target| target.is_ok_and(|target| target == file))
    };
    while Instant::now() < limit {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut others = processes
            .map(|entry| entry.path())
            .filter(|path| *path != own);
        if others.any(has_it) {
            return;
        }
    }
    panic!("nobody opens {}", file.display());
}

#[test]
fn a_claim_that_is_given_up_again_keeps_no_reader_out() {
    let files = own_data();
    let device = Loop::of(&file(files.path(), "disk", 1 << 20));
    // As another pod does that starts at the same time.
    let claim = File::options()
        .read(true)
        .custom_flags(O_EXCL)
        .open(&device.0)
        .unwrap();
    let pod = with(&volume("host", &device.0, ",readOnly=true"), "/disk")
        .shell("test -b /disk && echo there")
        .start();
    wait_for_opener(&device.0);
    drop(claim);
    pod.finish().exits(0).prints("there\n");
}

#[test]
fn an_erofs_in_a_file_is_mounted_read_only_and_is_refused_as_writable() {
    let files = own_data();
    let image = files.path().join("image");
    host(
        "mkfs.erofs",
        &["--quiet", image.to_str().unwrap(), "/etc/apt"],
    );
    with(&volume("disk", &image, ",fsType=erofs,readOnly=true"), "/data")
        .shell("test -d /data/sources.list.d && touch /data/x 2>/dev/null || echo refused; grep -o ' /data erofs ro,nosuid,nodev' /proc/mounts")
        .run()
        .exits(0)
        .prints("refused\n /data erofs ro,nosuid,nodev\n");
    with(&volume("disk", &image, ",fsType=erofs"), "/data")
        .exec("/bin/true")
        .run()
        .exits(254)
        .says("erofs cannot be written to (readOnly=true)");
}

#[test]
fn an_ext4_that_was_not_unmounted_is_refused_read_only_until_its_journal_was_replayed() {
    let files = own_data();
    let mounted = files.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let used = file(files.path(), "used", 64 << 20);
    host("mkfs.ext4", &["-q", "-F", used.to_str().unwrap()]);
    host(
        "mount",
        &[
            "-o",
            "loop",
            used.to_str().unwrap(),
            mounted.to_str().unwrap(),
        ],
    );
    let written = mounted.join("file");
    fs::write(&written, "written\n").unwrap();
    File::open(&written).unwrap().sync_all().unwrap();
    let copied = files.path().join("copied");
    fs::copy(&used, &copied).unwrap();
    host("umount", &[mounted.to_str().unwrap()]);

    let read_only = || {
        with(
            &volume("disk", &copied, ",fsType=ext4,readOnly=true"),
            "/data",
        )
    };
    read_only().exec("/bin/true").run().exits(203).says(
        "volume for \"/data\": the disk's ext4 was not unmounted, and a read-only volume lets nobody replay its journal \
         (mount it once without readOnly)",
    );
    with(&volume("disk", &copied, ",fsType=ext4"), "/data")
        .shell("cat /data/file")
        .run()
        .exits(0)
        .prints("written\n");
    read_only()
        .shell("cat /data/file")
        .run()
        .exits(0)
        .prints("written\n");
}

#[test]
fn what_is_no_disk_is_254_and_named() {
    let files = own_data();
    let path = |name: &str| files.path().join(name);
    file(files.path(), "empty", 0);
    file(files.path(), "odd", 513);
    let _socket = UnixListener::bind(path("socket")).unwrap();
    host("mkfifo", &[path("fifo").to_str().unwrap()]);
    let nothing = "is neither a directory nor a regular file nor a block device";
    for (kind, source, problem) in [
        ("disk", path("missing"), "the host says: No such file"),
        ("disk", path("empty"), "has no bytes"),
        (
            "disk",
            path("odd"),
            "has 513 bytes, and a disk has whole sectors of 512",
        ),
        (
            "disk",
            files.path().to_owned(),
            "is a directory, and no disk",
        ),
        ("disk", path("socket"), nothing),
        ("disk", path("fifo"), nothing),
        ("host", path("fifo"), nothing),
        ("host", PathBuf::from("/dev/null"), nothing),
    ] {
        with(&volume(kind, &source, ""), "/disk")
            .exec("/bin/true")
            .run()
            .exits(254)
            .says(&format!(
                "app busybox: mounts[0].path: volume v: {}: {problem}",
                source.display()
            ));
    }
    let page = file(files.path(), "page", 4096);
    with(&volume("disk", &page, ",fsType=ext4"), "/data")
        .exec("/bin/true")
        .run()
        .exits(203)
        .says("volume for \"/data\": mount the disk as ext4: Invalid argument");
}
