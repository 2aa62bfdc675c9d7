use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::fixture_test::{Data, uuid};
use crate::found::FoundPod;
use crate::lifecycle::Phase;

/// A pod that has ended, and where its app has its files.
fn pod(data: &Data) -> (FoundPod, PathBuf) {
    let files = data
        .pod(Phase::Run, uuid("a"))
        .join("stage1/rootfs/opt/stage2/app");
    fs::create_dir_all(&files).unwrap();
    let pod = FoundPod::look_up(data.path(), uuid("a")).unwrap();
    (pod.unwrap(), files)
}

#[test]
fn a_pod_of_block_images_has_no_directory() {
    let data = Data::new();
    let (pod, files) = pod(&data);
    fs::write(files.join("rootfs.erofs"), "").unwrap();
    let app = "app".parse().unwrap();
    assert!(pod.app_directory(&app).unwrap().is_none());
}

#[test]
fn no_link_is_taken_for_the_directory() {
    let data = Data::new();
    let (pod, files) = pod(&data);
    let app = "app".parse().unwrap();
    symlink("/etc", files.join("rootfs")).unwrap();
    let error = pod.app_directory(&app).unwrap_err();
    assert!(error.to_string().contains("app/rootfs"), "{error}");

    fs::remove_dir_all(&files).unwrap();
    symlink("/", &files).unwrap();
    assert!(pod.app_directory(&app).is_err());
}
