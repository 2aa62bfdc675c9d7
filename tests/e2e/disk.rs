//! Writable disks whose host file does not answer.

use std::path::Path;
use std::process::Command;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{own_data, pod};
use crate::lifecycle::call;

/// Runs a program of the host to its good end.
#[track_caller]
pub(crate) fn host(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program} {arguments:?}"
    );
}

/// A file system of its own that can be frozen.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn mount(image: &Path, directory: &'a Path) -> Self {
        host("truncate", &["--size=4G", path(image)]);
        host("mkfs.ext4", &["-q", "-F", path(image)]);
        host("mount", &["-o", "loop", path(image), path(directory)]);
        Self(directory)
    }

    fn freeze(&self) {
        host("fsfreeze", &["--freeze", path(self.0)]);
    }

    fn thaw(&self) {
        host("fsfreeze", &["--unfreeze", path(self.0)]);
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // A test that failed may have left it frozen; a failure here is the machine's end anyway.
        let _ = Command::new("fsfreeze")
            .args(["--unfreeze", path(self.0)])
            .output();
        let _ = Command::new("umount")
            .args(["--lazy", path(self.0)])
            .output();
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("temporary names are text")
}

#[test]
fn streams_go_on_while_the_disk_s_host_file_blocks() {
    let files = own_data();
    let mounted = files.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let disk = Frozen::mount(&files.path().join("disk"), &mounted);

    let uuid = files.path().join("uuid");
    let by_file = format!("--uuid-file={}", path(&uuid));
    let running = pod(&busybox_oci())
        .data(&mounted)
        .pod_flag(format!("--uuid-file-save={}", path(&uuid)))
        .name("ticks")
        .shell("i=0; while [ $i -lt 300 ]; do i=$((i + 1)); echo tick $i.; sleep 0.05; done")
        .app(busybox_oci())
        .name("writes")
        .shell("dd if=/dev/zero of=/file bs=1M count=64; sync; echo written")
        .start()
        .wait_for("tick 1.");
    // The sign that all apps run lies on that disk too.
    call(&mounted, ["status", "--wait-ready", &by_file])
        .run()
        .exits(0);
    disk.freeze();
    // Both apps' disks are blocked; ticks touch no disk.
    let running = running.wait_for("tick 300.");
    disk.thaw();
    running.wait_for("written").finish().exits(0);
}
