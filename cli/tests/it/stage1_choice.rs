//! Which stage1 image runs a pod, and what is written down of it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::Output;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::fixture::{Fixture, assert_error, list, without_warnings_of_signatures};

/// Runs a pod of one app with these flags of the pod.
fn run(fixture: &Fixture, flags: &[&str]) -> Output {
    let image = fixture.aci("app", |_| {});
    let mut command = fixture.command();
    command.arg("run").args(flags).arg(image);
    without_warnings_of_signatures(command.output().unwrap())
}

#[track_caller]
fn runs(fixture: &Fixture, flags: &[&str]) {
    let output = run(fixture, flags);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(42));
}

/// Ids of the images in the store.
fn trees(fixture: &Fixture) -> Vec<String> {
    let trees = list(&fixture.path("data/cas/tree"));
    let names = trees.iter().map(|path| path.file_name().unwrap());
    let names = names.map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "lock").collect()
}

#[test]
fn a_file_is_unpacked_into_the_store_and_found_there_in_every_way() {
    let fixture = Fixture::new();
    fixture.change_stage1(|manifest| {
        manifest["labels"] = json!([{"name": "version", "value": "1.0"}]);
    });
    let file = fixture.pack_stage1("stage1.aci").display().to_string();
    fs::remove_dir_all(fixture.path("stage1")).unwrap();
    runs(&fixture, &["--stage1-path", &file]);
    let ids = trees(&fixture);
    let [id] = ids.as_slice() else {
        panic!("one tree, not {ids:?}")
    };
    let recorded = fs::read_to_string(fixture.pod().join("stage1TreeStoreID")).unwrap();
    assert_eq!(recorded, *id);
    let inode = |path: &str| fs::metadata(fixture.path(path)).unwrap().ino();
    let of_pod = fs::metadata(fixture.pod().join("stage1/rootfs/run")).unwrap();
    let of_tree = format!("data/cas/tree/{id}/rootfs/run");
    assert_eq!(of_pod.ino(), inode(&of_tree), "a link, and no copy");

    runs(&fixture, &[&format!("--stage1-url=file://{file}")]);
    fs::remove_file(&file).unwrap();
    runs(&fixture, &["--stage1-name=bulkhead.dev/stage1-test:1.0"]);
    runs(&fixture, &["--stage1-name", "bulkhead.dev/stage1-test"]);
    runs(&fixture, &["--stage1-hash", id]);
    runs(&fixture, &["--stage1-hash", &id[..12]]);
    assert_eq!(trees(&fixture).len(), 1);
    assert_eq!(fixture.pods().len(), 6);
}

#[test]
fn of_several_versions_the_newest_is_meant_by_a_name() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for (age, version) in [(100, "1"), (200, "2")] {
        fixture.change_stage1(|manifest| {
            manifest["labels"] = json!([{"name": "version", "value": version}]);
        });
        let file = fixture.pack_stage1("s.aci").display().to_string();
        runs(&fixture, &["--stage1-path", &file]);
        let added = trees(&fixture).into_iter().find(|id| !ids.contains(id));
        let id = added.unwrap();
        let manifest = fixture.path(&format!("data/cas/tree/{id}/manifest"));
        let then = SystemTime::now() - Duration::from_secs(age);
        File::open(manifest).unwrap().set_modified(then).unwrap();
        ids.push(id);
    }
    let image_of = |flag: &str| {
        let before = fixture.pods();
        runs(&fixture, &[flag]);
        let mut pods = fixture.pods();
        pods.retain(|pod| !before.contains(pod));
        let file = fixture.path("data/pods").join(&pods[0]);
        fs::read_to_string(file.join("stage1TreeStoreID")).unwrap()
    };
    assert_eq!(image_of("--stage1-name=bulkhead.dev/stage1-test"), ids[0]);
    assert_eq!(image_of("--stage1-name=bulkhead.dev/stage1-test:2"), ids[1]);
}

#[test]
fn an_image_that_lies_in_a_directory_has_no_id() {
    let fixture = Fixture::new();
    let directory = fixture.path("stage1").display().to_string();
    runs(&fixture, &["--stage1", &directory]);
    assert!(!fixture.pod().join("stage1TreeStoreID").exists());
    assert_eq!(trees(&fixture), [""; 0]);
}

#[test]
fn installed_images_are_where_the_configuration_says() {
    let fixture = Fixture::new();
    let installed = fixture.path("installed");
    fs::create_dir(&installed).unwrap();
    fixture.pack_stage1("installed/packed.aci");
    fs::rename(fixture.path("stage1"), installed.join("plain")).unwrap();
    fixture.configure("user/paths.d/a.json", &json!({"stage1-images": installed}));
    let user = format!("--user-config={}", fixture.path("user").display());
    runs(&fixture, &[&user, "--stage1-from-dir=packed.aci"]);
    runs(&fixture, &[&user, "--stage1-from-dir", "plain"]);
    runs(&fixture, &[&user, "--stage1", "plain"]);
    // Not in the store, for it was not packed.
    fs::remove_dir_all(fixture.path("data/cas/tree")).unwrap();
    runs(&fixture, &[&user, "--stage1-name=bulkhead.dev/stage1-test"]);
    let absent = run(&fixture, &[&user, "--stage1-from-dir=absent.aci"]);
    let expected = format!(
        "run: no stage1 image \"absent.aci\" in {}\n",
        installed.display()
    );
    assert_error(&absent, &expected);
    for outside in ["../stage1", "/etc/passwd", "..", ""] {
        let output = run(&fixture, &[&user, &format!("--stage1-from-dir={outside}")]);
        let expected = format!(
            "run: \"{outside}\" is not the name of a file in the directory of installed stage1 images\n"
        );
        assert_error(&output, &expected);
    }
}

