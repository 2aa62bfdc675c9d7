//! Exit codes and streams of everything that does not run a pod.

use std::os::unix::ffi::OsStrExt;

use crate::fixture::{Fixture, assert_error};

#[test]
fn no_subcommand_shows_help_and_ends_with_2() {
    let output = Fixture::new().bulkhead(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: bulkhead"));
}

#[test]
fn help_goes_to_stdout() {
    let output = Fixture::new().bulkhead(&["run", "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    assert!(String::from_utf8_lossy(&output.stdout).contains("App options"));
}

#[test]
fn version() {
    let output = Fixture::new().bulkhead(&["version"]);
    let expected = "bulkhead 0.1.0\nappc 0.8.11\ntarget x86_64-linux\nstage1 interface 6\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn usage_errors_end_with_254() {
    let fixture = Fixture::new();
    let help = "For more information, try 'bulkhead run --help'.\n";
    let output = fixture.bulkhead(&["run", "--frobnicate", "a"]);
    assert_error(
        &output,
        &format!("run: unexpected argument '--frobnicate' found\n{help}"),
    );
    let output = fixture.bulkhead(&["run"]);
    assert_error(
        &output,
        &format!("run: must provide at least one image\n{help}"),
    );
    let output = fixture.bulkhead(&["run", "--port=80", "a"]);
    assert_error(
        &output,
        &format!("run: --port is not supported yet (networking)\n{help}"),
    );
    assert!(
        !fixture.path("data").exists(),
        "a usage error touches nothing"
    );
}

#[test]
fn a_word_that_is_not_utf8() {
    let fixture = Fixture::new();
    let word = std::ffi::OsStr::from_bytes(b"\xff");
    let output = fixture.command().arg("run").arg(word).output().unwrap();
    assert_error(&output, "bulkhead: argument \"\\xFF\" is not UTF-8\n");
}
