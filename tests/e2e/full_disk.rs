//! A disk that is full: what does not fit is refused by name and leaves nothing, and what is there goes on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bulkhead_tests::images::busybox_oci;
use bulkhead_tests::registry::Registry;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use tempfile::TempDir;

use crate::bulkhead::{Call, Finished, own_data, pod};
use crate::disk::{host, path};
use crate::leftovers::{Mounts, files};
use crate::lifecycle::{call, exited, running, state};
use crate::sandbox::Sandbox;

/// Room for a stage1 image, which is copied here from another file system, an image, and some pods.
const SIZE: u64 = 160 << 20;

/// Bytes that are left on a full disk: none, enough to begin with small files, and with large ones.
const ROOMS: [u64; 4] = [0, 4096, 128 * 1024, 1024 * 1024];

/// The same where some small files and directories are to be made.
const SMALL_ROOMS: [u64; 3] = [0, 4096, 8192];

/// A disk of its own, mounted on a data directory. Not one of memory, where a program that has holes is killed once there is no room.
struct Disk(PathBuf);

impl Disk {
    fn on(data: &TempDir) -> Self {
        let image = data.path().join("disk");
        let file = File::create(&image).expect("a file");
        file.set_len(SIZE).expect("a hole");
        // Nothing is kept for root, and no journal takes room at times.
        host("mkfs.ext4", &["-q", "-m0", "-O^has_journal", path(&image)]);
        host("mount", &["-o", "loop", path(&image), path(data.path())]);
        Self(data.path().to_owned())
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all of the disk but this room, and some blocks that the file system needs to say so.
    fn fill(&self, room: u64) {
        self.clear();
        let ballast = File::create(self.ballast()).expect("a file");
        let mut kept = room;
        loop {
            let state = statvfs(self.path()).expect("a file system");
            let free = state.f_bavail * state.f_frsize;
            let taken = free.saturating_sub(kept);
            // What did not fit as a whole was taken in part.
            if taken == 0 {
                break;
            }
            match fallocate(&ballast, FallocateFlags::empty(), 0, taken) {
                // It was too much, or a pod that runs has written something meanwhile.
                Err(Errno::NOSPC) => kept += state.f_frsize,
                result => {
                    result.expect("room that is free");
                    break;
                }
            }
        }
    }

    fn clear(&self) {
        // It may not be full.
        let _ = fs::remove_file(self.ballast());
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        files(self.path())
    }

    /// Directories of the store, and its lock, may be made where nothing else fits.
    fn files_with_bytes(&self) -> Vec<PathBuf> {
        let has_bytes =
            |path: &PathBuf| path.is_file() && path.metadata().is_ok_and(|file| file.len() > 0);
        self.files().into_iter().filter(has_bytes).collect()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still runs after a failure would keep it.
        host("umount", &["--lazy", path(self.path())]);
        // Below it lies its image. Who made the directory may have tried before, and be gone.
        let _ = fs::remove_dir_all(self.path());
    }
}

/// One error, its causes below it, the last of which is that there is no room.
#[track_caller]
fn has_no_room(finished: Finished) {
    let finished = finished.exits(254).says("No space left on device");
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    let errors = said
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(' '));
    if errors.count() != 1 {
        finished.fail("expected one error");
    }
}

fn prepare(disk: &Disk) -> Call {
    let image = busybox_oci();
    let image = image.to_str().expect("a path of letters");
    let stage1 = std::env::var("BULKHEAD_TEST_STAGE1").unwrap_or("kvm".to_owned());
    call(
        disk.path(),
        ["prepare", &format!("--stage1={stage1}"), image],
    )
}

#[test]
fn an_image_that_does_not_fit_leaves_nothing() {
    let data = own_data();
    let disk = Disk::on(&data);
    for room in ROOMS {
        disk.fill(room);
        has_no_room(prepare(&disk).run());
        assert_eq!(disk.files_with_bytes(), [disk.ballast()], "room of {room}");
    }
    disk.clear();
    exited(disk.path(), 0);
}

#[test]
fn an_image_that_is_fetched_and_does_not_fit_leaves_nothing() {
    let registry = Registry::start().unwrap();
    let image = registry.push(&busybox_oci(), "busybox:v1").unwrap();
    let data = own_data();
    let disk = Disk::on(&data);
    for room in ROOMS {
        disk.fill(room);
        has_no_room(call(disk.path(), ["fetch", &image]).run());
        assert_eq!(disk.files_with_bytes(), [disk.ballast()], "room of {room}");
    }
    disk.clear();
    call(disk.path(), ["fetch", &image]).run().exits(0);
}

#[test]
fn a_pod_that_does_not_fit_leaves_nothing() {
    let data = own_data();
    let disk = Disk::on(&data);
    exited(disk.path(), 0);
    call(disk.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0);
    disk.fill(0);
    let before = disk.files();
    for room in SMALL_ROOMS {
        disk.fill(room);
        has_no_room(prepare(&disk).run());
        has_no_room(
            pod(&busybox_oci())
                .data(disk.path())
                .exec("/bin/true")
                .run(),
        );
        assert_eq!(disk.files(), before, "room of {room}");
    }
    disk.clear();
    exited(disk.path(), 0);
}

#[test]
fn what_runs_goes_on_and_is_deleted() {
    let data = own_data();
    let (disk, mounts) = (Disk::on(&data), Mounts::now());
    let (pod, uuid) = running(disk.path());
    disk.fill(0);
    let list = call(disk.path(), ["list"]).run().exits(0);
    list.shows(&uuid[..8]);
    let data = disk.path().to_str().expect("a path of letters");
    Call::of(&["--dir", data, "enter", &uuid, "/bin/echo", "here"])
        .run()
        .exits(0)
        .prints("here\n");
    call(disk.path(), ["stop", &uuid]).run().exits(0);
    pod.finish().exits(7);
    assert_eq!(state(disk.path(), &uuid), "exited");
    call(disk.path(), ["rm", &uuid]).run().exits(0);
    mounts.are_all_that_is_left();
    disk.clear();
    exited(disk.path(), 0);
}

#[test]
fn an_app_that_does_not_fit_is_not_added() {
    let data = own_data();
    let disk = Disk::on(&data);
    let sandbox = Sandbox::start_in(data, &[]);
    sandbox.add("one", "echo one").exits(0);
    disk.fill(0);
    let before = disk.files();
    has_no_room(sandbox.add("two", "echo two"));
    assert_eq!(disk.files(), before);
    sandbox.do_to("start", "one").exits(0);
    disk.clear();
    sandbox.add("two", "echo two").exits(0);
    sandbox.do_to("start", "two").exits(0);
    sandbox
        .stop()
        .exits(0)
        .shows("one: one\n")
        .shows("two: two\n");
}

#[test]
fn an_export_that_does_not_fit_leaves_no_image() {
    let (data, other) = (own_data(), own_data());
    let disk = Disk::on(&other);
    let uuid = exited(data.path(), 0);
    let image = disk.path().join("made.aci");
    let export = || {
        let image = image.to_str().expect("a path of letters");
        call(data.path(), ["export", &uuid, image]).run()
    };
    for room in ROOMS {
        disk.fill(room);
        let before = (disk.files(), files(data.path()));
        has_no_room(export());
        assert_eq!((disk.files(), files(data.path())), before, "room of {room}");
    }
    disk.clear();
    export().exits(0);
}
