use super::*;
use crate::convert::{Conversion, ConvertError};
use crate::erofs::Spool;
use crate::limits::MAX_SYMLINK_TARGET;
use crate::tar::{Stream, TarReader};
use crate::test_archive::{Fields, Tar};

/// Applies layers; lists all paths, directories with a slash.
pub(super) fn apply(layers: &[Tar]) -> Result<Vec<String>, String> {
    let conversion = converted(layers)?;
    let mut paths = Vec::new();
    list(&conversion.tree, NodeId::ROOT, "", &mut paths);
    Ok(paths)
}

pub(super) fn converted(layers: &[Tar]) -> Result<Conversion, String> {
    let files = || tempfile::tempfile().unwrap();
    let mut conversion = Conversion::new(Spool::new(files(), files()));
    for layer in layers {
        let archive = layer.clone().finish();
        let mut reader = TarReader::new(Stream(&archive[..]));
        conversion
            .apply_layer(&mut reader)
            .map_err(|e| message(&e))?;
    }
    Ok(conversion)
}

fn message(error: &ConvertError) -> String {
    let mut text = error.to_string();
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        text = format!("{text}: {source}");
        error = source;
    }
    text
}

fn list(tree: &Tree, id: NodeId, prefix: &str, paths: &mut Vec<String>) {
    if let Kind::Directory(children) = &tree.node(id).kind {
        for (name, entry) in children {
            let path = format!("{prefix}{}", name.escape_ascii());
            if tree.is_directory(entry.node) {
                paths.push(format!("{path}/"));
                list(tree, entry.node, &format!("{path}/"), paths);
            } else {
                paths.push(path);
            }
        }
    }
}

pub(super) fn tar() -> Tar {
    Tar::default()
}

#[track_caller]
pub(super) fn refused(layers: &[Tar], expected: &str) {
    let error = apply(layers).unwrap_err();
    assert_eq!(error, expected);
}

#[test]
fn names_are_normalized_and_parents_made() {
    let layer = tar().file("./a//b/./c", "x").dir("./").dir("d/");
    assert_eq!(apply(&[layer]).unwrap(), ["a/", "a/b/", "a/b/c", "d/"]);
}

#[test]
fn absolute_names_start_at_the_root_of_the_image() {
    let layer = tar()
        .file("/ko-app/x", "")
        .pax(&[("path", b"//y")])
        .file("z", "");
    let layer = layer.hard_link("/l", "/ko-app/x").dir("/");
    assert_eq!(apply(&[layer]).unwrap(), ["ko-app/", "ko-app/x", "l", "y"]);
}

#[test]
fn names_that_lead_out_are_refused() {
    refused(
        &[tar().file("a/../../x", "")],
        r#"entry "a/../../x": name has a ".." component"#,
    );
    refused(
        &[tar().pax(&[("path", b"/../x")]).file("innocent", "")],
        r#"entry "/../x": name has a ".." component"#,
    );
    refused(
        &[tar().file("x", "").hard_link("y", "../x")],
        r#"entry "y": linkname has a ".." component"#,
    );
}

