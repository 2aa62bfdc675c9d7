//! What is in the store is listed, and found under its names.

use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::*;
use crate::test_archive::aci_with;

/// An ACI of this name, with this version.
fn versioned(name: &str, version: &str) -> Vec<u8> {
    let manifest = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.11", "name": name,
        "labels": [{"name": "version", "value": version}]
    });
    aci_with(&manifest, rootfs_tree())
}

#[track_caller]
fn find(bench: &Bench, name: &str) -> ImageId {
    bench.store.find(name).unwrap().image.id
}

fn problem(bench: &Bench, name: &str) -> String {
    bench.store.find(name).unwrap_err().to_string()
}

#[test]
fn an_image_is_found_by_id_prefix_name_and_version() {
    let bench = Bench::new();
    let one = bench
        .import(&bench.write("1.aci", &versioned("example.com/web", "1")))
        .id;
    let other = bench
        .import(&bench.write("db.aci", &versioned("example.com/db", "7")))
        .id;
    assert_eq!(find(&bench, one.as_str()), one);
    assert_eq!(find(&bench, &one.as_str()[..20]), one);
    assert_eq!(find(&bench, "example.com/web"), one);
    assert_eq!(find(&bench, "example.com/db:7"), other);
    let none = "no image in the store has the id or name \"example.com/db:8\"";
    assert_eq!(problem(&bench, "example.com/db:8"), none);
}

#[test]
fn what_several_images_could_mean_is_an_error_that_shows_them() {
    let bench = Bench::new();
    let mut ids: Vec<ImageId> = ["1", "2"]
        .map(|v| {
            let file = bench.write(v, &versioned("example.com/web", v));
            bench.import(&file).id
        })
        .into();
    ids.sort();
    let expected = format!(
        "\"example.com/web\" is ambiguous: 2 images have it: {}, {}",
        &ids[0].as_str()[..19],
        &ids[1].as_str()[..19]
    );
    assert_eq!(problem(&bench, "example.com/web"), expected);
    assert!(problem(&bench, "sha512-a").contains("two hexadecimal digits"));
    assert!(problem(&bench, "sha512-xyz").contains("two hexadecimal digits"));
}

#[test]
fn the_size_of_an_image_is_what_it_takes_on_the_disk() {
    let bench = Bench::new();
    let image = bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    let directory = image.erofs_path.parent().unwrap();
    let files = fs::read_dir(directory).unwrap();
    let blocks: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().blocks())
        .sum();
    let [entry] = &bench.store.list().unwrap()[..] else {
        panic!("one image")
    };
    assert_eq!(entry.image, image);
    assert_eq!(entry.disk_bytes, 512 * blocks);
}

#[test]
fn a_link_to_an_image_is_a_use_of_it() {
    let bench = Bench::new();
    let image = bench.import(&bench.write("a.aci", &aci(rootfs_tree())));
    let id = image.id.as_str();
    let before = bench.store.find(id).unwrap();
    fs::hard_link(&image.erofs_path, bench.dir.path().join("pod")).unwrap();
    let after = bench.store.find(id).unwrap();
    let linked = fs::metadata(&image.erofs_path).unwrap();
    let nanoseconds = after
        .last_used
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(
        i128::from(linked.ctime()) * 1_000_000_000 + i128::from(linked.ctime_nsec()),
        i128::try_from(nanoseconds.as_nanos()).unwrap()
    );
    assert!(after.last_used >= before.last_used);
    assert_eq!(after.imported, before.imported);
}

#[test]
fn names_of_registries_count_before_those_in_manifests() {
    let bench = Bench::new();
    let fetched = bench.import(&bench.write("1.aci", &versioned("other", "1")));
    let local = bench.import(&bench.write("2.aci", &versioned("docker.io/library/redis", "7")));
    assert_eq!(find(&bench, "docker.io/library/redis:7"), local.id);
    let reference: RegistryReference = "redis:7".parse().unwrap();
    bench
        .store
        .name(&reference.to_string(), &fetched, None)
        .unwrap();
    for name in ["redis:7", "docker://redis:7", "docker.io/library/redis:7"] {
        assert_eq!(find(&bench, name), fetched.id, "{name}");
    }
    assert_eq!(find(&bench, "docker.io/library/redis"), local.id);
}
