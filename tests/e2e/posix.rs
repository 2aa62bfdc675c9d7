//! What databases rely on, on a directory of the host: locks, attributes, renames.

use std::path::Path;
use std::process::Command;

use bulkhead_tests::images::{busybox_oci, python_docker_archive};

use crate::bulkhead::{Finished, own_data, pod};

/// Runs a program of Python in `/data`, a directory of the host's disk.
fn python(host: &Path, script: &str) -> Finished {
    pod(&python_docker_archive())
        .pod_flag(format!("--volume=v,kind=host,source={}", host.display()))
        .flag("--mount=volume=v,target=/data")
        .args(["-c", &format!("import os\nos.chdir('/data')\n{script}")])
        .run()
}

#[test]
fn locks_hold_between_processes() {
    let script = "
import fcntl
def locked(how):
    with open('lock', 'w') as other:
        try:
            how(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
def in_child(how):
    child = os.fork()
    if child == 0:
        os._exit(locked(how))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
for how in (fcntl.flock, fcntl.lockf):
    with open('lock', 'w') as mine:
        how(mine, fcntl.LOCK_EX)
        print(in_child(how), end=' ')
    print(in_child(how))
";
    let host = own_data();
    python(host.path(), script).exits(0).prints("1 0\n1 0\n");
}

#[test]
fn attributes_are_the_host_s() {
    let script = "
open('file', 'w').close()
os.setxattr('file', 'user.colour', b'red')
os.setxattr('file', 'user.gone', b'')
os.removexattr('file', 'user.gone')
print(os.listxattr('file'), os.getxattr('file', 'user.colour'))
";
    let host = own_data();
    let end = python(host.path(), script);
    end.exits(0).prints("['user.colour'] b'red'\n");
}

#[test]
fn a_file_that_never_had_a_name_is_refused_as_programs_expect() {
    let script = "
import errno
try:
    os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
except OSError as error:
    print(errno.errorcode[error.errno], os.listdir('.'))
";
    let host = own_data();
    python(host.path(), script).exits(0).prints("ENOTSUP []\n");
}

#[test]
fn programs_that_want_a_file_without_a_name_fall_back_to_one_that_they_remove() {
    let script = "
import tempfile
with tempfile.TemporaryFile(dir='.') as file:
    print(os.listdir('.'))
    file.write(b'kept')
    file.seek(0)
    print(file.read())
";
    let host = own_data();
    python(host.path(), script).exits(0).prints("[]\nb'kept'\n");
}

#[test]
fn an_open_file_outlives_its_name_and_a_rename_replaces_at_once() {
    let script = "
with open('old', 'w+') as file:
    file.write('of the removed')
    open('new', 'w').write('of the new')
    os.rename('new', 'old')
    file.seek(0)
    print(file.read(), '/', open('old').read())
    os.fsync(os.open('.', os.O_RDONLY | os.O_DIRECTORY))
";
    let host = own_data();
    let end = python(host.path(), script);
    end.exits(0).prints("of the removed / of the new\n");
}

/// A file system that is mounted below the source of a volume.
struct Below(std::path::PathBuf);

impl Below {
    fn mount(parent: &Path) -> Self {
        let place = parent.join("below");
        std::fs::create_dir(&place).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&place)
            .status();
        assert!(status.unwrap().success());
        std::fs::write(place.join("file"), "").unwrap();
        Self(place)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        // A failure shows in the tests that count mounts.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn what_is_mounted_below_comes_along_unless_the_volume_is_not_recursive() {
    let host = own_data();
    let below = Below::mount(host.path());
    let seen = |fields: &str| {
        let volume = format!(
            "--volume=v,kind=host,source={}{fields}",
            host.path().display()
        );
        pod(&busybox_oci())
            .pod_flag(volume)
            .flag("--mount=volume=v,target=/data")
            .shell("ls /data/below; touch /data/below/new 2>/dev/null && rm /data/below/new && echo writable; true")
            .run()
            .exits(0)
    };
    seen("").prints("file\nwritable\n");
    seen(",readOnly=true").prints("file\n");
    seen(",recursive=false").prints("writable\n");
    drop(below);
}
