use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use bulkhead_protocol::verity::{BLOCK, SALT};
use proptest::prelude::*;
use tempfile::TempDir;

use super::append;

/// A file of so many blocks: each is zeros, or different from all others.
fn data(path: &Path, blocks: u64) -> File {
    let file = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    file.set_len(blocks * BLOCK).unwrap();
    for block in (0..blocks).filter(|block| block % 3 != 1) {
        let number = (block + 1).to_le_bytes();
        file.write_all_at(&number, block * BLOCK + block % 4000)
            .unwrap();
    }
    file
}

/// What Debian's `veritysetup` makes of the same data: its tree, and its root in digits.
fn judged(data: &Path, directory: &Path) -> (Vec<u8>, String) {
    let tree = directory.join("tree");
    let output = Command::new("veritysetup")
        .args(["format", "--no-superblock", "--hash=sha256", "--format=1"])
        .args(["--data-block-size=4096", "--hash-block-size=4096"])
        .arg(format!("--salt={SALT}"))
        .args([data, &tree])
        .output()
        .expect("veritysetup (Debian package cryptsetup-bin)");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.starts_with("Root hash:"));
    let root = line.unwrap().rsplit(char::is_whitespace).next().unwrap();
    (fs::read(tree).unwrap(), root.to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn the_tree_is_that_of_veritysetup(
        blocks in prop_oneof![2..200u64, 16_000..17_000u64, Just(128), Just(129), Just(16_384), Just(16_385)],
    ) {
        let directory = TempDir::new().unwrap();
        let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
        let image = data(&ours, blocks);
        data(&theirs, blocks);
        let (tree, root) = judged(&theirs, directory.path());
        let verity = append(&image, blocks * BLOCK).unwrap();
        prop_assert_eq!(verity.root().to_string(), root);
        prop_assert_eq!(verity.data_blocks(), blocks);
        let all = fs::read(&ours).unwrap();
        prop_assert_eq!(all.len() as u64, verity.length());
        let (before, behind) = all.split_at(usize::try_from(blocks * BLOCK).unwrap());
        prop_assert!(before == fs::read(&theirs).unwrap(), "the data was changed");
        prop_assert!(behind == tree, "the tree is another one");
    }
}

#[test]
fn nothing_has_no_tree() {
    let directory = TempDir::new().unwrap();
    let image = data(&directory.path().join("image"), 0);
    assert!(append(&image, 0).is_err());
}
