//! Pods from the outside: listed, waited for, prepared now and run later.

use std::fs;
use std::path::Path;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bulkhead::{Call, Running, bulkhead, own_data, pod};
use crate::leftovers::no_processes;

/// A call about the pods in this directory.
pub(crate) fn call<const N: usize>(data: &Path, words: [&str; N]) -> Call {
    bulkhead(words).data(data)
}

/// A pod that says "ready" and stays until it is stopped, when it ends with 7; and its UUID.
pub(crate) fn running(data: &Path) -> (Running, String) {
    let file = data.join("uuid");
    let pod = pod(&busybox_oci())
        .data(data)
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .name("web")
        .shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done")
        .start()
        .wait_for("ready");
    let uuid = fs::read_to_string(file).expect("the UUID");
    (pod, uuid.trim().to_owned())
}

/// A pod that ended with this code; its UUID.
pub(crate) fn exited(data: &Path, code: i32) -> String {
    let file = data.join("uuid");
    pod(&busybox_oci())
        .data(data)
        .pod_flag(format!("--uuid-file-save={}", file.display()))
        .name("web")
        .shell(&format!("exit {code}"))
        .run()
        .exits(code);
    let uuid = fs::read_to_string(file).expect("the UUID");
    uuid.trim().to_owned()
}

/// The state of a pod, or what is said of it.
#[track_caller]
pub(crate) fn state(data: &Path, uuid: &str) -> String {
    let status = call(data, ["status", uuid]).run().exits(0).text();
    let state = status
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("state="));
    state.expect("the first line").to_owned()
}

#[test]
fn a_list_shows_what_runs_and_what_has_ended() {
    let data = own_data();
    let ended = exited(data.path(), 0);
    let (pod, runs) = running(data.path());

    let list = call(data.path(), ["list", "--full", "--no-legend"])
        .run()
        .exits(0)
        .text();
    let row = |uuid: &str| {
        list.lines()
            .find(|line| line.starts_with(uuid))
            .expect("a row")
            .to_owned()
    };
    assert!(row(&ended).contains("\texited\t"), "{list}");
    assert!(row(&runs).contains("\trunning\t"), "{list}");
    assert!(row(&runs).contains("\tweb\t"), "{list}");

    let json = call(data.path(), ["status", "--format=json", &runs])
        .run()
        .exits(0)
        .text();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["apps"][0]["state"], "running");
    let seconds = json["started_at"].as_i64().expect("seconds");
    let nanoseconds = json["apps"][0]["started_at"].as_i64().expect("nanoseconds");
    assert_eq!(nanoseconds / 1_000_000_000, seconds);
    pod.signal(Signal::SIGTERM).finish().exits(7);
}

#[test]
fn who_waits_for_a_pod_learns_how_it_ended() {
    let data = own_data();
    let (pod, uuid) = running(data.path());
    let pid = pod.pid;
    let ready = call(data.path(), ["status", "--wait-ready=60s", &uuid])
        .run()
        .exits(0);
    ready
        .shows("state=running\n")
        .shows(&format!("pid={pid}\nexited=false\n"));
    call(data.path(), ["status", "--wait=10ms", &uuid])
        .run()
        .exits(254)
        .says(&format!("status: pod {uuid} is still running\n"));

    let waiting = call(data.path(), ["status", "--wait", &uuid]).start();
    pod.signal(Signal::SIGTERM).finish().exits(7);
    waiting
        .finish()
        .exits(0)
        .shows("state=exited\n")
        .shows(&format!("pid={pid}\nexited=true\napp-web=7\n"));
}

#[test]
fn a_killed_pod_has_exited_without_a_code() {
    let data = own_data();
    let (pod, uuid) = running(data.path());
    let waiting = call(data.path(), ["status", "--wait", &uuid]).start();
    pod.signal(Signal::SIGKILL)
        .finish()
        .dies_of(Signal::SIGKILL);
    let status = waiting.finish().exits(0).shows("state=exited\n");
    assert!(!status.text().contains("app-web="), "{}", status.text());
    call(data.path(), ["status", "--wait-ready", &uuid])
        .run()
        .exits(254)
        .says("is not ready, and never will be: it is exited\n");
}

#[test]
fn a_prepared_pod_runs_later_and_once() {
    let data = own_data();
    let image = busybox_oci();
    let image = image.to_str().expect("a path");
    let words = [
        "prepare",
        "--set-env=A=b",
        image,
        "--exec=/bin/sh",
        "--",
        "-c",
        "echo $A $(hostname)",
        "---",
    ];
    let prepared = call(data.path(), words).run().exits(0).text();
    let uuid = prepared.trim();
    assert_eq!(state(data.path(), uuid), "prepared");

    call(data.path(), ["run-prepared", "--hostname=later", uuid])
        .run()
        .exits(0)
        .prints("b later\n");
    assert_eq!(state(data.path(), uuid), "exited");
    call(data.path(), ["run-prepared", uuid])
        .run()
        .exits(254)
        .says(&format!(
            "run-prepared: pod {uuid} is not prepared: it is exited\n"
        ));
}

#[test]
fn of_two_that_run_one_prepared_pod_one_does() {
    let data = own_data();
    let image = busybox_oci();
    let image = image.to_str().expect("a path");
    let prepared = call(data.path(), ["prepare", image, "--exec=/bin/true"])
        .run()
        .exits(0)
        .text();
    let run = || call(data.path(), ["run-prepared", prepared.trim()]).start();
    let ends = [run(), run()].map(Running::finish);
    assert_eq!(ends.iter().filter(|end| end.succeeded()).count(), 1);
    for end in ends.into_iter().filter(|end| !end.succeeded()) {
        end.exits(254).says("is not prepared: it is ");
    }
}

#[test]
fn a_name_that_fits_several_pods_is_refused() {
    let data = own_data();
    let uuid = exited(data.path(), 0);
    // As alike as two UUIDs can be.
    let last = if uuid.ends_with('0') { '1' } else { '0' };
    let twin = format!("{}{last}", &uuid[..35]);
    let run = data.path().join("pods/run");
    fs::create_dir(run.join(&twin)).expect("a directory");

    call(data.path(), ["status", &uuid[..8]])
        .run()
        .exits(254)
        .says(&format!("status: {} is ambiguous: 2 pods", &uuid[..8]));
    assert_eq!(state(data.path(), &uuid), "exited");
    call(data.path(), ["cat-manifest", &uuid])
        .run()
        .exits(0)
        .shows("\"name\": \"web\"");
}

#[test]
fn a_pod_that_was_damaged_by_hand_stops_nobody() {
    let data = own_data();
    let (damaged, whole) = (exited(data.path(), 0), exited(data.path(), 0));
    let pod = data.path().join("pods/run").join(&damaged);
    fs::write(pod.join("pod"), "{").expect("a damaged manifest");
    fs::remove_dir_all(pod.join("stage1")).expect("its stage1");

    let list = call(data.path(), ["list", "--full"]).run().exits(0);
    let list = list.says(&format!("list: pod {damaged} is damaged\n"));
    assert!(
        list.text().contains(&format!("{damaged}\t(damaged)")),
        "{}",
        list.text()
    );
    assert!(
        list.text().contains(&format!("{whole}\tweb")),
        "{}",
        list.text()
    );
    call(data.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0);
    call(data.path(), ["list", "--no-legend"])
        .run()
        .exits(0)
        .prints("");
    assert!(no_processes().is_empty());
}
