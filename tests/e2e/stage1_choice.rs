//! Which stage1 image runs a pod: as a file, by its id, by its name, by the configuration; and images of other versions of the interface.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use bulkhead_tests::images::busybox_oci;
use serde_json::{Value, json};

use crate::bulkhead::{Call, Finished, STAGE1_VARIABLE, bulkhead, dist, own_data};

/// What the scratch disk of an unpacked image takes at most: of 336 MB all but some blocks are holes.
const SCRATCH_BYTES_MAX: u64 = 1 << 20;

fn installed() -> PathBuf {
    dist().join("lib/bulkhead/stage1")
}

/// The stage1 image of this run as one file.
fn packed() -> PathBuf {
    installed().join(format!("{}.aci", flavor()))
}

/// The name of the installed stage1 image of this run's pods.
fn flavor() -> String {
    std::env::var(STAGE1_VARIABLE).unwrap_or_else(|_| "kvm".to_owned())
}

/// A pod with this choice, which must run.
#[track_caller]
fn runs(data: &Path, choice: &str) {
    run(
        data,
        &[choice],
        "echo hello > /file; cat /file; df / | grep -c 101",
    )
    .exits(0)
    .prints("hello\n1\n");
}

/// A shell script in a pod with these flags and no others.
fn run(data: &Path, flags: &[&str], script: &str) -> Finished {
    let dir = format!("--dir={}", data.display());
    let image = busybox_oci().display().to_string();
    let app = [&*image, "--exec=/bin/sh", "--", "-c", script];
    Call::of(&[&[&*dir, "run"], flags, &app].concat()).run()
}

/// The ids of the images in the store.
fn trees(data: &Path) -> Vec<String> {
    let entries = fs::read_dir(data.join("cas/tree")).expect("the trees");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

/// What pods were made of.
fn recorded(data: &Path) -> Vec<String> {
    let pods = fs::read_dir(data.join("pods/run")).expect("pods");
    let files = pods.map(|pod| pod.unwrap().path().join("stage1TreeStoreID"));
    files
        .map(|file| fs::read_to_string(file).expect("its stage1's id"))
        .collect()
}

#[test]
fn a_packed_image_is_unpacked_once_and_runs_pods_by_file_id_and_name() {
    let own = own_data();
    let data = own.path();
    runs(data, &format!("--stage1-path={}", packed().display()));
    let ids = trees(data);
    assert_eq!(ids.len(), 1, "{ids:?}");
    let tree = data.join("cas/tree").join(&ids[0]);
    let scratch = fs::metadata(tree.join("rootfs/scratch.ext4")).expect("the scratch disk");
    let taken = scratch.blocks() * 512;
    assert!(taken <= SCRATCH_BYTES_MAX, "{taken} bytes");

    runs(data, &format!("--stage1-hash={}", &ids[0][..20]));
    let name = format!("bulkhead.dev/stage1-{}", flavor());
    runs(
        data,
        &format!("--stage1-name={name}:{}", env!("CARGO_PKG_VERSION")),
    );
    runs(data, &format!("--stage1-url=file://{}", packed().display()));
    assert_eq!(trees(data), ids);
    assert_eq!(recorded(data), vec![ids[0].clone(); 4]);
}

#[test]
fn an_installed_file_is_chosen_by_its_name_and_a_pod_is_prepared_of_it() {
    let own = own_data();
    let choice = format!("--stage1-from-dir={}.aci", flavor());
    let dir = format!("--dir={}", own.path().display());
    let image = busybox_oci().display().to_string();
    let prepared = bulkhead([&dir, "prepare", &choice, &image, "--exec=/bin/true"])
        .run()
        .exits(0);
    let uuid = prepared.text();
    // The pod has links of its own to what it needs.
    fs::remove_dir_all(own.path().join("cas/tree")).unwrap();
    bulkhead([&dir, "run-prepared", uuid.trim()]).run().exits(0);
    assert_eq!(recorded(own.path()).len(), 1);
}

#[test]
fn the_configuration_chooses_and_a_flag_wins() {
    let own = own_data();
    let directory = own.path().join("configuration/stage1.d");
    fs::create_dir_all(&directory).unwrap();
    let file = json!({"rktKind": "stage1", "rktVersion": "v1", "location": packed()});
    fs::write(directory.join("default.json"), file.to_string()).unwrap();
    let user = format!(
        "--user-config={}",
        own.path().join("configuration").display()
    );
    runs(own.path(), &user);
    assert_eq!(recorded(own.path()), trees(own.path()));
    run(own.path(), &[&user, "--stage1=absent"], "true")
        .exits(254)
        .says("no stage1 image \"absent\"");
    bulkhead([&user, "config"])
        .run()
        .exits(0)
        .shows(&packed().display().to_string());
}

/// The stage1 image of this run with another manifest.
fn changed(directory: &Path, change: impl FnOnce(&mut Vec<Value>)) -> String {
    let image = installed().join(flavor());
    let manifest = fs::read(image.join("manifest")).expect("its manifest");
    let mut manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    change(manifest["annotations"].as_array_mut().expect("annotations"));
    fs::write(directory.join("manifest"), manifest.to_string()).unwrap();
    symlink(image.join("rootfs"), directory.join("rootfs")).unwrap();
    format!("--stage1={}", directory.display())
}

fn annotate(annotations: &mut Vec<Value>, name: &str, value: &str) {
    let name = format!("coreos.com/rkt/stage1/{name}");
    annotations.retain(|annotation| annotation["name"] != name.as_str());
    annotations.push(json!({"name": name, "value": value}));
}

#[test]
fn an_image_of_a_lower_version_is_called_without_what_it_does_not_know() {
    let own = own_data();
    let image = tempfile::tempdir_in(own.path()).unwrap();
    let choice = changed(image.path(), |annotations| {
        annotate(annotations, "interface-version", "3");
    });
    let script = "hostname; cat /etc/resolv.conf 2>/dev/null | grep -c 10.0.0.1";
    run(own.path(), &[&choice, "--hostname=box", "--dns=10.0.0.1"], script)
        .says("speaks version 3 of the interface, and --dns-conf-mode came with version 4: it is left out")
        .prints("box\n0\n");
    bulkhead([
        &format!("--dir={}", own.path().display()),
        "app",
        "sandbox",
        &choice,
    ])
    .run()
    .exits(254)
    .says("speaks version 3 of the interface")
    .says("--mutable");
}

#[test]
fn an_image_that_is_not_whole_is_refused_and_leaves_nothing() {
    for (name, value, problem) in [
        ("interface-version", "7", "is none of 1 to 6"),
        ("attach", "/absent", "/absent is not in the image"),
        ("app/add", "/rkt", "/rkt is not an executable file"),
        ("stop", "/../stop", "is not a path without"),
        ("gc", "gc", "is not an absolute path"),
    ] {
        let own = own_data();
        let image = tempfile::tempdir_in(own.path()).unwrap();
        let choice = changed(image.path(), |annotations| {
            annotate(annotations, name, value)
        });
        run(own.path(), &[&choice], "true")
            .exits(254)
            .says(&format!("coreos.com/rkt/stage1/{name}"))
            .says(problem);
        assert!(!own.path().join("pods").exists(), "a pod was made");
    }
}
