use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::super::tests::{apply, converted, refused, tar};
use super::*;
use crate::test_archive::Tar;

/// A lower layer with one link, and the file that the link's way is used for.
fn below(link: &str, target: &str, file: &str) -> [Tar; 2] {
    [tar().symlink(link, target), tar().file(file, "x")]
}

#[test]
fn a_merged_usr_takes_what_later_layers_put_into_lib() {
    let base = tar().dir("usr/").dir("usr/lib/").symlink("lib", "usr/lib");
    let base = base.file("usr/lib/old", "");
    let upper = tar().file("lib/new", "").hard_link("lib/same", "lib/new");
    let upper = upper.file("lib/.wh.old", "");
    assert_eq!(
        apply(&[base, upper]).unwrap(),
        ["lib", "usr/", "usr/lib/", "usr/lib/new", "usr/lib/same"]
    );
}

#[test]
fn the_images_root_is_where_links_start_and_end() {
    for (target, landed) in [
        ("/etc", ["etc/", "etc/passwd", "up"]),
        ("../../../etc", ["etc/", "etc/passwd", "up"]),
        ("/../../etc", ["etc/", "etc/passwd", "up"]),
        ("./etc//.", ["etc/", "etc/passwd", "up"]),
    ] {
        let paths = apply(&below("up", target, "up/passwd")).unwrap();
        assert_eq!(paths, landed, "{target}");
    }
    assert_eq!(apply(&below("up", "..", "up/f")).unwrap(), ["f", "up"]);
}

#[test]
fn a_way_back_starts_where_the_link_led() {
    let lower = tar().dir("a/b/").symlink("l", "a/b").symlink("m", "l/../c");
    let upper = tar().file("m/f", "");
    assert_eq!(
        apply(&[lower, upper]).unwrap(),
        ["a/", "a/b/", "a/c/", "a/c/f", "l", "m"]
    );
}

#[test]
fn an_opaque_directory_behind_a_link_hides_what_is_there() {
    let lower = tar().file("d/old", "").symlink("l", "d");
    let upper = tar().file("l/new", "").file("l/.wh..wh..opq", "");
    assert_eq!(apply(&[lower, upper]).unwrap(), ["d/", "d/new", "l"]);
}

#[test]
fn a_directory_of_the_layer_replaces_the_link() {
    let upper = tar().dir("up").file("up/f", "");
    let paths = apply(&[tar().symlink("up", "/etc"), upper]).unwrap();
    assert_eq!(paths, ["up/", "up/f"]);
}

#[test]
fn loops_and_files_on_the_way_are_refused() {
    refused(
        &below("l", "l", "l/f"),
        r#"entry "l/f": its parent "l" leads through symbolic links with more than 1024 names"#,
    );
    refused(
        &below("l", "l/l/l/l", "l/f"),
        r#"entry "l/f": its parent "l" leads through symbolic links with more than 1024 names"#,
    );
    let lower = tar().file("file", "").symlink("l", "file");
    refused(
        &[lower, tar().file("l/f", "")],
        r#"entry "l/f": its parent "file" is a file, not a directory"#,
    );
    let (long, shown) = ("x".repeat(256), r#"entry "l/f": a link in its name has"#);
    let link = tar().pax(&[("linkpath", long.as_bytes())]).symlink("l", "");
    refused(
        &[link, tar().file("l/f", "")],
        &format!("{shown} a component of 256 bytes, more than 255"),
    );
}

#[test]
fn a_link_made_again_in_the_layer_is_its_own() {
    refused(
        &[
            tar().symlink("l", "/a"),
            tar().symlink("l", "/b").file("l/f", ""),
        ],
        r#"entry "l/f": its parent "l" is a symbolic link, not a directory"#,
    );
}

#[test]
fn links_make_no_tree_deeper_than_its_bound() {
    let deep = "d/".repeat(45);
    let mut layers = vec![tar().dir(&deep).symlink("l0", deep.trim_end_matches('/'))];
    let mut refusal = None;
    for n in 1..10 {
        // Each layer goes on where the one before ended.
        let link = format!("l{}", n - 1);
        layers.push(tar().dir(format!("{link}/{deep}")));
        let target = format!("{link}/{deep}");
        layers.push(tar().symlink(format!("l{n}"), target.trim_end_matches('/')));
        if let Err(error) = apply(&layers) {
            refusal = Some((n, error));
            break;
        }
    }
    let (n, error) = refusal.expect("45 × 6 is more than 256");
    assert_eq!(n, 5);
    assert!(
        error.ends_with("nested more than 256 directories deep"),
        "{error}"
    );
}

/// What a lower layer has: directories and links, in directories too.
fn lower() -> impl Strategy<Value = BTreeMap<String, Option<String>>> {
    let name = prop_oneof!["[abc]", "[abc]/[abc]"];
    // `..` only where it starts, so that what it leaves is there.
    let target = ("/?", "(\\.\\./){0,3}", "[abc](/[abc]){0,2}")
        .prop_map(|(root, up, down)| format!("{root}{up}{down}"));
    proptest::collection::btree_map(name, proptest::option::of(target), 0..6)
}

fn unpack(tree: &Tree, id: NodeId, to: &Path) {
    let Kind::Directory(children) = &tree.node(id).kind else {
        return;
    };
    for (name, entry) in children {
        let name = std::str::from_utf8(name).unwrap();
        assert!(!matches!(name, "" | "." | "..") && !name.contains('/'));
        let path = to.join(name);
        match &tree.node(entry.node).kind {
            Kind::Directory(_) => {
                fs::create_dir(&path).unwrap();
                unpack(tree, entry.node, &path);
            }
            Kind::Symlink(target) => symlink(std::str::from_utf8(target).unwrap(), &path).unwrap(),
            Kind::File(data) => fs::write(&path, data.size.to_string()).unwrap(),
            _ => unreachable!("the layers have no devices"),
        }
    }
}

proptest! {
    #[test]
    fn an_entry_is_where_the_kernel_finds_it_in_the_images_root(
        lower in lower(),
        file in "[abc](/[abc]){1,3}/f",
    ) {
        let mut base = tar();
        for (name, target) in &lower {
            // A name below a link of the layer itself is left out: that is refused.
            let below = name.split_once('/').and_then(|(parent, _)| lower.get(parent));
            match target {
                _ if below.is_some_and(Option::is_some) => {}
                None => base = base.dir(name),
                Some(target) => base = base.symlink(name, target),
            }
        }
        let Ok(conversion) = converted(&[base, tar().file(&file, "12345")]) else {
            return Ok(());
        };
        let root = tempfile::tempdir().unwrap();
        unpack(&conversion.tree, NodeId::ROOT, root.path());
        let directory = fs::File::open(root.path()).unwrap();
        let found = openat2(
            directory,
            &file,
            OFlags::RDONLY | OFlags::NOFOLLOW,
            Mode::empty(),
            ResolveFlags::IN_ROOT,
        );
        match found {
            Ok(found) => {
                let text = std::io::read_to_string(fs::File::from(found)).unwrap();
                prop_assert_eq!(text, "5");
            }
            // More than 40 links on one way: the kernel stops where we go on.
            Err(error) => prop_assert_eq!(error, Errno::LOOP),
        }
    }
}
