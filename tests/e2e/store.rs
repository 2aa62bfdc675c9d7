//! The images of the store, and the pods that have them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, own_data, pod};
use crate::lifecycle::{call, running};

/// The ids of all images in a store.
fn ids(data: &Path) -> Vec<String> {
    let words = ["image", "list", "--full", "--no-legend", "--fields=id"];
    let end = call(data, words).run().exits(0);
    end.text().lines().map(str::to_owned).collect()
}

/// Brings an image into a store, and gives its id.
fn fetched(data: &Path) -> String {
    let image = busybox_oci();
    let image = image.to_str().expect("a path in UTF-8");
    call(data, ["fetch", image]).run().exits(0);
    let [id] = <[String; 1]>::try_from(ids(data)).expect("one image");
    id
}

#[test]
fn an_image_is_collected_when_no_pod_has_it() {
    let data = own_data();
    let id = fetched(data.path());
    let (pod, uuid) = running(data.path());
    call(data.path(), ["image", "gc", "--grace-period=0s"])
        .run()
        .exits(0);
    assert_eq!(ids(data.path()), [id]);
    call(data.path(), ["stop", &uuid]).run().exits(0);
    pod.finish().exits(7);
    call(data.path(), ["rm", &uuid]).run().exits(0);
    call(data.path(), ["image", "gc", "--grace-period=0s"])
        .run()
        .exits(0);
    assert_eq!(ids(data.path()), [""; 0]);
}

#[test]
fn a_pod_goes_on_when_its_image_is_removed() {
    let data = own_data();
    let id = fetched(data.path());
    let (running, uuid) = running(data.path());
    call(data.path(), ["image", "rm", &id]).run().exits(0);
    let dir = data.path().to_str().expect("a path in UTF-8");
    let words = ["--dir", dir, "enter", &uuid, "/bin/echo", "still here"];
    Call::of(&words).run().exits(0).shows("still here\n");
    call(data.path(), ["stop", &uuid]).run().exits(0);
    running.finish().exits(7);
    let again = pod(&busybox_oci()).data(data.path()).shell("echo again");
    again.run().exits(0).shows("again\n");
}

#[test]
fn a_damaged_image_is_found_and_made_anew() {
    let data = own_data();
    let id = fetched(data.path());
    let file = data
        .path()
        .join("cas/images")
        .join(&id)
        .join("rootfs.erofs");
    let middle = fs::metadata(&file).expect("the image").len() / 2;
    let image = OpenOptions::new().write(true).open(&file).expect("open it");
    image.write_all_at(b"damage", middle).expect("damage it");
    call(data.path(), ["image", "verify", &id])
        .run()
        .exits(254)
        .says("is damaged and was removed");
    let again = pod(&busybox_oci()).data(data.path()).shell("echo again");
    again.run().exits(0).shows("again\n");
    call(data.path(), ["image", "verify", &id]).run().exits(0);
}

#[test]
fn an_exported_image_runs() {
    let data = own_data();
    let id = fetched(data.path());
    let file = data.path().join("out.aci");
    let name = file.to_str().expect("a path in UTF-8");
    call(data.path(), ["image", "export", &id, name])
        .run()
        .exits(0);
    let again = pod(&file).data(data.path()).shell("echo from the archive");
    again.run().exits(0).shows("from the archive\n");
}
