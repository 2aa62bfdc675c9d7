//! The busybox image, changed by a test: another manifest or configuration, further files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::images::{busybox_aci, busybox_oci};
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

/// An OCI layout in `directory`, which has no other yet, of busybox's layer, one above it of what `fill` makes, and these changes
/// by `umoci config`, where a flag that is given several times makes a list.
pub(crate) fn changed_layout(
    directory: &Path,
    fill: impl FnOnce(&Path),
    config: &[(&str, &str)],
) -> PathBuf {
    let (tree, layer) = (directory.join("layer"), directory.join("layer.tar"));
    fs::create_dir(&tree).expect("a new directory");
    fill(&tree);
    let entries = fs::read_dir(&tree).expect("the directory");
    let names = entries.map(|entry| text(entry.expect("an entry").file_name().as_ref()));
    let names: Vec<String> = names.collect();
    let (tree, layer) = (text(&tree), text(&layer));
    let mut words = vec!["-cf", &layer, "-C", &tree];
    words.extend(names.iter().map(String::as_str));
    tar(&words);

    let layout = directory.join("changed.oci");
    run("cp", &["-r", &text(&busybox_oci()), &text(&layout)]);
    let image = format!("{}:latest", layout.display());
    run("umoci", &["raw", "add-layer", "--image", &image, &layer]);
    let mut words = vec!["config", "--image", &image];
    words.extend(config.iter().flat_map(|(flag, value)| [flag, value]));
    run("umoci", &words);
    layout
}

fn tar(words: &[&str]) {
    run("tar", words);
}

fn run(program: &str, words: &[&str]) {
    let output = Command::new(program).args(words).output().expect(program);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
