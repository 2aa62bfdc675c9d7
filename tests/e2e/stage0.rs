//! A small stage0 that is not ours and does what rkt's does: it knows a stage1 image by what stage1's interface says of it, and
//! nothing of files that only our command writes. It mounts overlays, or renders copies, and calls entrypoints.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::images::busybox_aci;
use serde_json::{Value, json};

use crate::bulkhead::{Call, Running, STAGE1_VARIABLE, dist, own_data};

pub(crate) const UUID: &str = "6733c088-a507-4694-aabf-34914b5a3b04";

/// Opens the pod's directory, locks it, and becomes the entrypoint: the lock is the pod's life.
const RUN: &str = r#"
exec 9<.
flock --exclusive --nonblock 9 || exit 99
entrypoint=$1
shift
exec env RKT_LOCK_FD=9 RKT_SELINUX_CONTEXT= RKT_SELINUX_MOUNT_CONTEXT= "$entrypoint" "$@"
"#;

/// The stage1 image of this run.
fn stage1_of_run() -> PathBuf {
    let name = std::env::var_os(STAGE1_VARIABLE).unwrap_or_else(|| "kvm".into());
    dist().join("lib/bulkhead/stage1").join(name)
}

/// How an app's root is made of its image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rendered {
    /// An overlay of a tree that all pods share.
    Overlay,
    /// A copy of the pod's own (`--no-overlay`).
    Copy,
}

/// A pod that it prepared, and its mounts.
pub(crate) struct Prepared {
    pub(crate) directory: PathBuf,
    data: tempfile::TempDir,
    rendered: Rendered,
    apps: Vec<Value>,
    volumes: Vec<Value>,
    mounts: Vec<PathBuf>,
}

impl Prepared {
    /// An empty pod: a directory with a stage1 image in it.
    pub(crate) fn new(rendered: Rendered) -> Self {
        let data = own_data();
        let directory = data.path().join("rkt/pods/run").join(UUID);
        fs::create_dir_all(directory.join("stage1")).unwrap();
        fs::copy(
            stage1_of_run().join("manifest"),
            directory.join("stage1/manifest"),
        )
        .unwrap();
        let mut pod = Self {
            directory,
            data,
            rendered,
            apps: Vec::new(),
            volumes: Vec::new(),
            mounts: Vec::new(),
        };
        let rootfs = pod.rootfs();
        pod.overlay(&stage1_of_run().join("rootfs"), &rootfs, "stage1");
        // rkt brings this directory into the upper layer so, and fails without it.
        let status = Command::new("touch")
            .args(["-c", "-m"])
            .arg(rootfs.join("rkt/status"))
            .status();
        assert!(status.unwrap().success() && rootfs.join("rkt/status").is_dir());
        pod
    }

