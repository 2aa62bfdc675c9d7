use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::mkdirat;

use super::*;

fn open(path: &Path) -> File {
    File::open(path).unwrap()
}

#[test]
fn everything_goes_and_the_named_files_last() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("a/b/c")).unwrap();
    fs::write(top.path().join("a/b/c/file"), "x").unwrap();
    fs::write(top.path().join("manifest"), "x").unwrap();
    fs::create_dir(top.path().join(".deleting-0")).unwrap();
    fs::write(top.path().join(".deleting-0/file"), "of an earlier call").unwrap();
    empty(open(top.path()).as_fd(), c"a", c"manifest").unwrap();
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
}

#[test]
fn links_are_deleted_and_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "stays").unwrap();
    let top = directory.path().join("top");
    fs::create_dir_all(top.join("a")).unwrap();
    symlink(&outside, top.join("link")).unwrap();
    symlink("../../outside", top.join("a/link")).unwrap();
    symlink("/", top.join("a/root")).unwrap();
    empty(open(&top).as_fd(), c"absent", c"link").unwrap();
    assert_eq!(fs::read_dir(&top).unwrap().count(), 0);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "stays");
}

/// Deeper than there are descriptors, and deeper than a path can say.
#[test]
fn depth_is_no_obstacle() {
    let top = tempfile::tempdir().unwrap();
    let mut directory = OwnedFd::from(open(top.path()));
    for _ in 0..5_000 {
        mkdirat(&directory, "deep", Mode::RWXU).unwrap();
        directory = open_directory(directory.as_fd(), c"deep").unwrap();
    }
    drop(directory);
    empty(open(top.path()).as_fd(), c"0", c"absent").unwrap();
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let top = tempfile::tempdir().unwrap();
    for directory in 0..50 {
        let directory = top.path().join(format!("{directory}/x/y"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), "").unwrap();
    }
    let delete = || empty(open(top.path()).as_fd(), c"0", c"absent");
    std::thread::scope(|scope| {
        let other = scope.spawn(delete);
        delete().unwrap();
        other.join().unwrap().unwrap();
    });
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
}
