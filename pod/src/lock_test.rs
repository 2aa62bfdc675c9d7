use std::fs::{self, File};

use super::*;
use crate::fixture_test::hold;

#[test]
fn observers_do_not_stand_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let open = || File::open(directory.path()).unwrap();
    assert!(!is_locked(open()).unwrap());
    let observer = open();
    assert!(lock_shared(&observer).unwrap());
    assert!(!is_locked(open()).unwrap());
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let lock = open();
            lock_exclusive(&lock).unwrap()
        });
        drop(observer);
        assert!(taken.join().unwrap());
    });
}

#[test]
fn the_exclusive_lock_is_one_s_alone() {
    let directory = tempfile::tempdir().unwrap();
    let held = hold(directory.path());
    let open = || File::open(directory.path()).unwrap();
    assert!(is_locked(open()).unwrap());
    assert!(!lock_shared(open()).unwrap());
    assert!(!lock_exclusive(open()).unwrap());
    drop(held);
    assert!(lock_exclusive(open()).unwrap());
}

#[test]
fn a_directory_is_known_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
    fs::create_dir(&one).unwrap();
    let open = open_directory(&one).unwrap();
    assert!(lies_at(&open, &one).unwrap() && !lies_at(&open, &two).unwrap());
    fs::rename(&one, &two).unwrap();
    assert!(lies_at(&open, &two).unwrap() && !lies_at(&open, &one).unwrap());
    fs::create_dir(&one).unwrap();
    assert!(!lies_at(&open, &one).unwrap());
}
