use std::io::Write;

use super::*;

fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn it_is_there_when_it_is_published_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("image.aci");
    let output = Output::create(&target, false).unwrap();
    output.file().write_all(b"whole").unwrap();
    assert!(!target.exists());
    output.publish().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"whole");
    assert_eq!(names(directory.path()), ["image.aci"]);
}

#[test]
fn one_that_is_given_up_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("image.aci");
    drop(Output::create(&target, false).unwrap());
    assert_eq!(names(directory.path()), Vec::<OsString>::new());
}

#[test]
fn a_file_is_replaced_when_that_is_asked_for_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("image.aci");
    let output = Output::create(&target, false).unwrap();
    // Somebody was faster.
    fs::write(&target, "old").unwrap();
    assert!(output.publish().is_err());
    assert!(Output::create(&target, false).is_err());
    assert_eq!(fs::read(&target).unwrap(), b"old");

    let output = Output::create(&target, true).unwrap();
    output.file().write_all(b"new").unwrap();
    output.publish().unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(names(directory.path()), ["image.aci"]);
}
