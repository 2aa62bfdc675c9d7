use std::fs::File;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::*;
use crate::fixture_test::{image_files, stage1_image};

struct Fixture {
    directory: tempfile::TempDir,
    stage1: Stage1Image,
    manifest: PodManifest,
    images: Vec<AppImage>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stage1 = stage1_image(&directory.path().join("kvm"), true);
        let (erofs, verity) = image_files(directory.path());
        let app = |name: &str| json!({"name": name, "image": {"id": format!("sha512-{}", "00".repeat(64))}});
        let manifest = json!({
            "acKind": "PodManifest", "acVersion": "0.8.11", "apps": [app("one"), app("two")]
        });
        let images = ["one", "two"].map(|name| AppImage {
            app: name.parse().unwrap(),
            manifest: format!("manifest of {name}").into_bytes(),
            erofs: erofs.clone(),
            verity: verity.clone(),
        });
        Self {
            stage1,
            manifest: PodManifest::parse(manifest.to_string().as_bytes()).unwrap(),
            images: images.to_vec(),
            directory,
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Every pod directory, as `phase/uuid`.
    fn pods(&self) -> Vec<String> {
        let list = |phase: Phase| {
            let entries = fs::read_dir(phase.directory(&self.data())).unwrap();
            entries.map(move |entry| {
                format!(
                    "{}/{}",
                    phase.directory_name(),
                    entry.unwrap().file_name().display()
                )
            })
        };
        Phase::ALL.into_iter().flat_map(list).collect()
    }
}

/// Whether a shared lock can be had: how observers ask if a pod is alive.
fn is_locked(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

#[test]
fn a_pod_is_prepared_and_moved_to_run_under_one_lock() {
    let fixture = Fixture::new();
    let mut pod = Pod::create(&fixture.data()).unwrap();
    assert_eq!(fixture.pods(), [format!("prepare/{}", pod.uuid())]);
    assert!(is_locked(&pod.path()));

    pod.prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap();
    pod.to_run().unwrap();

    assert_eq!(fixture.pods(), [format!("run/{}", pod.uuid())]);
    assert!(is_locked(&pod.path()));
    let read = |file: &str| fs::read(pod.path().join(file)).unwrap();
    assert_eq!(read("pod"), fixture.manifest.to_json());
    assert_eq!(read("pod-created"), b"");
    assert_eq!(read("appsinfo/one/manifest"), b"manifest of one");
    assert_eq!(
        read("stage1/rootfs/opt/stage2/two/manifest"),
        b"manifest of two"
    );
    assert_eq!(
        read("stage1/manifest"),
        fs::read(fixture.stage1.directory().join("manifest")).unwrap()
    );
    assert!(pod.path().join("stage1/rootfs/rkt/status").is_dir());
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    for app in ["one", "two"] {
        let stage2 = pod.path().join("stage1/rootfs/opt/stage2").join(app);
        let image = &fixture.images[0];
        for (name, original) in [("erofs", &image.erofs), ("verity", &image.verity)] {
            let file = stage2.join(format!("rootfs.{name}"));
            assert_eq!(inode(&file), inode(original));
        }
    }
    let mode = fs::metadata(pod.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_stage1_without_block_images_has_files_of_its_own_and_empty_roots() {
    let fixture = Fixture::new();
    let stage1 = stage1_image(&fixture.directory.path().join("other"), false);
    let mut pod = Pod::create(&fixture.data()).unwrap();
    pod.prepare(&fixture.manifest, &stage1, &fixture.images)
        .unwrap();
    for image in &fixture.images {
        let root = pod.root_of(&image.app);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        assert!(!root.with_file_name("rootfs.erofs").exists());
        assert!(root.with_file_name("manifest").exists());
    }
    let run = |root: PathBuf| fs::metadata(root.join("run")).unwrap();
    let (image, own) = (run(stage1.rootfs()), run(pod.path().join("stage1/rootfs")));
    assert_ne!(image.ino(), own.ino());
    assert_eq!(own.permissions().mode() & 0o777, 0o755);
}

#[test]
fn stage1_is_told_in_a_file_of_the_pod_s_own() {
    let fixture = Fixture::new();
    let mut pod = Pod::create(&fixture.data()).unwrap();
    pod.prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap();
    pod.tell_stage1("etc/rkt-hosts", b"::1 a\n").unwrap();
    let told = pod.path().join("stage1/rootfs/etc/rkt-hosts");
    assert_eq!(fs::read(told).unwrap(), b"::1 a\n");
    // A file of the image, which other pods have too.
    let error = pod.tell_stage1("run", b"").unwrap_err();
    assert!(error.to_string().starts_with("create "), "{error}");
    let program = fixture.stage1.rootfs().join("run");
    assert_eq!(fs::read(program).unwrap(), b"#!/bin/sh\n");
}

#[test]
fn a_pod_that_is_dropped_leaves_nothing() {
    let fixture = Fixture::new();
    drop(Pod::create(&fixture.data()).unwrap());
    assert_eq!(fixture.pods(), [""; 0]);

    let mut pod = Pod::create(&fixture.data()).unwrap();
    pod.prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap();
    pod.to_run().unwrap();
    pod.discard().unwrap();
    assert_eq!(fixture.pods(), [""; 0]);
    // The files it was linked from are still there.
    assert_eq!(fs::read(&fixture.images[0].erofs).unwrap(), b"erofs");
    assert!(Stage1Image::open(fixture.stage1.directory()).is_ok());
}

#[test]
fn a_failed_preparation_leaves_nothing() {
    let mut fixture = Fixture::new();
    fixture.images[1].erofs = fixture.directory.path().join("absent");
    let mut pod = Pod::create(&fixture.data()).unwrap();
    let error = pod
        .prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("link files into pod {}", pod.uuid())
    );
    drop(pod);
    assert_eq!(fixture.pods(), [""; 0]);

    fixture.images.pop();
    let mut pod = Pod::create(&fixture.data()).unwrap();
    let error = pod
        .prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("pod {}: app \"two\" has no image", pod.uuid())
    );
    drop(pod);
    assert_eq!(fixture.pods(), [""; 0]);
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let fixture = Fixture::new();
    let error = Pod::create(&fixture.images[0].erofs)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("create directory /"), "{error}");
    assert!(error.ends_with("image.erofs/pods/embryo"), "{error}");
}

#[test]
fn a_prepared_pod_stays_and_is_run_once() {
    let fixture = Fixture::new();
    let mut pod = Pod::create(&fixture.data()).unwrap();
    pod.prepare(&fixture.manifest, &fixture.stage1, &fixture.images)
        .unwrap();
    let uuid = pod.to_prepared().unwrap();
    assert_eq!(fixture.pods(), [format!("prepared/{uuid}")]);
    let path = Phase::Prepared
        .directory(&fixture.data())
        .join(uuid.to_string());
    assert!(!is_locked(&path));

    let take = || Pod::take_prepared(&fixture.data(), uuid).unwrap();
    let mut pod = take().unwrap();
    assert!(is_locked(&path) && take().is_none());
    drop(pod);
    assert_eq!(fixture.pods(), [format!("prepared/{uuid}")]);

    pod = take().unwrap();
    pod.to_run().unwrap();
    assert!(is_locked(&pod.path()) && take().is_none());
    drop(pod);
    assert_eq!(fixture.pods(), [format!("run/{uuid}")]);
}

/// Whoever collects takes an embryo that is not locked for a dead one.
#[test]
fn pods_are_made_while_embryos_are_collected() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::garbage::{Garbage, keep_makers_out, pods_in};

    let fixture = Fixture::new();
    let data = fixture.data();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let Some(_no_makers) = keep_makers_out(&data).unwrap() else {
                    continue;
                };
                for uuid in pods_in(&data, Phase::Embryo).unwrap() {
                    let garbage = Garbage::take(&data, Phase::Embryo, uuid).unwrap();
                    garbage.map(Garbage::delete).transpose().unwrap();
                }
            }
        });
        let pods: Vec<_> = (0..500).map(|_| Pod::create(&data)).collect();
        done.store(true, Ordering::Relaxed);
        for pod in pods {
            let pod = pod.unwrap();
            assert!(is_locked(&pod.path()));
        }
    });
    assert_eq!(fixture.pods(), [""; 0]);
}
