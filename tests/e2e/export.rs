//! What an app has made of its image becomes an image.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bulkhead_tests::images::{busybox_oci, python_docker_archive};
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, data, own_data, pod};
use crate::container::{loop_devices, no_loop_device_is_left_but};
use crate::leftovers::{Mounts, files};
use crate::lifecycle::{call, running};

/// A pod that ran this in a shell, and its UUID.
fn exited(data: &Path, image: &Path, script: &str) -> String {
    let file = data.join("uuid");
    pod(image)
        .data(data)
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell(script)
        .run()
        .exits(0);
    fs::read_to_string(file)
        .expect("the UUID")
        .trim()
        .to_owned()
}

fn export(data: &Path, uuid: &str, image: &Path) -> Call {
    let image = image.to_str().expect("a path of letters");
    call(data, ["export", uuid, image])
}

fn image_in(data: &Path) -> PathBuf {
    data.join("made.aci")
}

/// What two trees are compared by: everything that a file is, but for what each pod makes anew.
const DESCRIBE: &str = r#"python3 - <<'END'
import hashlib, os, stat
left_out = {'/proc', '/sys', '/dev', '/tmp', '/etc/hostname', '/etc/hosts', '/etc/mtab'}
new_times = {'/etc'}
for directory, names, files in os.walk('/'):
    names[:] = sorted(name for name in names if os.path.join(directory, name) not in left_out)
    for name in names + sorted(files):
        path = os.path.join(directory, name)
        if path in left_out:
            continue
        s = os.lstat(path)
        is_file = stat.S_ISREG(s.st_mode)
        content = hashlib.md5(open(path, 'rb').read()).hexdigest() if is_file else ''
        target = os.readlink(path) if stat.S_ISLNK(s.st_mode) else ''
        attributes = [(a, os.getxattr(path, a, follow_symlinks=False)) for a in os.listxattr(path, follow_symlinks=False)]
        print(path, oct(s.st_mode), s.st_uid, s.st_gid, s.st_nlink if is_file else '', path in new_times or s.st_mtime_ns, content, target, attributes)
END"#;

#[test]
fn what_an_app_changed_is_in_the_image_and_runs() {
    let own = own_data();
    let mounts = Mounts::now();
    let change = format!(
        "set -e; cd /srv; echo new > new; mkdir -p deep/er; echo in > deep/er/file; ln new other; ln -s ../gone link; mkfifo pipe
        head -c 3000000 /dev/urandom > big; truncate -s 50M sparse; chown 12:34 big; chmod 4751 new; mkdir $(printf %0200d 7)
        echo changed >> /etc/issue; rm -r /usr/share/doc; touch -d '1969-02-03 04:05:06.789' deep
        python3 -c \"import os; os.setxattr('/srv/big', 'user.a', b'one\\n\\0two')\"
        python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('/tmp/socket')\"
        {DESCRIBE}"
    );
    let file = own.path().join("uuid");
    let before = pod(&python_docker_archive())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell(&change)
        .run()
        .exits(0);
    let uuid = fs::read_to_string(file).expect("the UUID");
    let image = image_in(own.path());
    export(data(), uuid.trim(), &image)
        .run()
        .exits(0)
        .prints("")
        .says("export: one socket is left out");
    mounts.are_all_that_is_left();

    let after = pod(&image).shell(DESCRIBE).run().exits(0);
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (before, after) = (lines(&before.stdout), lines(&after.stdout));
    assert!(before.iter().any(|line| line.contains("one\\n\\x00two")));
    let differ = before.iter().zip(&after).find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(after.len(), before.len());
}

#[test]
fn a_killed_pod_is_exported_and_nothing_in_it_changes() {
    let (own, loop_devices) = (own_data(), loop_devices());
    let file = own.path().join("uuid");
    pod(&busybox_oci())
        .data(own.path())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .shell("echo kept > /kept; sync; echo ready; sleep 600")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    let uuid = fs::read_to_string(file).expect("the UUID");
    let uuid = uuid.trim();
    let directory = own.path().join("pods/run").join(uuid);
    let written = || {
        let disk = fs::metadata(directory.join("scratch/busybox.ext4")).expect("its disk");
        (disk.modified().expect("a time"), disk.blocks())
    };
    // A container's disk is let go of some time after its last process.
    no_loop_device_is_left_but(&loop_devices);
    let before = (files(&directory), written());

    let image = image_in(own.path());
    export(own.path(), uuid, &image).run().exits(0);
    assert_eq!((files(&directory), written()), before);
    pod(&image)
        .shell("cat /kept")
        .run()
        .exits(0)
        .prints("kept\n");
}

#[test]
fn of_several_apps_one_is_named_and_its_volumes_stay_out() {
    let own = own_data();
    let file = own.path().join("uuid");
    pod(&busybox_oci())
        .data(own.path())
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .pod_flag("--volume=v,kind=empty")
        .name("one")
        .shell("echo one > /who")
        .app(busybox_oci())
        .name("two")
        .flag("--mount=volume=v,target=/v")
        .shell("echo two > /who; echo secret > /v/file")
        .run()
        .exits(0);
    let uuid = fs::read_to_string(file).expect("the UUID");
    let image = image_in(own.path());
    export(own.path(), uuid.trim(), &image)
        .run()
        .exits(254)
        .says("--app=NAME must say which: one, two");
    export(own.path(), uuid.trim(), &image)
        .pod_flag("--app=two")
        .run()
        .exits(0);
    pod(&image)
        .shell("cat /who; ls /v")
        .run()
        .exits(0)
        .prints("two\n");
}

#[test]
fn what_runs_and_what_is_there_already_are_refused() {
    let own = own_data();
    let (pod, uuid) = running(own.path());
    let image = image_in(own.path());
    export(own.path(), &uuid, &image)
        .run()
        .exits(254)
        .says("has not exited: it is running");
    assert!(!image.exists());
    pod.signal(Signal::SIGTERM).finish().exits(7);

    fs::write(&image, "mine").expect("a file");
    export(own.path(), &uuid, &image)
        .run()
        .exits(254)
        .says("is there already; --overwrite replaces it");
    assert_eq!(fs::read(&image).expect("the file"), b"mine");
    export(own.path(), &uuid, &image)
        .pod_flag("--overwrite")
        .run()
        .exits(0);
    assert_ne!(fs::read(&image).expect("the image"), b"mine");
}

#[test]
fn a_damaged_disk_is_an_error_and_leaves_no_image() {
    let own = own_data();
    let uuid = exited(own.path(), &busybox_oci(), "echo one > /one");
    let disk = own
        .path()
        .join("pods/run")
        .join(&uuid)
        .join("scratch/busybox.ext4");
    let disk = fs::File::options()
        .write(true)
        .open(disk)
        .expect("its disk");
    disk.write_all_at(&[0xa5; 1 << 16], 0).expect("damage");
    let before = files(own.path());
    export(own.path(), &uuid, &image_in(own.path()))
        .run()
        .exits(254)
        .says("cannot prepare app busybox: mount the ext4");
    assert_eq!(files(own.path()), before);
}
