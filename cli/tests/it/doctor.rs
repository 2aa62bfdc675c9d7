//! The doctor on whatever host the tests run on: form and consistency, not the verdict.

use serde_json::Value;

use crate::fixture::Fixture;

#[test]
fn the_exit_code_is_the_verdict() {
    let fixture = Fixture::new();
    let output = fixture.bulkhead(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let problems = checks
        .iter()
        .filter(|check| check["status"] == "problem")
        .count();
    assert_eq!(report["usable"], Value::Bool(problems == 0), "{report}");
    assert_eq!(
        output.status.code(),
        Some(if problems == 0 { 0 } else { 254 })
    );
    for check in checks {
        let advised = check["status"] == "warning" || check["status"] == "problem";
        assert_eq!(check["remedy"].is_string(), advised, "{check}");
    }

    let text = fixture.bulkhead(&["doctor"]);
    assert_eq!(text.status.code(), output.status.code());
    let lines = String::from_utf8(text.stdout).unwrap().lines().count();
    assert_eq!(lines, checks.len() + 1, "one line a check, and the verdict");
}

#[test]
fn a_host_without_an_installed_stage1_is_told_so() {
    // The program under test lies in cargo's directory, which has no lib/bulkhead beside it.
    let fixture = Fixture::new();
    let output = fixture.bulkhead(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    if !std::path::Path::new("/usr/lib/bulkhead/stage1/kvm").exists() {
        assert!(text.contains("problem  stage1"), "{text}");
        assert_eq!(output.status.code(), Some(254));
    }
}

#[test]
fn looking_makes_nothing() {
    let fixture = Fixture::new();
    fixture.bulkhead(&["doctor"]);
    assert!(!fixture.path("data").exists());
}
