//! The subcommands that end pods: stop, rm, gc.

use std::fs;
use std::os::unix::fs::symlink;

use crate::fixture::{Fixture, assert_error};
use crate::pods::{call, exited, hold, succeeds, text, uuid};

/// What the entrypoints of stage1 wrote down.
fn record(fixture: &Fixture) -> String {
    fs::read_to_string(fixture.path("record")).unwrap_or_default()
}

#[test]
fn a_running_pod_is_stopped_by_its_stage1() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let _lock = hold(&pod);
    let directory = pod.canonicalize().unwrap().display().to_string();
    fs::remove_file(fixture.path("record")).unwrap();
    assert_eq!(
        succeeds(&call(&fixture, &["stop", &id])),
        format!("\"{id}\"\n")
    );
    succeeds(&call(&fixture, &["stop", "--force", &id[..8]]));
    assert_eq!(
        record(&fixture),
        format!("stop in {directory}: {id}\nstop in {directory}: --force {id}\n")
    );
    let output = fixture
        .command()
        .env("CODE", "3")
        .args(["stop", &id])
        .output()
        .unwrap();
    assert_error(
        &output,
        &format!(
            "stop: error stopping \"{id}\"\n  └─stage1's stop ended with exit status: 3\nstop: failed to stop 1 pod\n"
        ),
    );
}

#[test]
fn what_does_not_run_is_not_stopped() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    fs::remove_file(fixture.path("record")).unwrap();
    let stopped = succeeds(&call(&fixture, &["stop", &id]));
    assert_eq!(stopped, format!("pod \"{id}\" is already stopped\n"));
    fs::create_dir_all(fixture.path("data/pods/prepared")).unwrap();
    fs::rename(&pod, fixture.path("data/pods/prepared").join(&id)).unwrap();
    let output = call(&fixture, &["stop", "fff", &id]);
    assert_error(
        &output,
        &format!(
            "stop: no pod has the UUID fff, or one that begins so\nstop: pod \"{id}\" is not running: it is prepared\nstop: failed to stop 2 pods\n"
        ),
    );
    assert_eq!(record(&fixture), "");
}

#[test]
fn rm_deletes_what_does_not_run() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let lock = hold(&pod);
    let output = call(&fixture, &["rm", &id]);
    assert_error(
        &output,
        &format!("rm: pod \"{id}\" is currently running\nrm: failed to remove 1 pod\n"),
    );
    assert!(pod.join("pod").exists());
    drop(lock);

    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "stays").unwrap();
    symlink(&outside, pod.join("stage1/rootfs/rkt/link")).unwrap();
    fs::remove_file(fixture.path("record")).unwrap();
    let file = fixture.path("uuid");
    fs::write(&file, &id).unwrap();
    let by_file = format!("--uuid-file={}", file.display());
    assert_eq!(
        succeeds(&call(&fixture, &["rm", &by_file])),
        format!("\"{id}\"\n")
    );
    assert_eq!(fixture.pods(), [""; 0]);
    assert!(outside.join("file").exists());
    let garbage = fixture
        .path("data/pods/exited-garbage")
        .canonicalize()
        .unwrap();
    let called = format!("gc in {}: {id}\n", garbage.join(&id).display());
    assert_eq!(record(&fixture), called);
}

#[test]
fn rm_refuses_what_others_are_at() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let mut place = pod;
    for (phase, doing) in [
        ("prepare", "currently being prepared"),
        ("prepared", "currently being started"),
        ("exited-garbage", "currently being deleted"),
    ] {
        let next = fixture.path("data/pods").join(phase).join(&id);
        fs::create_dir_all(next.parent().unwrap()).unwrap();
        fs::rename(&place, &next).unwrap();
        place = next;
        let _lock = hold(&place);
        let output = call(&fixture, &["rm", &id]);
        assert_error(
            &output,
            &format!("rm: pod \"{id}\" is {doing}\nrm: failed to remove 1 pod\n"),
        );
    }
    succeeds(&call(&fixture, &["rm", &id]));
    assert_eq!(fixture.pods(), [""; 0]);
}

#[test]
fn gc_marks_first_and_deletes_after_the_grace_period() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    let lock = hold(&pod);
    assert_eq!(succeeds(&call(&fixture, &["gc", "--grace-period=0s"])), "");
    assert_eq!(fixture.pods(), [format!("run/{id}")], "it runs");
    drop(lock);

    let output = call(&fixture, &["gc", "--mark-only"]);
    assert_eq!(
        text(&output.stderr),
        format!("gc: moving pod \"{id}\" to garbage\n")
    );
    assert_eq!(fixture.pods(), [format!("exited-garbage/{id}")]);
    let output = call(&fixture, &["gc"]);
    let waits = format!("gc: pod \"{id}\" not removed: still within grace period (30m)\n");
    assert_eq!(text(&output.stderr), waits);
    assert_eq!(fixture.pods(), [format!("exited-garbage/{id}")]);
    fs::remove_file(fixture.path("record")).unwrap();
    let output = succeeds(&call(&fixture, &["gc", "--grace-period=0s"]));
    assert_eq!(output, format!("Garbage collecting pod \"{id}\"\n"));
    assert_eq!(fixture.pods(), [""; 0]);
    assert!(record(&fixture).starts_with("gc in "));
}

#[test]
fn gc_collects_what_never_ran() {
    let fixture = Fixture::new();
    let image = fixture.aci("app", |_| {});
    let prepare = || {
        let output = succeeds(&fixture.bulkhead(&["prepare", &image]));
        output.trim().to_owned()
    };
    let (given_up, waits) = (prepare(), prepare());
    let pods = fixture.path("data/pods");
    fs::rename(
        pods.join("prepared").join(&given_up),
        pods.join("prepare").join(&given_up),
    )
    .unwrap();
    let killed = "00000000-0000-4000-8000-000000000000";
    fs::create_dir(pods.join("embryo").join(killed)).unwrap();
    let output = call(&fixture, &["gc"]);
    let moved = format!("gc: moving failed prepare \"{given_up}\" to garbage\n");
    assert_eq!(text(&output.stderr), moved);
    assert_eq!(
        text(&output.stdout),
        [given_up.as_str(), killed]
            .map(|uuid| format!("Garbage collecting pod \"{uuid}\"\n"))
            .concat()
    );
    assert_eq!(fixture.pods(), [format!("prepared/{waits}")]);
    let output = call(&fixture, &["gc", "--expire-prepared=0"]);
    let moved = format!("gc: moving expired prepared pod \"{waits}\" to garbage\n");
    assert_eq!(text(&output.stderr), moved);
    assert_eq!(fixture.pods(), [""; 0]);
    assert!(
        !fixture.path("record").exists(),
        "stage1 has nothing to undo"
    );
}

#[test]
fn a_damaged_pod_is_collected_too() {
    let fixture = Fixture::new();
    let pod = exited(&fixture);
    let id = uuid(&pod);
    fs::remove_file(pod.join("stage1/manifest")).unwrap();
    fs::remove_file(pod.join("pod")).unwrap();
    let output = call(&fixture, &["gc", "--grace-period=0"]);
    let skipped = format!("gc: skipping the gc of pod \"{id}\" by its stage1\n  └─read ");
    assert!(text(&output.stderr).contains(&skipped), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fixture.pods(), [""; 0]);
}
