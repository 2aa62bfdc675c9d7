//! Pods whose apps come and go, as far as it is the command's work.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Output;

use crate::fixture::{Fixture, assert_error};
use crate::pods::{call, hold, succeeds, text, uuid};

/// What `app sandbox` leaves when its stage1 has ended at once, with these flags.
fn sandbox(fixture: &Fixture, flags: &[&str]) -> PathBuf {
    let stage1 = format!("--stage1={}", fixture.path("stage1").display());
    let output = call(fixture, &[&["app", "sandbox", &stage1], flags].concat());
    assert_eq!(output.status.code(), Some(42), "{output:?}");
    fixture.pod()
}

/// The same, as if it were running and ready.
fn ready(fixture: &Fixture) -> (PathBuf, String, fs::File) {
    let pod = sandbox(fixture, &[]);
    fs::write(pod.join("pid"), "4711").unwrap();
    symlink("ready", pod.join("stage1/rootfs/rkt/supervisor-status")).unwrap();
    let (id, lock) = (uuid(&pod), hold(&pod));
    (pod, id, lock)
}

fn last_line(output: &Output) -> String {
    text(&output.stderr)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_sandbox_has_no_apps_and_says_that_it_is_mutable() {
    let fixture = Fixture::new();
    let flags = ["--memory=1Gi", "--annotation=a=b", "--hostname=box"];
    sandbox(&fixture, &flags);
    let arguments = fixture.recorded("argument");
    assert_eq!(
        arguments[..4],
        [
            "--net=none",
            "--hostname=box",
            "--mutable",
            "--block-images"
        ]
    );
    let manifest = fixture.pod_manifest();
    assert_eq!(manifest["apps"], serde_json::json!([]));
    let annotations = serde_json::json!([
        {"name": "a", "value": "b"},
        {"name": "coreos.com/rkt/stage1/mutable", "value": "true"}
    ]);
    assert_eq!(manifest["annotations"], annotations);
    assert_eq!(manifest["isolators"][0]["name"], "resource/memory");
}

#[test]
fn an_app_is_in_the_pod_before_stage1_hears_of_it() {
    let fixture = Fixture::new();
    let (pod, id, _lock) = ready(&fixture);
    let web = fixture.aci("web", |_| {});
    let volume = "--mnt-volume=d,kind=empty,target=/d";
    let add = ["app", "add", &id, "--user=7", &web, volume, "--", "one"];
    succeeds(&call(&fixture, &add));
    let app = &fixture.pod_manifest()["apps"][0];
    assert_eq!(app["name"], "web");
    let exec = serde_json::json!(["/bin/app", "from-image", "one"]);
    assert_eq!(
        (&app["app"]["exec"], &app["app"]["user"]),
        (&exec, &"7".into())
    );
    assert_eq!(app["mounts"][0]["appVolume"]["kind"], "empty");
    assert!(
        pod.join("stage1/rootfs/opt/stage2/web/rootfs.erofs")
            .exists()
    );
    for verb in ["start", "stop", "rm"] {
        succeeds(&call(&fixture, &["app", verb, &id, "--app=web"]));
    }
    let directory = pod.canonicalize().unwrap().display().to_string();
    let called = |name: &str, more: &str| {
        format!("app-{name} in {directory}: --debug=false{more} --app=web\n")
    };
    let expected = [
        called("add", &format!(" --uuid={id}")),
        called("start", ""),
        called("stop", ""),
        called("rm", ""),
    ];
    let record = fs::read_to_string(pod.join("record")).unwrap();
    assert_eq!(record, expected.concat());
    let environment = fs::read_to_string(pod.join("environment")).unwrap();
    let expected =
        format!("RKT_STAGE1_ENTERCMD={directory}/stage1/rootfs/enter\nRKT_STAGE1_ENTERPID=4711\n");
    assert!(environment.starts_with(&expected), "{environment}");
    assert_eq!(fixture.pod_manifest()["apps"], serde_json::json!([]));
    assert!(!pod.join("stage1/rootfs/opt/stage2/web").exists());
}

#[test]
fn an_app_that_the_pod_does_not_take_leaves_nothing() {
    let fixture = Fixture::new();
    let (pod, id, _lock) = ready(&fixture);
    let web = fixture.aci("web", |_| {});
    let before = fixture.pod_manifest();
    fs::write(pod.join("code-app-add"), "254").unwrap();
    let output = call(&fixture, &["app", "add", &id, &web]);
    let expected = "app add: stage1's app-add ended with exit status: 254";
    assert_eq!(
        (last_line(&output).as_str(), output.status.code()),
        (expected, Some(254))
    );
    assert_eq!(fixture.pod_manifest(), before);
    assert!(!pod.join("appsinfo/web").exists());
    fs::remove_file(pod.join("code-app-add")).unwrap();
    succeeds(&call(&fixture, &["app", "add", &id, &web]));
    let output = call(&fixture, &["app", "add", &id, &web]);
    assert!(last_line(&output).contains("the pod has an app \"web\" already"));
}

#[test]
fn an_app_has_the_state_that_its_files_tell() {
    let fixture = Fixture::new();
    let (pod, id, lock) = ready(&fixture);
    let web = fixture.aci("web", |_| {});
    succeeds(&call(&fixture, &["app", "add", &id, &web]));
    let status = |name: &str, text: &str| {
        let path = pod.join("stage1/rootfs/rkt/status").join(name);
        fs::write(path, text).unwrap();
    };
    let state = || {
        let list = succeeds(&call(&fixture, &["app", "list", &id, "--no-legend"]));
        list.trim_end().rsplit('\t').next().unwrap().to_owned()
    };
    assert_eq!(state(), "unknown");
    status("web-created", "");
    assert_eq!(state(), "created");
    status("web-started", "");
    assert_eq!(state(), "running");
    status("web", "3");
    assert_eq!(state(), "exited");
    let lines = succeeds(&call(&fixture, &["app", "status", &id, "--app=web"]));
    let keys: Vec<&str> = lines.lines().filter_map(|l| l.split('=').next()).collect();
    let expected = [
        "name",
        "state",
        "image_id",
        "created_at",
        "started_at",
        "finished_at",
        "exit_code",
    ];
    assert_eq!(keys, expected);
    // One that is stopped already is no error of rm, and one of stop.
    fs::write(pod.join("code-app-stop"), "5").unwrap();
    let stop = call(&fixture, &["app", "stop", &id, "--app=web"]);
    assert_error(&stop, "app stop: app \"web\" is not running\n");
    succeeds(&call(&fixture, &["app", "rm", &id, "--app=web"]));
    let unknown = call(&fixture, &["app", "start", &id, "--app=web"]);
    assert_error(
        &unknown,
        &format!("app start: pod \"{id}\" has no app \"web\"\n"),
    );
    drop(lock);
    let exited = call(&fixture, &["app", "start", &id, "--app=web"]);
    let expected = format!("app start: pod \"{id}\" is not running: it is exited\n");
    assert_error(&exited, &expected);
}

#[test]
fn words_that_make_no_sense_are_named() {
    let fixture = Fixture::new();
    let (pod, id, _lock) = ready(&fixture);
    let wrong = |words: &[&str], expected: &str| {
        let output = call(&fixture, &[&["app"], words].concat());
        let text = text(&output.stderr);
        assert_eq!(output.status.code(), Some(254), "{text}");
        assert!(text.contains(expected), "{text}");
    };
    wrong(&["add", &id], "it takes the UUID of a pod and one image");
    wrong(
        &["add", &id, "a", "b"],
        "it takes the UUID of a pod and one image",
    );
    wrong(
        &["add", &id, "--", "x", "---", "a"],
        "an image is required before any app arguments",
    );
    wrong(&["add", &id, "a", "--mnt-volume=x"], "target is missing");
    wrong(
        &["sandbox", "--interactive"],
        "--interactive is for a pod of one app",
    );
    fs::remove_file(pod.join("stage1/rootfs/rkt/supervisor-status")).unwrap();
    wrong(&["start", &id, "--app=web"], "is not ready yet, or ending");
    assert!(!pod.join("record").exists());
}
