//! Files that are no image: one clear error that names the file, 254, and nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_tests::images::{
    busybox_aci, busybox_aci_gzip, busybox_aci_xz, busybox_oci, busybox_oci_archive,
};

use crate::bulkhead::{Finished, own_data, pod};
use crate::leftovers::{Mounts, files};

/// Runs an image that must be refused, and looks at what is left.
#[track_caller]
pub(crate) fn refused(image: &Path) -> Finished {
    let data = own_data();
    refused_in(data.path(), image, |_| true)
}

/// The same for an image whose archive is right but whose manifest is not: it may be in the store,
/// whole.
#[track_caller]
pub(crate) fn refused_after_import(image: &Path) -> Finished {
    let data = own_data();
    let store = [
        data.path().join("cas/images"),
        data.path().join("cas/hints"),
    ];
    refused_in(data.path(), image, |path| {
        !store.iter().any(|whole| path.starts_with(whole))
    })
}

/// `unwanted` tells which files must not be in the data directory afterwards.
#[track_caller]
fn refused_in(data: &Path, image: &Path, unwanted: impl Fn(&Path) -> bool) -> Finished {
    let temporary = own_data();
    let mounts = Mounts::now();
    let end = pod(image)
        .data(data)
        .variable("TMPDIR", &temporary.path().display().to_string())
        .exec("/bin/true")
        .run()
        .exits(254)
        .prints("");
    mounts.are_all_that_is_left();
    let mut left: Vec<PathBuf> = files(temporary.path()).into_iter().collect();
    left.extend(files(data).into_iter().filter(|path| {
        let content = fs::metadata(path).is_ok_and(|about| about.is_file() && about.len() > 0);
        content && unwanted(path)
    }));
    if !left.is_empty() {
        end.fail(&format!("files are left: {left:?}"));
    }
    let name = image
        .file_name()
        .expect("an image has a name")
        .to_string_lossy()
        .into_owned();
    end.says(&name).does_not_say("panicked")
}

#[test]
fn a_missing_file() {
    refused(Path::new("/no/such/image.aci")).says("No such file or directory");
}

#[test]
fn an_empty_file_and_a_text() {
    let files = own_data();
    let empty = files.path().join("empty.aci");
    fs::write(&empty, "").unwrap();
    refused(&empty);
    let text = files.path().join("text.aci");
    fs::write(&text, "This is no image.\n".repeat(1000)).unwrap();
    refused(&text).says("neither an ACI, an OCI layout or archive, nor a docker archive");
}

#[test]
fn truncated_archives() {
    let files = own_data();
    for image in [
        busybox_aci(),
        busybox_aci_gzip(),
        busybox_aci_xz(),
        busybox_oci_archive(),
    ] {
        let whole = fs::read(&image).unwrap();
        let cut = files.path().join(image.file_name().unwrap());
        fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
        refused(&cut);
    }
}

#[test]
fn a_directory_that_is_no_layout() {
    let files = own_data();
    refused(files.path()).says("index.json");
}

#[test]
fn a_blob_whose_content_is_not_its_digest() {
    let files = own_data();
    let layout = files.path().join("damaged.oci");
    let copied = std::process::Command::new("cp")
        .args(["--recursive"])
        .args([busybox_oci(), layout.clone()])
        .status()
        .unwrap();
    assert!(copied.success());
    let largest = crate::leftovers::files(&layout)
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut blob = fs::read(&largest).unwrap();
    let middle = blob.len() / 2;
    blob[middle] ^= 1;
    fs::write(&largest, blob).unwrap();
    refused(&layout);
}

#[test]
fn a_device_is_not_read() {
    let data = own_data();
    pod(Path::new("/dev/zero"))
        .data(data.path())
        .run()
        .exits(254)
        .says("/dev/zero");
}
