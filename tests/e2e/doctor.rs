//! `doctor` where pods can run.

use serde_json::Value;

use crate::bulkhead::bulkhead;

#[test]
fn a_machine_that_runs_pods_is_told_so() {
    let end = bulkhead(["doctor"]).run().exits(0);
    if !end.text().to_lowercase().contains("kvm") {
        end.fail("the report must speak of KVM");
    }
}

#[test]
fn the_report_is_there_as_json() {
    let end = bulkhead(["doctor", "--json"]).run().exits(0);
    let report: Value = serde_json::from_slice(&end.stdout)
        .unwrap_or_else(|error| end.fail(&format!("not JSON: {error}")));
    assert!(report.is_object() || report.is_array());
}