#[test]
fn long_names_are_refused() {
    let long = "x".repeat(256);
    let pax = |path: &str| tar().pax(&[("path", path.as_bytes())]).file("f", "");
    let shown = &long[..200];
    refused(
        &[pax(&long)],
        &format!(r#"entry "{shown}…": name has a component of 256 bytes, more than 255"#),
    );
    let deep = "a/".repeat(300);
    let error = apply(&[pax(&format!("{deep}f"))]).unwrap_err();
    assert!(
        error.ends_with("nested more than 256 directories deep"),
        "{error}"
    );
    let error = apply(&[pax(&"a/".repeat(3000))]).unwrap_err();
    assert!(error.contains("6000 bytes long, more than 4096"), "{error}");
}

#[test]
fn a_link_is_not_followed_in_its_own_layer() {
    let link = tar().symlink("up", "../../etc");
    refused(
        &[link.clone().file("up/passwd", "x")],
        r#"entry "up/passwd": its parent "up" is a symbolic link, not a directory"#,
    );
    // A layer that brings a directory of its own replaces the link.
    let own = tar().dir("up").file("up/passwd", "x");
    assert_eq!(apply(&[link, own]).unwrap(), ["up/", "up/passwd"]);
    refused(
        &[tar().file("f", "").file("f/x", "")],
        r#"entry "f/x": its parent "f" is a file, not a directory"#,
    );
}

#[test]
fn hard_links_need_a_file_that_is_there() {
    refused(
        &[tar().hard_link("y", "x").file("x", "")],
        r#"entry "y": linkname "x" does not exist before this entry"#,
    );
    refused(
        &[tar().dir("x").hard_link("y", "x")],
        r#"entry "y": linkname "x" is a directory"#,
    );
    refused(
        &[tar().hard_link("y", "./y")],
        r#"entry "y": linkname is the entry's own name"#,
    );
    let through = tar()
        .dir("d")
        .file("d/f", "")
        .symlink("s", "d")
        .hard_link("y", "s/f");
    refused(
        &[through],
        r#"entry "y": linkname "s/f" does not exist before this entry"#,
    );
    let lower = tar().file("x", "");
    assert_eq!(
        apply(&[lower, tar().hard_link("y", "x")]).unwrap(),
        ["x", "y"]
    );
}

#[test]
fn of_two_entries_the_later_counts() {
    let apply = |layer: Tar| apply(&[layer]).unwrap();
    assert_eq!(apply(tar().file("f", "1").file("f", "2")), ["f"]);
    assert_eq!(
        apply(tar().file("f", "").file("g", "").hard_link("f", "g")),
        ["f", "g"]
    );
    assert_eq!(apply(tar().dir("f").file("f", "")), ["f"]);
    assert_eq!(apply(tar().file("f/x", "").file("f", "")), ["f"]);
    assert_eq!(apply(tar().file("f", "").dir("f")), ["f/"]);
    assert_eq!(
        apply(tar().dir("f").file("f/x", "").dir("f")),
        ["f/", "f/x"]
    );
    // The link's target goes with the directory, its data stays.
    assert_eq!(apply(tar().file("d/f", "").hard_link("d", "d/f")), ["d"]);
}

#[test]
fn upper_layers_replace_and_merge() {
    let lower = tar().file("a/1", "").file("b", "").dir("c").file("c/x", "");
    let upper = tar().dir("a").file("a/2", "").dir("b").file("c", "");
    assert_eq!(
        apply(&[lower, upper]).unwrap(),
        ["a/", "a/1", "a/2", "b/", "c"]
    );
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    let lower = tar().file("d/old", "").file("d/sub/x", "").file("gone", "");
    let before = tar()
        .file(".wh.gone", "")
        .file("d/.wh.old", "")
        .file("d/old", "new");
    let after = tar()
        .file("d/old", "new")
        .file("d/.wh.old", "")
        .file(".wh.gone", "");
    let expected = ["d/", "d/old", "d/sub/", "d/sub/x"];
    assert_eq!(apply(&[lower.clone(), before]).unwrap(), expected);
    assert_eq!(apply(&[lower.clone(), after]).unwrap(), expected);
    // Of nothing at all: layers are also made against other bases.
    assert_eq!(
        apply(&[tar().file("no/such/.wh.file", "")]).unwrap(),
        [""; 0]
    );
    // A directory that the layer whites out and fills again keeps only what is new, in either
    // order.
    let refill = tar()
        .file("d/sub/y", "")
        .file(".wh.d", "")
        .file(".wh.gone", "");
    assert_eq!(
        apply(&[lower, refill]).unwrap(),
        ["d/", "d/sub/", "d/sub/y"]
    );
}

#[test]
fn an_opaque_directory_hides_what_is_below_it() {
    let lower = tar().file("d/a", "").file("d/sub/b", "").file("e", "");
    let before = tar()
        .dir("d")
        .file("d/.wh..wh..opq", "")
        .file("d/sub/c", "");
    let after = tar().file("d/sub/c", "").file("d/.wh..wh..opq", "");
    let expected = ["d/", "d/sub/", "d/sub/c", "e"];
    assert_eq!(apply(&[lower.clone(), before]).unwrap(), expected);
    assert_eq!(apply(&[lower.clone(), after]).unwrap(), expected);
    assert_eq!(
        apply(&[lower, tar().file(".wh..wh..opq", "")]).unwrap(),
        [""; 0]
    );
}

#[test]
fn odd_whiteouts() {
    refused(
        &[tar().file("a/.wh.", "")],
        r#"entry "a/.wh.": whiteout names nothing"#,
    );
    refused(
        &[tar().file(".wh...", "")],
        r#"entry ".wh...": whiteout names "." or "..""#,
    );
    refused(
        &[tar().file(".wh..", "")],
        r#"entry ".wh..": whiteout names "." or "..""#,
    );
    for name in [".wh.a/b", "a/.wh.../b", "a/.wh..wh..opq/b", ".wh./b"] {
        refused(
            &[tar().file(name, "")],
            &format!("the layer's archive has an entry inside a whiteout, \"{name}\""),
        );
    }
    // AUFS' own bookkeeping.
    let aufs = tar()
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "x")
        .file(".wh..wh.aufs", "");
    assert_eq!(apply(&[aufs]).unwrap(), [""; 0]);
}

