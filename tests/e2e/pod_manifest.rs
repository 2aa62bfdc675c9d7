//! Isolators that no flag sets: of the pod, and of an app in a written pod manifest.

use std::fs;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Finished, bulkhead, image_id, own_data};

/// Pods of written manifests.
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

    /// Runs a pod of one app with these isolators of the app and of the pod.
    fn run(&self, script: &str, of_app: &str, of_pod: &str) -> Finished {
        let id = &self.id;
        let manifest = format!(
            r#"{{"acVersion":"0.8.11","acKind":"PodManifest","apps":[{{"name":"app","image":{{"id":"sha512-{id}"}},
                "app":{{"exec":["/bin/sh","-c","{script}"],"user":"0","group":"0","isolators":[{of_app}]}}}}],
                "isolators":[{of_pod}]}}"#
        );
        let file = self.data.path().join("pod.json");
        fs::write(&file, manifest).expect("the manifest");
        let flag = format!("--pod-manifest={}", file.display());
        bulkhead(["run", &flag]).data(self.data.path()).run()
    }
}

fn isolator(name: &str, value: &str) -> String {
    format!(r#"{{"name":"{name}","value":{value}}}"#)
}

#[test]
fn an_app_can_renounce_new_privileges() {
    let on = isolator("os/linux/no-new-privileges", "true");
    Pods::new()
        .run("grep NoNewPrivs /proc/self/status", &on, "")
        .exits(0)
        .prints("NoNewPrivs:\t1\n");
}

#[test]
fn the_pod_s_limits_hold_for_all_apps_and_size_its_machine() {
    let pods = Pods::new();
    let cpu = isolator("resource/cpu", r#"{"limit":"2"}"#);
    pods.run("nproc", "", &cpu).exits(0).prints("2\n");
    let memory = isolator("resource/memory", r#"{"limit":"64Mi"}"#);
    pods.run("while :; do s=$s$s-0123456789abcdef; done", "", &memory)
        .exits(137)
        .says("out of memory in app app: the pod is limited to 67108864 bytes");
}

#[test]
fn kernel_parameters_are_set_or_named() {
    let pods = Pods::new();
    let sysctl = |value| isolator("os/unix/sysctl", value);
    let set = sysctl(r#"{"kernel.msgmax":"9000"}"#);
    pods.run("cat /proc/sys/kernel/msgmax", "", &set)
        .exits(0)
        .prints("9000\n");
    pods.run("echo ran", &sysctl(r#"{"kernel.nothing":"1"}"#), "")
        .exits(254)
        .says("set the kernel parameter kernel/nothing to \"1\"");
    pods.run("echo ran", &sysctl(r#"{"../x":"1"}"#), "")
        .exits(254)
        .says("app app: isolator os/unix/sysctl");
}