#[test]
fn the_configuration_chooses_when_no_flag_does() {
    let fixture = Fixture::new();
    let packed = fixture.pack_stage1("default.aci");
    fixture.configure("local/stage1.d/a.json", &json!({"location": packed}));
    let local = format!("--local-config={}", fixture.path("local").display());
    runs(&fixture, &[&local]);
    assert_eq!(trees(&fixture).len(), 1);

    // A name that is in the store needs no location.
    fixture.configure(
        "local/stage1.d/a.json",
        &json!({"name": "bulkhead.dev/stage1-test", "version": "1", "location": "docker://example.com/x"}),
    );
    let output = run(&fixture, &[&local]);
    let expected = "run: stage1 image docker://example.com/x: \
                    a stage1 image is an ACI, and registries have none\n";
    assert_error(&output, expected);
    fixture.change_stage1(|manifest| {
        manifest["labels"] = json!([{"name": "version", "value": "1"}]);
    });
    let packed = fixture.pack_stage1("other.aci").display().to_string();
    runs(&fixture, &[&local, "--stage1-path", &packed]);
    runs(&fixture, &[&local]);

    fixture.configure(
        "local/stage1.d/a.json",
        &json!({"name": "example.com/absent", "version": "1"}),
    );
    let output = run(&fixture, &[&local]);
    let expected = "run: no stage1 image example.com/absent:1 in the store or installed; \
                    --stage1-path brings one into the store\n";
    assert_error(&output, expected);
    let directory = fixture.path("stage1").display().to_string();
    runs(&fixture, &[&local, "--stage1", &directory]);
}

#[test]
fn what_is_not_there_is_named_and_leaves_nothing() {
    let fixture = Fixture::new();
    let refused = |flag: &str, expected: &str| {
        let output = run(&fixture, &[flag]);
        assert_error(&output, &format!("run: {expected}\n"));
        assert_eq!(fixture.pods(), [""; 0]);
    };
    refused(
        "--stage1-path=absent.aci",
        "stage1 image \"absent.aci\"\n  └─cannot import image absent.aci\n    \
         └─cannot open absent.aci\n      └─No such file or directory (os error 2)",
    );
    refused(
        "--stage1-name=example.com/absent",
        "no stage1 image example.com/absent in the store or installed; \
         --stage1-path brings one into the store",
    );
    refused(
        "--stage1-hash=sha512-0123",
        "no stage1 image in the store has the id sha512-0123, or one that begins so",
    );
    for wrong in ["0123", "sha512-", "sha512-0", "sha512-xyz", "sha512-../../"] {
        let expected = format!(
            "\"{wrong}\" is not the id of an image, sha512- and at least two hexadecimal digits"
        );
        refused(&format!("--stage1-hash={wrong}"), &expected);
    }
    refused(
        "--stage1-url=docker://stage1",
        "stage1 image docker://stage1: a stage1 image is an ACI, and registries have none",
    );
    refused(
        "--stage1-url=stage1.aci",
        "stage1 image stage1.aci: it has no scheme; --stage1-path takes the name of a file",
    );
}

#[test]
fn one_flag_chooses() {
    let fixture = Fixture::new();
    let flags = [
        "--stage1=a",
        "--stage1-path=a",
        "--stage1-url=a",
        "--stage1-name=a",
        "--stage1-hash=a",
        "--stage1-from-dir=a",
    ];
    for (index, first) in flags.iter().enumerate() {
        for second in &flags[index + 1..] {
            let output = run(&fixture, &[first, second]);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(254), "{stderr}");
            assert!(stderr.contains("cannot be used with"), "{stderr}");
        }
    }
}

#[test]
fn gc_removes_images_that_no_pod_was_made_of_and_nobody_used_for_a_day() {
    let fixture = Fixture::new();
    let mut ids = Vec::new();
    for name in ["kept", "unused", "young"] {
        fixture.change_stage1(|manifest| manifest["name"] = json!(format!("example.com/{name}")));
        let file = fixture.pack_stage1("s.aci").display().to_string();
        runs(&fixture, &["--stage1-path", &file]);
        let added = trees(&fixture).into_iter().find(|id| !ids.contains(id));
        ids.push(added.unwrap());
    }
    let day = Duration::from_secs(25 * 3600);
    for id in &ids[..2] {
        let tree = File::open(fixture.path(&format!("data/cas/tree/{id}"))).unwrap();
        tree.set_modified(SystemTime::now() - day).unwrap();
    }
    for pod in fixture.pods() {
        let path = fixture.path("data/pods").join(pod);
        let id = fs::read_to_string(path.join("stage1TreeStoreID")).unwrap();
        if id != ids[0] {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let output = fixture.bulkhead(&["gc", "--mark-only"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(trees(&fixture).len(), 3, "nothing is deleted yet");
    let output = fixture.bulkhead(&["gc"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = format!("gc: removed stage1 image {}, which nobody used\n", ids[1]);
    assert!(stderr.contains(&expected), "{stderr}");
    let mut left = [ids[0].clone(), ids[2].clone()];
    left.sort();
    assert_eq!(trees(&fixture), left);
}
