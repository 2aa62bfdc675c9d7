//! The busybox image, changed by a test: another manifest, further files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::images::busybox_aci;
use serde_json::Value;

/// An App Container image in `directory`, which has no other yet, of busybox's manifest and root as `change` leaves them.
pub(crate) fn changed_busybox(directory: &Path, change: impl FnOnce(&mut Value, &Path)) -> PathBuf {
    let (tree, image) = (directory.join("tree"), directory.join("changed.aci"));
    fs::create_dir(&tree).expect("a new directory");
    tar(&["-xpf", &text(&busybox_aci()), "-C", &text(&tree)]);
    let file = tree.join("manifest");
    let json = fs::read(&file).expect("the manifest of busybox");
    let mut manifest = serde_json::from_slice(&json).expect("JSON");
    change(&mut manifest, &tree.join("rootfs"));
    fs::write(&file, manifest.to_string()).expect("the manifest");
    tar(&[
        "-cf",
        &text(&image),
        "-C",
        &text(&tree),
        "manifest",
        "rootfs",
    ]);
    image
}

fn tar(words: &[&str]) {
    let output = Command::new("tar").args(words).output().expect("tar");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tar {words:?}: {said}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