    /// The root of the stage1 image as the pod has it.
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.directory.join("stage1/rootfs")
    }

    /// The root of an app, on the host.
    pub(crate) fn root_of(&self, app: &str) -> PathBuf {
        self.stage2(app).join("rootfs")
    }

    pub(crate) fn stage2(&self, app: &str) -> PathBuf {
        self.rootfs().join("opt/stage2").join(app)
    }

    /// Adds an app that runs a script.
    pub(crate) fn app(mut self, name: &str, script: &str) -> Self {
        self.add(name, script, json!({}));
        self.write_manifest();
        self
    }

    /// The same, with mounts of volumes.
    pub(crate) fn app_with(mut self, name: &str, script: &str, mounts: Value) -> Self {
        self.add(name, script, json!({ "mounts": mounts }));
        self.write_manifest();
        self
    }

    /// An empty volume of the pod.
    pub(crate) fn volume(mut self, name: &str) -> Self {
        self.volumes.push(json!({"name": name, "kind": "empty"}));
        self
    }

    /// A directory of the host, which is made empty, as a volume of the pod.
    pub(crate) fn host_volume(mut self, name: &str) -> Self {
        let source = self.data.path().join(name);
        fs::create_dir(&source).unwrap();
        self.volumes
            .push(json!({"name": name, "kind": "host", "source": source}));
        self
    }

    /// A file of such a volume.
    pub(crate) fn in_host_volume(&self, name: &str, file: &str) -> PathBuf {
        self.data.path().join(name).join(file)
    }

    /// Renders the image and enters the app into the manifest, which is still to be written, with these further fields.
    pub(crate) fn add(&mut self, name: &str, script: &str, fields: Value) {
        let program = json!({"exec": ["/bin/sh", "-c", script], "user": "0", "group": "0"});
        self.add_with(name, program);
        let app = self.apps.last_mut().and_then(Value::as_object_mut);
        app.unwrap().extend(fields.as_object().unwrap().clone());
    }

    /// The same of an app that is described whole.
    pub(crate) fn add_with(&mut self, name: &str, program: Value) {
        let stage2 = self.stage2(name);
        let root = stage2.join("rootfs");
        fs::create_dir_all(&root).unwrap();
        let tree = self.data.path().join("rkt/cas/tree");
        match self.rendered {
            Rendered::Copy => extract(&stage2),
            Rendered::Overlay => {
                if !tree.exists() {
                    fs::create_dir_all(&tree).unwrap();
                    extract(&tree);
                }
                fs::copy(tree.join("manifest"), stage2.join("manifest")).unwrap();
                self.overlay(&tree.join("rootfs"), &root, name);
            }
        }
        // What rkt does to images with an /etc.
        symlink("../proc/self/mounts", root.join("etc/mtab")).unwrap();
        let id = format!("sha512-{}", "a".repeat(128));
        self.apps.push(json!({
            "name": name,
            "image": {"name": "example.com/busybox", "id": id, "labels": null},
            "app": program,
        }));
    }

    /// Forgets an app, whose directory the caller has deleted.
    pub(crate) fn forget(&mut self, name: &str) {
        self.apps.retain(|app| app["name"] != name);
        self.write_manifest();
    }

    /// As Go writes it: an empty list is `null`.
    pub(crate) fn write_manifest(&self) {
        let list = |list: &[Value]| match list.is_empty() {
            true => Value::Null,
            false => json!(list),
        };
        let manifest = json!({
            "acVersion": "1.30.0",
            "acKind": "PodManifest",
            "apps": self.apps,
            "volumes": list(&self.volumes),
            "isolators": null,
            "annotations": [{"name": "coreos.com/rkt/stage1/mutable", "value": "false"}],
            "ports": [],
        });
        let new = self.directory.join("pod.new");
        fs::write(&new, manifest.to_string()).unwrap();
        fs::rename(new, self.directory.join("pod")).unwrap();
    }

    fn overlay(&mut self, lower: &Path, target: &Path, name: &str) {
        let layers = self.directory.join("overlay").join(name);
        let (upper, work) = (layers.join("upper"), layers.join("work"));
        for directory in [&upper, &work, &target.to_owned()] {
            fs::create_dir_all(directory).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let status = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(target)
            .status();
        assert!(status.unwrap().success(), "mount {options}");
        self.mounts.push(target.to_owned());
    }

    /// Calls `run`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Call {
        let entrypoint = self.rootfs().join(self.entrypoint("run"));
        let mut words = vec!["-c", RUN, "sh", entrypoint.to_str().unwrap()];
        words.extend(arguments);
        words.push(UUID);
        Call::of(&words).to("/bin/sh", &self.directory)
    }

    /// The same, and waits until it may be entered.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let running = self.run(arguments).start();
        let pid = self.directory.join("pid");
        // One that fails before ends the process that we would wait for.
        while !pid.exists() && Path::new("/proc").join(running.pid.to_string()).exists() {
            std::thread::yield_now();
        }
        running
    }

    /// Waits for what `status --wait-ready` waits for.
    pub(crate) fn wait_ready(&self) {
        let link = self.rootfs().join("rkt/supervisor-status");
        while !fs::read_link(&link).is_ok_and(|to| to == Path::new("ready")) {
            assert!(self.directory.join("pid").exists());
            std::thread::yield_now();
        }
    }

    /// `enter`, which rkt calls in the tree of the image, not in the pod's.
    pub(crate) fn enter(&self, app: &str, command: &[&str]) -> Call {
        let (pid, app) = (format!("--pid={}", self.pid()), format!("--appname={app}"));
        let mut words = vec![pid.as_str(), app.as_str(), "--"];
        words.extend(command);
        let rootfs = stage1_of_run().join("rootfs");
        Call::of(&words).to(rootfs.join(self.entrypoint("enter")), &self.directory)
    }

    /// An entrypoint that is called on the host and crosses by another: with these words, and three variables alone.
    pub(crate) fn cross(&self, name: &str, words: &[&str]) -> Call {
        let enter = self.rootfs().join(self.entrypoint("enter"));
        let program = self.rootfs().join(self.entrypoint(name));
        let variables = [
            format!("RKT_STAGE1_ENTERCMD={}", enter.display()),
            format!("RKT_STAGE1_ENTERPID={}", self.pid()),
            "PATH=/usr/bin:/bin".to_owned(),
        ];
        let mut all = vec!["-i"];
        all.extend(variables.iter().map(String::as_str));
        all.push(program.to_str().unwrap());
        all.extend(words);
        Call::of(&all).to("/usr/bin/env", &self.directory)
    }

    /// An entrypoint that gets the pod's UUID.
    pub(crate) fn call(&self, name: &str, words: &[&str]) -> Call {
        let mut all = words.to_vec();
        all.push(UUID);
        let program = self.rootfs().join(self.entrypoint(name));
        Call::of(&all).to(program, &self.directory)
    }

    /// Whether the image names such an entrypoint.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.annotation(name).is_some()
    }

    /// Relative to the image's root.
    fn entrypoint(&self, name: &str) -> String {
        let path = self.annotation(name).expect("the image has it");
        path.trim_start_matches('/').to_owned()
    }

    fn annotation(&self, name: &str) -> Option<String> {
        let manifest = fs::read(self.directory.join("stage1/manifest")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let name = format!("coreos.com/rkt/stage1/{name}");
        let annotations = manifest["annotations"].as_array().unwrap();
        let found = annotations.iter().find(|each| each["name"] == name)?;
        Some(found["value"].as_str().unwrap().to_owned())
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.directory.join("pid")).unwrap()
    }

    /// An app's exit status.
    pub(crate) fn status(&self, app: &str) -> String {
        let path = self.rootfs().join("rkt/status").join(app);
        fs::read_to_string(path).unwrap()
    }

    /// Whether the pod is alive.
    pub(crate) fn is_locked(&self) -> bool {
        let status = Command::new("flock")
            .args(["--shared", "--nonblock", "."])
            .arg("true")
            .current_dir(&self.directory)
            .status();
        !status.unwrap().success()
    }

    /// Unmounts an app's root, and deletes all that it has.
    pub(crate) fn delete_app(&mut self, name: &str) {
        let root = self.root_of(name);
        if let Some(at) = self.mounts.iter().position(|mount| *mount == root) {
            unmount(&self.mounts.remove(at), &[]);
        }
        fs::remove_dir_all(self.stage2(name)).unwrap();
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            unmount(mount, &["-l"]);
        }
    }
}

#[track_caller]
fn unmount(target: &Path, flags: &[&str]) {
    let status = Command::new("umount").args(flags).arg(target).status();
    let done = status.is_ok_and(|status| status.success());
    assert!(
        done || std::thread::panicking(),
        "umount {}",
        target.display()
    );
}

/// Unpacks the image: `manifest` and `rootfs`, with owners and modes.
fn extract(directory: &Path) {
    let status = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--numeric-owner"])
        .arg("--same-owner")
        .arg("--file")
        .arg(busybox_aci())
        .arg("--directory")
        .arg(directory)
        .status();
    assert!(status.unwrap().success());
}
