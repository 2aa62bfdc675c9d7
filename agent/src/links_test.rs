use std::os::unix::fs::symlink;

use super::*;

/// A root with these links.
fn root(links: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/b", "c"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("file"), "").unwrap();
    for (name, target) in links {
        symlink(target, root.path().join(name)).unwrap();
    }
    root
}

#[track_caller]
fn leads(links: &[(&str, &str)], path: &str, expected: &str) {
    let root = root(links);
    assert_eq!(
        resolve(root.path(), Path::new(path)).unwrap(),
        Path::new(expected)
    );
}

#[test]
fn paths_without_links_stay() {
    leads(&[], "/", "/");
    leads(&[], "/a/b", "/a/b");
    leads(&[], "/missing/x/y", "/missing/x/y");
    leads(&[], "/file/below", "/file/below");
}

#[test]
fn links_are_followed_inside_the_root() {
    leads(&[("l", "a")], "/l/b/x", "/a/b/x");
    leads(&[("l", "/a/b")], "/l/x", "/a/b/x");
    leads(&[("a/l", "../c")], "/a/l/x", "/c/x");
    leads(&[("l", "m"), ("m", "/missing")], "/l/x", "/missing/x");
}

#[test]
fn no_link_leads_out() {
    leads(&[("l", "../../../../etc")], "/l/passwd", "/etc/passwd");
    leads(&[("a/l", "/../../c")], "/a/l", "/c");
    leads(&[("l", "/")], "/l/l/l/a", "/a");
}

#[test]
fn a_circle_is_an_error() {
    let root = root(&[("l", "m"), ("m", "l")]);
    let error = resolve(root.path(), Path::new("/l/x")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
}
