//! Programs that run before and after an app's own.

use std::fs;

use bulkhead_tests::images::busybox_oci;
use nix::sys::signal::Signal;

use crate::bulkhead::{Call, app_status, bulkhead, image_id, own_data};

/// Pods of one app with handlers.
struct Pods {
    data: tempfile::TempDir,
    /// Of their image.
    id: String,
}

impl Pods {
    fn new() -> Self {
        let data = own_data();
        let id = image_id(&busybox_oci(), data.path());
        Self { data, id }
    }

    /// An app of user 1000 that runs `script` between these handlers; an empty one is none.
    fn pod(&self, before: &str, script: &str, after: &str) -> Call {
        let id = &self.id;
        let handler = |name: &str, script: &str| {
            format!(r#"{{"name":"{name}","exec":["sh","-c","{script}"]}}"#)
        };
        let handlers = [("pre-start", before), ("post-stop", after)];
        let handlers = handlers.iter().filter(|(_, script)| !script.is_empty());
        let handlers: Vec<String> = handlers.map(|(name, s)| handler(name, s)).collect();
        let handlers = handlers.join(",");
        let manifest = format!(
            r#"{{"acVersion":"0.8.11","acKind":"PodManifest","apps":[{{"name":"app","image":{{"id":"sha512-{id}"}},
                "app":{{"exec":["/bin/sh","-c","{script}"],"user":"1000","group":"100","workingDirectory":"/tmp",
                "environment":[{{"name":"GREETING","value":"hello"}}],"eventHandlers":[{handlers}]}}}}]}}"#
        );
        let file = self.data.path().join("pod.json");
        fs::write(&file, manifest).expect("the manifest");
        bulkhead(["run"])
            .data(self.data.path())
            .pod_flag(format!("--pod-manifest={}", file.display()))
            .pod_flag(format!("--uuid-file-save={}", self.uuid().display()))
    }

    fn uuid(&self) -> std::path::PathBuf {
        self.data.path().join("uuid")
    }
}

#[test]
fn they_run_before_and_after_in_the_app_s_surroundings() {
    let pods = Pods::new();
    let before = "echo $GREETING $(pwd) > file; cat /proc/self/cgroup";
    let after = "echo after; cat file";
    pods.pod(before, "echo app; cat file; exit 5", after)
        .run()
        .exits(5)
        .prints("0::/\napp\nhello /tmp\nafter\nhello /tmp\n");
    assert_eq!(app_status(pods.data.path(), &pods.uuid(), "app"), "5");
}

#[test]
fn they_are_root_s_and_make_ready_what_the_app_may_not() {
    let pods = Pods::new();
    let before = "id -u; id -G; mkdir /made && chown 1000:100 /made";
    pods.pod(
        before,
        "id -u; id -G; echo app > /made/file",
        "id -u; cat /made/file",
    )
    .run()
    .exits(0)
    .prints("0\n0\n1000\n100\n0\napp\n");
}

#[test]
fn an_app_does_not_start_when_the_one_before_fails() {
    let pods = Pods::new();
    pods.pod("echo before; exit 7", "echo app", "echo after")
        .run()
        .exits(7)
        .prints("before\n")
        .says("app app: its pre-start handler ended with 7; the app was not started");
}

#[test]
fn the_one_after_runs_in_a_pod_that_is_stopped() {
    let pods = Pods::new();
    let waits = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    pods.pod("", waits, "echo after")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(3)
        .shows("after\n");
}

#[test]
fn one_after_that_fails_or_never_ends_does_not_change_the_app_s_code() {
    let pods = Pods::new();
    pods.pod("", "exit 0", "exit 4")
        .run()
        .exits(0)
        .says("app app: its post-stop handler ended with 4");
    let waits = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    pods.pod("", waits, "while :; do sleep 1; done")
        .start()
        .wait_for("ready")
        .signal(Signal::SIGTERM)
        .finish()
        .exits(3)
        .says("its post-stop handler was ended by signal 9");
}
