//! Pods of many apps, and many pods.

use std::fs;

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, own_data, pod};
use crate::leftovers::{Mounts, no_processes};
use crate::lifecycle::{call, exited, state};

/// As many as the design names.
const APPS: usize = 20;

/// Pods that start and stop at once.
const PODS: usize = 50;

#[test]
fn twenty_apps_run_in_one_pod() {
    let mut call: Call = pod(&busybox_oci()).name("app-0").shell("echo number 0");
    for number in 1..APPS {
        call = call
            .app(busybox_oci())
            .name(&format!("app-{number}"))
            .shell(&format!("echo number {number}; echo file > /file"));
    }
    let end = call.pod_flag("--debug").run().exits(0);
    for number in 0..APPS {
        let printed = end.text().lines().any(|line| {
            line.contains(&format!("app-{number}")) && line.ends_with(&format!(": number {number}"))
        });
        if !printed {
            end.fail(&format!("app-{number} printed nothing"));
        }
    }
}

#[test]
fn many_pods_start_at_once_and_stop_at_once() {
    let data = own_data();
    let mounts = Mounts::now();
    exited(data.path(), 0);
    let file = |number| data.path().join(format!("uuid-{number}"));
    let start = |number| {
        pod(&busybox_oci())
            .data(data.path())
            .pod_flag(format!("--uuid-file-save={}", file(number).display()))
            .flag("--memory=64Mi")
            .shell("trap 'exit 7' TERM; echo ready; sleep 1000 & wait")
            .start()
    };
    let pods: Vec<_> = (0..PODS).map(start).collect();
    let pods: Vec<_> = pods.into_iter().map(|pod| pod.wait_for("ready")).collect();

    let uuid = |number| fs::read_to_string(file(number)).expect("a UUID");
    let uuids: Vec<_> = (0..PODS)
        .map(|number| uuid(number).trim().to_owned())
        .collect();
    for uuid in &uuids {
        assert_eq!(state(data.path(), uuid), "running");
    }
    let words: Vec<_> = ["stop"]
        .into_iter()
        .chain(uuids.iter().map(String::as_str))
        .collect();
    Call::of(&words).data(data.path()).run().exits(0);
    for pod in pods {
        pod.finish().exits(7);
    }
    for uuid in &uuids {
        assert_eq!(state(data.path(), uuid), "exited");
    }
    assert_eq!(no_processes(), Vec::<String>::new());
    call(data.path(), ["gc", "--grace-period=0s"])
        .run()
        .exits(0);
    call(data.path(), ["list", "--no-legend"])
        .run()
        .exits(0)
        .prints("");
    mounts.are_all_that_is_left();
}