#[test]
fn opaque_markers_where_no_directory_is_hide_nothing() {
    let lower = tar().file("f", "").symlink("l", "d").file("d/x", "");
    let expected = ["d/", "d/x", "f", "l"];
    for marker in ["f/.wh..wh..opq", "none/.wh..wh..opq", "f/.wh.x"] {
        let upper = tar().file(marker, "");
        assert_eq!(
            apply(&[lower.clone(), upper]).unwrap(),
            expected,
            "{marker}"
        );
    }
    // A link of the layer itself is not followed.
    let upper = tar().symlink("own", "d").file("own/.wh..wh..opq", "");
    let expected = ["d/", "d/x", "f", "l", "own"];
    assert_eq!(apply(&[lower.clone(), upper]).unwrap(), expected);
    // What kind of entry a marker is does not matter.
    let upper = tar().dir("d/.wh..wh..opq").symlink(".wh.f", "/");
    assert_eq!(apply(&[lower, upper]).unwrap(), ["d/", "l"]);
}

#[test]
fn a_whiteout_that_comes_again_costs_nothing() {
    let files = (0..20_000).fold(tar().dir("d"), |tar, n| tar.file(format!("d/{n}"), ""));
    let mut tree = converted(&[tar().file("d/old", ""), files]).unwrap().tree;
    let directory = TreePath::parse(b"d", "name").unwrap();
    // Each of them would look at each file: this would take hours.
    for _ in 0..1_000_000 {
        tree.make_opaque(&directory);
        tree.white_out(&directory);
    }
    let mut paths = Vec::new();
    list(&tree, NodeId::ROOT, "", &mut paths);
    assert_eq!(
        paths.len(),
        20_001,
        "the directory, and what the layer has in it"
    );
}

#[test]
fn hard_links_count_as_entries() {
    let mut tree = Tree::new();
    let path = |name: &str| TreePath::parse(name.as_bytes(), "name").unwrap();
    let file = Kind::File(FileData::default());
    let metadata = Metadata::of_missing_parent();
    tree.insert(&path("f"), metadata, file, Duplicates::Refuse)
        .unwrap();
    let mut link =
        |n: usize| tree.insert_hard_link(&path(&n.to_string()), &path("f"), Duplicates::Refuse);
    // Beside the root and the file.
    for n in 2..MAX_ENTRIES {
        link(n).unwrap();
    }
    assert_eq!(link(MAX_ENTRIES), Err(TreeError::TooManyEntries));
}

#[test]
fn names_and_targets_are_bounded_together() {
    let mut tree = Tree::new();
    let target: Box<[u8]> = vec![b'x'; MAX_SYMLINK_TARGET].into();
    let mut link = |n: usize| {
        let path = TreePath::parse(n.to_string().as_bytes(), "name").unwrap();
        let metadata = Metadata::of_missing_parent();
        tree.insert(
            &path,
            metadata,
            Kind::Symlink(target.clone()),
            Duplicates::Refuse,
        )
    };
    let refused = (0..20_000).find_map(|n| link(n).err());
    assert_eq!(refused, Some(TreeError::TooManyNameBytes));
}

#[test]
fn links_survive_the_removal_of_their_other_name() {
    let lower = tar().file("a", "data").hard_link("b", "a");
    assert_eq!(apply(&[lower, tar().file(".wh.a", "")]).unwrap(), ["b"]);
}

#[test]
fn fields_out_of_range_are_refused() {
    let device = |major, minor| {
        tar().header(&Fields {
            device: (major, minor),
            ..Fields::of("dev", b'3')
        })
    };
    assert_eq!(apply(&[device(4095, 0xf_ffff)]).unwrap(), ["dev"]);
    refused(
        &[device(4096, 0)],
        r#"entry "dev": device number 4096:0 is out of range (12 and 20 bits)"#,
    );
    refused(
        &[tar().symlink("s", "")],
        r#"entry "s": linkname is 0 bytes long, not 1 to 4095"#,
    );
    refused(
        &[tar().symlink("./", "x")],
        r#"entry "./": the root of the image must be a directory"#,
    );
}
