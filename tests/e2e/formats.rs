//! Every image format runs, and none is converted twice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bulkhead_tests::images::{
    busybox_aci, busybox_aci_bzip2, busybox_aci_gzip, busybox_aci_xz, busybox_docker_archive,
    busybox_oci, busybox_oci_archive,
};

use crate::bulkhead::{own_data, pod};
use crate::leftovers::files;

#[track_caller]
fn runs(image: &Path) {
    pod(image)
        .shell("echo ran from $FROM_IMAGE")
        .run()
        .exits(0)
        .prints("ran from image\n");
}

#[test]
fn oci_layout_of_umoci() {
    runs(&busybox_oci());
}

#[test]
fn oci_archive_of_skopeo() {
    runs(&busybox_oci_archive());
}

#[test]
fn docker_archive_of_skopeo() {
    runs(&busybox_docker_archive());
}

#[test]
fn aci_of_actool() {
    runs(&busybox_aci());
}

#[test]
fn compressed_acis() {
    runs(&busybox_aci_gzip());
    runs(&busybox_aci_bzip2());
    runs(&busybox_aci_xz());
}

#[test]
fn a_second_run_converts_nothing() {
    let data = own_data();
    let run = || {
        pod(&busybox_oci())
            .data(data.path())
            .exec("/bin/true")
            .run()
            .exits(0)
    };
    let store = || -> BTreeMap<_, _> {
        files(&data.path().join("cas"))
            .into_iter()
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "erofs")
            })
            .map(|path| {
                let about = fs::metadata(&path).expect("a file of the store");
                (path, (about.ino(), about.mtime_nsec(), about.size()))
            })
            .collect()
    };
    run();
    let first = store();
    assert_eq!(first.len(), 1, "one image in the store: {first:?}");
    run();
    assert_eq!(store(), first);
}

#[test]
fn one_image_in_two_compressions_is_one_image() {
    let data = own_data();
    pod(&busybox_aci())
        .data(data.path())
        .exec("/bin/true")
        .run()
        .exits(0);
    pod(&busybox_aci_xz())
        .data(data.path())
        .exec("/bin/true")
        .run()
        .exits(0);
    let images = files(&data.path().join("cas"));
    let images = images
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "erofs"));
    assert_eq!(images.count(), 1);
}
