//! Our command over a stage1 image that is not ours: shell scripts that follow rkt's interface, take apps' roots as directories, and
//! know nothing of block images.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use bulkhead_tests::images::{busybox_aci, busybox_oci, layers_oci};
use serde_json::json;

use crate::bulkhead::{Call, own_data, pod};
use crate::leftovers::files;

/// Runs each app with `chroot`, one after the other. The pod's end is that of the last one.
const RUN: &str = r#"#!/bin/sh
echo "$@" > arguments
echo "written by a pod" >> stage1/rootfs/own
trap 'kill $child' TERM
echo $$ > pid.new
mv pid.new $(cat stage1/rootfs/pid-file)
ln -s ready stage1/rootfs/rkt/supervisor-status
case $* in *--mutable*)
    trap 'exit 0' TERM
    while :; do sleep 0.1; done
esac
number=0
for app in stage1/rootfs/opt/stage2/*; do
    number=$((number + 1))
    script=$(grep -o '"exec":\["/bin/sh","-c","[^"]*"' pod | sed -n "${number}p" | cut -d'"' -f8)
    (eval "exec $RKT_LOCK_FD>&-"; exec chroot $app/rootfs /bin/sh -c "$script") &
    child=$!
    wait $child
    status=$?
    # A signal ends the first wait.
    wait $child
    echo $status > stage1/rootfs/rkt/status/${app##*/}
done
rm stage1/rootfs/rkt/supervisor-status
exit $status
"#;

/// Has its app from the flag, and its program behind `--`.
const ENTER: &str = r#"#!/bin/sh
while [ "$1" != -- ]; do
    case $1 in
    --pid=*) pid=${1#*=} ;;
    --appname=*) app=${1#*=} ;;
    *) exit 99 ;;
    esac
    shift
done
shift
# The process that says that it is the pod, or the child of the one that says so.
[ -e pid ] || pid=$(cut -d' ' -f4 /proc/$pid/stat)
[ $pid = $(cat pid ppid 2> /dev/null) ] || exit 98
exec chroot stage1/rootfs/opt/stage2/$app/rootfs "$@"
"#;

const STOP: &str = r#"#!/bin/sh
echo "stop $@" >> ../../../calls
exec kill -TERM $(cat pid)
"#;

/// `add`, `start`, `stop` and `rm`, each by its name.
const APP: &str = r#"#!/bin/sh
verb=${0##*/}
echo "$verb $@" >> ../../../calls
case $verb in
add)
    tr '\0' '\n' < /proc/$$/environ | cut -d= -f1 | sort >> ../../../calls
    ;;
start)
    echo started >> stage1/rootfs/opt/stage2/app/rootfs/log
    echo 4 > stage1/rootfs/rkt/status/app
    ;;
stop)
    exit 5
    ;;
esac
"#;

const GC: &str = r#"#!/bin/sh
echo "gc $@" >> ../../../calls
"#;

/// The image, in this directory.
fn stage1(directory: &Path) -> PathBuf {
    let image = directory.join("scripts");
    let rootfs = image.join("rootfs");
    for directory in ["rkt/status", "opt/stage2"] {
        fs::create_dir_all(rootfs.join(directory)).unwrap();
    }
    for (name, script) in [("run", RUN), ("enter", ENTER), ("stop", STOP), ("gc", GC)] {
        let path = rootfs.join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for verb in ["add", "start", "stop", "rm"] {
        let path = rootfs.join("app").join(verb);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, APP).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(rootfs.join("own"), "of the image\n").unwrap();
    fs::write(rootfs.join("pid-file"), "pid").unwrap();
    let entrypoint = |name: &str| json!({"name": format!("coreos.com/rkt/stage1/{name}"), "value": format!("/{name}")});
    let manifest = json!({
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/stage1-scripts",
        "annotations": [
            entrypoint("run"), entrypoint("enter"), entrypoint("stop"), entrypoint("gc"),
            entrypoint("app/add"), entrypoint("app/start"), entrypoint("app/stop"), entrypoint("app/rm"),
            {"name": "coreos.com/rkt/stage1/interface-version", "value": "6"},
        ],
    });
    fs::write(image.join("manifest"), manifest.to_string()).unwrap();
    image
}

/// A data directory with the image in it.
pub(crate) struct Host {
    pub(crate) data: tempfile::TempDir,
    stage1: PathBuf,
}

impl Host {
    pub(crate) fn new() -> Self {
        let data = own_data();
        let stage1 = stage1(data.path());
        Self { data, stage1 }
    }

    pub(crate) fn pod(&self, image: &Path) -> Call {
        pod(image)
            .data(self.data.path())
            .pod_flag(format!("--stage1={}", self.stage1.display()))
            .pod_flag(format!("--uuid-file-save={}", self.uuid_file().display()))
    }

    pub(crate) fn call(&self, words: &[&str]) -> Call {
        let data = self.data.path().to_str().expect("a path of UTF-8");
        Call::of(&[&["--dir", data], words].concat())
    }

    fn uuid_file(&self) -> PathBuf {
        self.data.path().join("uuid")
    }

    pub(crate) fn uuid(&self) -> String {
        let uuid = fs::read_to_string(self.uuid_file()).unwrap();
        uuid.trim().to_owned()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.data.path().join("pods/run").join(self.uuid())
    }

    /// Where its app `app` has its root.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory().join("stage1/rootfs/opt/stage2/app/rootfs")
    }
}

