use super::*;

const DIFF: &str = "Why.\n\n--- a/lib/one.c\n+++ b/lib/one.c\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";

fn patch(dir: &Path) -> Patch {
    fs::create_dir(dir.join("patches")).unwrap();
    fs::write(dir.join("patches/upper.patch"), DIFF).unwrap();
    fs::write(dir.join("patches/README"), "not a patch").unwrap();
    let mut patches = Patch::read_dir(&dir.join("patches")).unwrap();
    assert_eq!(patches.len(), 1);
    patches.remove(0)
}

fn tree(dir: &Path, text: &str) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("lib")).unwrap();
    fs::write(tree.join("lib/one.c"), text).unwrap();
    tree
}

#[test]
fn a_fitting_patch_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path(), "a\nb\nc\n");
    assert_eq!(patch(dir.path()).apply(&tree).unwrap(), Outcome::Applied);
    assert_eq!(
        fs::read_to_string(tree.join("lib/one.c")).unwrap(),
        "a\nB\nc\n"
    );
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(dir.path(), "x\ny\nz\n");
    let patch = patch(dir.path());
    assert_eq!(
        (patch.name.as_str(), patch.apply(&tree).unwrap()),
        ("upper", Outcome::DoesNotFit)
    );
    assert_eq!(
        fs::read_to_string(tree.join("lib/one.c")).unwrap(),
        "x\ny\nz\n"
    );
    assert_eq!(fs::read_dir(tree.join("lib")).unwrap().count(), 1);
}

#[test]
fn the_patches_of_this_checkout_begin_with_a_reason() {
    for patch in Patch::read_dir(Path::new(crate::PATCH_DIR)).unwrap() {
        assert!(
            !patch.text.starts_with(b"---") && !patch.text.starts_with(b"diff"),
            "{}",
            patch.name
        );
    }
}
