use std::os::unix::fs::symlink;

use super::*;

/// The agent's files of a pod `box`, and a root with what `make` puts there, which then gets those that it lacks.
fn completed(make: impl FnOnce(&Path)) -> tempfile::TempDir {
    let (base, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(base.path(), "box", &NameFiles::default()).unwrap();
    make(root.path());
    let missing = Missing::read(base.path()).unwrap();
    missing.write_missing(root.path()).unwrap();
    root
}

#[test]
fn a_root_without_names_gets_them() {
    let root = completed(|_| {});
    let etc = root.path().join("etc");
    let hosts = fs::read_to_string(etc.join("hosts")).unwrap();
    assert!(hosts.contains("localhost box\n"), "{hosts}");
    assert_eq!(fs::read_to_string(etc.join("hostname")).unwrap(), "box\n");
    assert_eq!(fs::read_link(etc.join("mtab")).unwrap(), Path::new(MOUNTS));
}

#[test]
fn what_a_root_has_stays_and_no_link_is_written_through() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    let root = completed(|root| {
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/hosts"), "own").unwrap();
        symlink(&target, root.join("etc/hostname")).unwrap();
    });
    assert_eq!(
        fs::read_to_string(root.path().join("etc/hosts")).unwrap(),
        "own"
    );
    assert!(!target.exists());
}

#[test]
fn a_root_whose_etc_is_no_directory_goes_without() {
    let root = completed(|root| fs::write(root.join("etc"), "file").unwrap());
    assert_eq!(fs::read_to_string(root.path().join("etc")).unwrap(), "file");
}