/// Its attribute that the image of layers has.
pub(crate) fn note(root: &Path) -> Vec<u8> {
    let got = std::process::Command::new("getfattr")
        .args(["--only-values", "--name=user.note"])
        .arg(root.join("data/attribute"))
        .output()
        .unwrap();
    got.stdout
}

#[test]
fn an_app_runs_in_a_directory_that_is_as_its_image() {
    let host = Host::new();
    host.pod(&layers_oci())
        .name("app")
        .shell(
            "cd /data; test ! -e deleted && readlink replaced; ls emptied; stat -c %a setuid; stat -c %u:%g owned; \
             stat -c %Y kept; stat -c %h link; test linked -ef link && readlink symlink; \
             stat -c %t:%T null; test -p fifo && cat $(printf na*ve); readlink /etc/mtab; exit 7",
        )
        .run()
        .exits(7)
        .prints("kept\nnew\n4755\n70000:70001\n981173106\n2\nkept\n1:3\nsecond layer\n../proc/self/mounts\n");
    assert_eq!(note(&host.root()), b"kept too");
    let arguments = fs::read_to_string(host.directory().join("arguments")).unwrap();
    assert_eq!(arguments, format!("--net=none {}\n", host.uuid()));
    host.call(&["status", &host.uuid()])
        .run()
        .exits(0)
        .shows("state=exited\n")
        .shows("app-app=7\n");
}

#[test]
fn a_pod_has_the_image_s_files_and_stage1_s_for_itself() {
    let host = Host::new();
    for _ in 0..2 {
        host.pod(&busybox_oci())
            .name("one")
            .shell("ls /mine; echo of one > /mine; rm /etc/passwd")
            .app(busybox_oci())
            .name("two")
            .shell("cat /mine; cat /etc/passwd | wc -l")
            .run()
            .exits(0)
            .prints("2\n");
        let own = fs::read_to_string(host.directory().join("stage1/rootfs/own"));
        assert_eq!(own.unwrap(), "of the image\nwritten by a pod\n");
    }
}

#[test]
fn it_is_entered_stopped_and_collected_as_rkt_does_it() {
    let host = Host::new();
    let running = host
        .pod(&busybox_oci())
        .name("app")
        .shell("echo ready; exec sleep 600")
        .start()
        .wait_for("ready");
    let uuid = host.uuid();
    host.call(&["status", "--wait-ready", &uuid])
        .run()
        .exits(0)
        .shows("state=running\n");
    host.call(&["enter", &uuid, "/bin/sh", "-c", "echo inside; exit 3"])
        .run()
        .exits(3)
        .prints("inside\n");
    host.call(&["stop", &uuid]).run().exits(0);
    running.finish().exits(143);
    host.call(&["gc", "--grace-period=0s"]).run().exits(0);
    let calls = fs::read_to_string(host.data.path().join("calls")).unwrap();
    assert_eq!(calls, format!("stop {uuid}\ngc {uuid}\n"));
    let pods = files(&host.data.path().join("pods"));
    assert!(pods.iter().all(|path| !path.ends_with(&uuid)), "{pods:?}");
}

