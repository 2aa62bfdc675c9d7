use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

fn image(directory: &Path) -> Stage1Image {
    fs::create_dir_all(directory.join("rootfs/kernel")).unwrap();
    fs::write(directory.join("rootfs/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(
        directory.join("rootfs/run"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    fs::write(directory.join("rootfs/kernel/vmlinux"), "kernel").unwrap();
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "bulkhead.dev/stage1-test",
        "annotations": [
            {"name": "coreos.com/rkt/stage1/run", "value": "/run"},
            {"name": "coreos.com/rkt/stage1/interface-version", "value": "6"},
            {"name": "bulkhead.dev/stage1/takes-block-images", "value": "true"}
        ]
    });
    fs::write(directory.join("manifest"), manifest.to_string()).unwrap();
    Stage1Image::open(directory).unwrap()
}

/// The names of the copies in a cache.
fn copies(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).unwrap().map(Result::unwrap);
    let directories = entries.filter(|entry| entry.path().is_dir());
    directories
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

fn name(near: &NearStage1) -> &str {
    near.image()
        .directory()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
}

#[test]
fn an_image_on_the_same_file_system_is_used_itself() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(&directory.path().join("image"));
    let near = NearStage1::of(&image, &directory.path().join("data")).unwrap();
    assert_eq!(near.image().directory(), image.directory());
    assert_eq!(copies(&directory.path().join("data/stage1")), [""; 0]);
}

#[test]
fn a_copy_is_made_once_and_again_when_a_file_changes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir_all(cache.join("new/left-by-a-killed-process")).unwrap();
    let image = image(&directory.path().join("image"));

    let first = NearStage1::copied(&image, &cache).unwrap();
    let second = NearStage1::copied(&image, &cache).unwrap();
    let copy = first.image().directory().to_owned();
    assert_eq!(second.image().directory(), copy);
    assert_eq!(copies(&cache), [name(&first)]);
    assert_eq!(
        fs::read(copy.join("rootfs/kernel/vmlinux")).unwrap(),
        b"kernel"
    );
    drop((first, second));

    fs::write(image.rootfs().join("kernel/vmlinux"), "another kernel").unwrap();
    let third = NearStage1::copied(&image, &cache).unwrap();
    assert_ne!(third.image().directory(), copy);
    assert_eq!(copies(&cache), [name(&third)]);
}

#[test]
fn a_copy_in_use_is_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let image = image(&directory.path().join("image"));
    let near = NearStage1::copied(&image, &cache).unwrap();
    let lock = File::open(cache.join("lock")).unwrap();
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err());
    drop(near);
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
}

#[test]
fn an_image_that_cannot_be_copied_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let image = image(&directory.path().join("image"));
    fs::remove_file(image.directory().join("manifest")).unwrap();
    let new = cache.join("new");
    let error = make_copy(&image, &cache, &cache.join("key"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!("copy stage1 image {}", image.directory().display())
    );
    assert!(!new.exists());
}
