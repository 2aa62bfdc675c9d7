//! Pods on disk, made by hand.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::found::FoundPod;
use crate::lifecycle::Phase;
use crate::stage1_image::Stage1Image;
use crate::uuid::Uuid;

pub(crate) struct Data(tempfile::TempDir);

impl Data {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A pod of one app, `web`, with everything that a pod of this place has.
    pub(crate) fn pod(&self, phase: Phase, uuid: Uuid) -> PathBuf {
        let path = phase.directory(self.path()).join(uuid.to_string());
        fs::create_dir_all(path.join("stage1/rootfs/rkt/status")).unwrap();
        fs::create_dir_all(path.join("appsinfo/web")).unwrap();
        let id = format!("sha512-{}", "0f".repeat(64));
        let manifest = json!({
            "acKind": "PodManifest", "acVersion": "0.8.11",
            "apps": [{"name": "web", "image": {"id": id}}]
        });
        fs::write(path.join("pod"), manifest.to_string()).unwrap();
        fs::write(path.join("pod-created"), "").unwrap();
        let manifest = json!({
            "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/web"
        });
        fs::write(path.join("appsinfo/web/manifest"), manifest.to_string()).unwrap();
        path
    }

    pub(crate) fn find(&self, uuid: Uuid) -> FoundPod {
        FoundPod::look_up(self.path(), uuid).unwrap().unwrap()
    }
}

/// Two files that stand for a stored image: its file system, and what that has to be.
pub(crate) fn image_files(directory: &Path) -> (PathBuf, PathBuf) {
    let files = (
        directory.join("image.erofs"),
        directory.join("image.verity"),
    );
    fs::write(&files.0, "erofs").unwrap();
    fs::write(&files.1, "verity").unwrap();
    files
}

/// A stage1 image whose entrypoint does nothing.
pub(crate) fn stage1_image(directory: &Path, takes_block_images: bool) -> Stage1Image {
    let rootfs = directory.join("rootfs");
    fs::create_dir_all(rootfs.join("rkt/status")).unwrap();
    fs::create_dir_all(rootfs.join("opt/stage2")).unwrap();
    fs::write(rootfs.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(rootfs.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut annotations = vec![
        json!({"name": "coreos.com/rkt/stage1/run", "value": "/run"}),
        json!({"name": "coreos.com/rkt/stage1/interface-version", "value": "6"}),
    ];
    if takes_block_images {
        annotations
            .push(json!({"name": "bulkhead.dev/stage1/takes-block-images", "value": "true"}));
    }
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "bulkhead.dev/stage1-test",
        "annotations": annotations
    });
    fs::write(directory.join("manifest"), manifest.to_string()).unwrap();
    Stage1Image::open(directory).unwrap()
}

/// A UUID that begins like this and goes on with zeros.
pub(crate) fn uuid(start: &str) -> Uuid {
    let zeros = "00000000-0000-4000-8000-000000000000";
    format!("{start}{}", &zeros[start.len()..]).parse().unwrap()
}

/// Holds the lock of a directory until it is dropped.
pub(crate) fn hold(directory: &Path) -> File {
    let file = File::open(directory).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}