#[test]
fn one_of_an_older_interface_is_told_what_it_knows() {
    let host = Host::new();
    let path = host.stage1.join("manifest");
    let manifest = fs::read_to_string(&path).unwrap();
    let of_version = |version: &str| {
        let older = format!(r#""value":"{version}""#);
        fs::write(&path, manifest.replace(r#""value":"6""#, &older)).unwrap();
        host.pod(&busybox_oci())
            .pod_flag("--hostname=box")
            .pod_flag("--hosts-entry=host")
            .name("app")
            .shell("true")
            .run()
    };
    let arguments = || fs::read_to_string(host.directory().join("arguments")).unwrap();
    of_version("2").exits(0).says(
        "speaks version 2 of the interface, and --dns-conf-mode came with version 4: it is left out",
    );
    let expected = format!("--net=none --hostname=box {}\n", host.uuid());
    assert_eq!(arguments(), expected);
    of_version("1").exits(0);
    assert_eq!(arguments(), format!("--net=none {}\n", host.uuid()));
    of_version("7").exits(254).says("\"7\" is none of 1 to 6");
}

#[test]
fn one_that_tells_its_process_s_parent_is_entered_by_the_child() {
    let host = Host::new();
    fs::write(host.stage1.join("rootfs/pid-file"), "ppid").unwrap();
    let running = host
        .pod(&busybox_oci())
        .name("app")
        .shell("echo ready; while [ ! -e /end ]; do sleep 0.1; done")
        .start()
        .wait_for("ready");
    host.call(&["enter", &host.uuid(), "touch", "/end"])
        .run()
        .exits(0);
    running.finish().exits(0);
}

#[test]
fn apps_come_and_go_as_rkt_does_it() {
    let host = Host::new();
    let uuid_file = format!("--uuid-file-save={}", host.uuid_file().display());
    let stage1 = format!("--stage1={}", host.stage1.display());
    let running = host.call(&["app", "sandbox", &stage1, &uuid_file]).start();
    while !host.uuid_file().exists() || host.uuid().is_empty() || !host.directory().is_dir() {
        std::thread::yield_now();
    }
    let uuid = host.uuid();
    host.call(&["status", "--wait-ready", &uuid]).run().exits(0);
    let image = busybox_oci();
    let add = [
        "app",
        "add",
        &uuid,
        image.to_str().unwrap(),
        "--name=app",
        "--environment=A=b",
    ];
    host.call(&add).run().exits(0);
    let state = |expected: &str| {
        host.call(&["app", "list", "--no-legend", &uuid])
            .run()
            .exits(0)
            .shows(expected);
    };
    state("created");
    let rootfs = host.directory().join("stage1/rootfs");
    let env = fs::read_to_string(rootfs.join("rkt/env/app")).unwrap();
    assert!(
        env.contains("A=b\n") && env.ends_with("AC_APP_NAME=app\n"),
        "{env}"
    );
    host.call(&["app", "start", &uuid, "--app=app"])
        .run()
        .exits(0);
    state("exited");
    let log = rootfs.join("opt/stage2/app/rootfs/log");
    assert_eq!(fs::read_to_string(log).unwrap(), "started\n");
    host.call(&["app", "rm", &uuid, "--app=app"]).run().exits(0);
    assert!(!rootfs.join("opt/stage2/app").exists());
    assert_eq!(fs::read_dir(rootfs.join("rkt/status")).unwrap().count(), 0);
    host.call(&["stop", &uuid]).run().exits(0);
    running.finish().exits(0);
    let calls = fs::read_to_string(host.data.path().join("calls")).unwrap();
    let flags = "--debug=false --app=app";
    assert_eq!(
        calls,
        format!(
            "add --debug=false --uuid={uuid} --app=app\nPATH\nRKT_STAGE1_ENTERCMD\nRKT_STAGE1_ENTERPID\n\
             start {flags}\nstop {flags}\nrm {flags}\nstop {uuid}\n"
        )
    );
}

#[test]
fn a_prepared_pod_runs_over_it_later() {
    let host = Host::new();
    let stage1 = format!("--stage1={}", host.stage1.display());
    let image = busybox_oci();
    let words = [
        "prepare",
        &stage1,
        image.to_str().unwrap(),
        "--exec=/bin/sh",
        "--",
        "-c",
        "echo later",
    ];
    let uuid = host.call(&words).run().exits(0).text();
    fs::remove_dir_all(&host.stage1).unwrap();
    host.call(&["run-prepared", uuid.trim()])
        .run()
        .exits(0)
        .prints("later\n");
}

#[test]
fn without_root_it_is_refused_and_nothing_is_left() {
    let host = Host::new();
    let data = host.data.path();
    fs::set_permissions(data, fs::Permissions::from_mode(0o755)).unwrap();
    chown(data, Some(1000), Some(1000)).unwrap();
    let image = data.join("image.aci");
    fs::copy(busybox_aci(), &image).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o644)).unwrap();
    host.pod(&image)
        .exec("/bin/true")
        .under(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])
        .run()
        .exits(254)
        .says("its stage1 takes no block images (that takes root)");
    let pods = files(&data.join("pods"));
    assert!(
        pods.iter().all(|path| !path.ends_with(host.uuid())),
        "{pods:?}"
    );
}
