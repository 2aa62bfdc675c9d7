//! Pods of many apps.

use bulkhead_tests::images::busybox_oci;

use crate::bulkhead::{Call, pod};

/// As many as the design names.
const APPS: usize = 20;

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
