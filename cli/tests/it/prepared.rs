//! Pods that are made by one command and run by another.

use std::fs;

use crate::fixture::{Fixture, assert_error};

/// Makes a pod, and gives its UUID.
fn prepare(fixture: &Fixture, words: &[&str]) -> String {
    let output = fixture.bulkhead(&[&["prepare"], words].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let uuid = String::from_utf8(output.stdout).unwrap();
    uuid.strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn a_prepared_pod_waits_for_its_run() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let uuid = prepare(
        &fixture,
        &["--quiet", "--set-env=TZ=UTC", &image, "--name=web"],
    );
    assert_eq!(fixture.pods(), [format!("prepared/{uuid}")]);
    assert!(!fixture.path("record").exists(), "stage1 was not executed");
    assert_eq!(fixture.pod_manifest()["apps"][0]["name"], "web");
    // It has all that it needs.
    fs::remove_dir_all(fixture.path("stage1")).unwrap();

    let words = [
        "run-prepared",
        "--hostname=box",
        "--interactive",
        &uuid[..8],
    ];
    let output = fixture.bulkhead(&words);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(fixture.pods(), [format!("run/{uuid}")]);
    let expected = ["--net=none", "--interactive", "--hostname=box", &uuid];
    assert_eq!(fixture.recorded("argument"), expected);
    let pod = fixture.pod().canonicalize().unwrap().display().to_string();
    assert_eq!(fixture.recorded("directory"), [pod.as_str()]);
    assert_eq!(fixture.recorded("lock-directory"), [pod]);
    assert_eq!(fixture.recorded("observer"), ["1"], "the pod is locked");

    let again = fixture.bulkhead(&["run-prepared", &uuid]);
    assert_error(
        &again,
        &format!("run-prepared: pod {uuid} is not prepared: it is exited\n"),
    );
}

#[test]
fn what_makes_no_sense_leaves_the_pod_prepared() {
    let fixture = Fixture::new();
    let (web, db) = (fixture.aci("web", |_| {}), fixture.aci("db", |_| {}));
    let uuid = prepare(&fixture, &[&web, &db]);
    let output = fixture.bulkhead(&["run-prepared", "--interactive", &uuid]);
    assert_error(
        &output,
        "run-prepared: --interactive is for one app, this pod has 2\n",
    );
    fs::remove_file(fixture.pod().join("stage1/rootfs/run")).unwrap();
    let output = fixture.bulkhead(&["run-prepared", &uuid]);
    let expected = format!("run-prepared: open the stage1 image of pod {uuid}\n");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert_eq!(fixture.pods(), [format!("prepared/{uuid}")]);
    let output = fixture.bulkhead(&["run-prepared", "0123"]);
    assert_error(
        &output,
        "run-prepared: no pod has the UUID 0123, or one that begins so\n",
    );
}

#[test]
fn a_preparation_that_fails_leaves_nothing() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |manifest| {
        manifest["app"] = serde_json::Value::Null;
    });
    let output = fixture.bulkhead(&["prepare", &image]);
    assert_eq!(output.status.code(), Some(254));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("prepare: "));
    assert_eq!(fixture.pods(), [""; 0]);
}
