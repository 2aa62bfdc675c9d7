use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::*;

/// What `script` makes, and its copy.
fn copied(script: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(from.path())
        .status();
    assert!(made.unwrap().success());
    copy_tree(from.path(), to.path()).unwrap();
    (from, to)
}

/// Every entry with what can be seen of it.
fn listed(directory: &Path) -> String {
    let output = Command::new("find")
        .args([".", "-printf", "%p %y %m %U %G %n %l %T@\\n"])
        .current_dir(directory)
        .output()
        .unwrap();
    let mut lines: Vec<_> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn all_that_a_tree_can_hold_is_copied() {
    let (from, to) = copied(
        "mkdir -p a/b/c; echo one > a/file; chmod 4751 a/file; ln a/file a/b/second; ln -s ../nowhere a/link
         mkfifo a/pipe; chmod 1777 a/b; touch -d 2001-01-01 a/b/c a/file; touch -h -d 2002-02-02 a/link; touch -d 2003-03-03 a .",
    );
    assert_eq!(listed(to.path()), listed(from.path()));
    assert_eq!(fs::read(to.path().join("a/b/second")).unwrap(), b"one\n");
    let number = |name: &str| fs::metadata(to.path().join(name)).unwrap().ino();
    assert_eq!(number("a/file"), number("a/b/second"));
}

#[test]
fn an_error_names_the_file() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("file"), "").unwrap();
    let to = tempfile::tempdir().unwrap();
    fs::write(to.path().join("file"), "").unwrap();
    let error = copy_tree(from.path(), to.path()).unwrap_err();
    let expected = format!("copy {:?} of the image", from.path().join("file"));
    assert_eq!(error.to_string(), expected);
}
